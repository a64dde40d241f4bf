//! Appraisal: which workload of the manifest is this, and which secrets may it have?
//!
//! [`appraise`] takes a [`VerifiedReport`], which says what the hardware vouches for, and compares it with each
//! workload. The evidence has been verified under [`Manifest::admission_policy`], which admits what *some* workload
//! admits; so every requirement of the workload itself is checked here again, and nothing is left to that policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use evidence::{Allowed, DebugPolicy, Policy, Product, TcbFloor, VerifiedReport};

use crate::text::{Field, Name, SecretPath};
use crate::{Manifest, Workload};

/// Evidence of exactly one workload, with what that workload may have. Made by [`appraise`] only.
#[derive(Debug)]
pub struct Appraised {
    workload: Name,
    readable: BTreeMap<SecretPath, Field>,
}

/// Evidence of no workload, or of several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoMatch {
    candidates: Vec<Candidate>,
}

/// A workload, and why it was not this one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name.
    pub workload: Name,
    /// Every requirement that the evidence does not meet; none if it meets all and another workload's as well.
    pub differences: Vec<Difference>,
}

/// A requirement that the evidence does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The manifest's key.
    pub field: Requirement,
    /// What it says.
    pub expected: String,
    /// What the evidence shows.
    pub found: String,
}

/// A key of a workload that states a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// `host_data`.
    HostData,
    /// `debug`.
    Debug,
    /// `vmpl`.
    Vmpl,
    /// `launch_measurements`.
    LaunchMeasurements,
    /// `tcb`.
    Tcb,
    /// `uvm`.
    Uvm,
}

/// Says whose evidence this is. These are checked for each workload, and all of them:
///
/// 1. *host_data*: the report's is one of the workload's.
/// 2. *debug*: the guest's policy allows debugging only if the workload does.
/// 3. *vmpl*: exactly the workload's.
/// 4. *launch_measurements*: the report's is one of them, if there are any.
/// 5. *tcb*: the product has a floor; no part of reported, committed and launch TCB is below it.
/// 6. *uvm*: the endorsement's security version is not below the workload's. (There is one feed, which the verifier
///    demands.)
///
/// # Errors
/// Unless exactly one workload fits: every workload with what kept it from fitting, the nearest first.
pub fn appraise(manifest: &Manifest, report: &VerifiedReport) -> Result<Appraised, NoMatch> {
    let mut candidates: Vec<Candidate> = manifest
        .workload()
        .iter()
        .map(|(name, workload)| Candidate {
            workload: name.clone(),
            differences: differences(workload, report),
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.differences.len());
    let mut fits = candidates.iter().filter(|candidate| candidate.differences.is_empty());
    match (fits.next(), fits.next()) {
        (Some(only), None) => Ok(Appraised {
            workload: only.workload.clone(),
            readable: readable(manifest, &only.workload),
        }),
        (None | Some(_), _) => Err(NoMatch { candidates }),
    }
}

fn readable(manifest: &Manifest, workload: &Name) -> BTreeMap<SecretPath, Field> {
    let secrets = manifest.secret().iter().filter(|(_, secret)| secret.readers.contains(workload));
    secrets.map(|(path, secret)| (path.clone(), secret.field.clone())).collect()
}

fn differences(workload: &Workload, verified: &VerifiedReport) -> Vec<Difference> {
    let report = verified.report();
    let mut out = Vec::new();
    let mut differs = |field, expected: String, found: String| {
        out.push(Difference { field, expected, found });
    };
    if !workload.host_data.contains(verified.host_data()) {
        let expected = Allowed::Only(workload.host_data.clone()).to_string();
        differs(Requirement::HostData, expected, verified.host_data().to_string());
    }
    if workload.debug == DebugPolicy::Refuse && report.policy.allows_debug() {
        differs(Requirement::Debug, "false".to_owned(), "true".to_owned());
    }
    if report.vmpl != u32::from(workload.vmpl) {
        differs(Requirement::Vmpl, workload.vmpl.to_string(), report.vmpl.to_string());
    }
    let measurements = &workload.launch_measurements;
    if !measurements.is_empty() && !measurements.contains(verified.measurement()) {
        let expected = Allowed::Only(measurements.clone()).to_string();
        differs(Requirement::LaunchMeasurements, expected, verified.measurement().to_string());
    }
    match workload.tcb.get(&verified.product()) {
        None => {
            let products: Vec<String> = workload.tcb.keys().map(Product::to_string).collect();
            differs(Requirement::Tcb, products.join(" or "), verified.product().to_string());
        }
        Some(floor) => {
            let versions = [
                ("reported", verified.reported_tcb()),
                ("committed", verified.committed_tcb()),
                ("launch", verified.launch_tcb()),
            ];
            for (name, tcb) in versions {
                if tcb.at_least(floor).is_err() {
                    differs(Requirement::Tcb, format!("{name} at least {floor}"), tcb.to_string());
                }
            }
        }
    }
    let least = workload.uvm.minimum_svn;
    if verified.uvm_svn() < least {
        let expected = format!("minimum_svn {least}");
        differs(Requirement::Uvm, expected, verified.uvm_svn().to_string());
    }
    out
}

impl Manifest {
    /// What evidence must show before it is worth appraising: what at least one workload admits. A manifest without
    /// workloads admits nothing.
    #[must_use]
    pub fn admission_policy(&self) -> Policy {
        let workloads = self.workload();
        let mut floors: BTreeMap<Product, TcbFloor> = BTreeMap::new();
        for (product, floor) in workloads.values().flat_map(|workload| &workload.tcb) {
            let lowest = floors.entry(*product).or_insert(*floor);
            *lowest = lower(*lowest, *floor);
        }
        let svns = workloads.values().map(|workload| workload.uvm.minimum_svn);
        let mut policy = Policy::container(floors, svns.min().unwrap_or(u64::MAX));
        if workloads.values().any(|workload| workload.debug == DebugPolicy::DangerouslyAllow) {
            policy.report.debug = DebugPolicy::DangerouslyAllow;
        }
        // Every container runs at one level, which the reader of the manifest makes sure of.
        let levels: BTreeSet<u8> = workloads.values().map(|workload| workload.vmpl).collect();
        policy.report.vmpl = levels.first().copied().unwrap_or(0);
        policy
    }
}

/// The component-wise minimum of two floors; a component that only one of them names has no floor.
pub(crate) fn lower(a: TcbFloor, b: TcbFloor) -> TcbFloor {
    TcbFloor {
        fmc: a.fmc.zip(b.fmc).map(|(a, b)| a.min(b)),
        bootloader: a.bootloader.min(b.bootloader),
        tee: a.tee.min(b.tee),
        snp: a.snp.min(b.snp),
        microcode: a.microcode.min(b.microcode),
    }
}

impl Appraised {
    /// Whose evidence it is.
    #[must_use]
    pub fn workload(&self) -> &Name {
        &self.workload
    }

    /// The secrets that it may have, and of each the field that is delivered.
    #[must_use]
    pub fn readable(&self) -> &BTreeMap<SecretPath, Field> {
        &self.readable
    }
}

impl NoMatch {
    /// Every workload, the nearest first.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

impl fmt::Display for NoMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(nearest) = self.candidates.first() else {
            return f.write_str("the manifest names no workload");
        };
        if nearest.differences.is_empty() {
            let all = self.candidates.iter().take_while(|other| other.differences.is_empty());
            let names: Vec<&str> = all.map(|other| other.workload.as_str()).collect();
            return write!(f, "the evidence fits several workloads: {}", names.join(", "));
        }
        write!(f, "the evidence fits no workload; the nearest is {}", nearest.workload)?;
        for (at, difference) in nearest.differences.iter().enumerate() {
            let Difference { field, expected, found } = difference;
            let joint = if at == 0 { ": " } else { "; " };
            write!(f, "{joint}{field}: expected {expected}, found {found}")?;
        }
        Ok(())
    }
}

/// The manifest's key.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostData => "host_data",
            Self::Debug => "debug",
            Self::Vmpl => "vmpl",
            Self::LaunchMeasurements => "launch_measurements",
            Self::Tcb => "tcb",
            Self::Uvm => "uvm",
        })
    }
}

#[cfg(test)]
#[path = "appraise_tests.rs"]
mod tests;
