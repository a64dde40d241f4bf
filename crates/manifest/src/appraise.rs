//! Appraisal: which workload of the manifest is this, and which secrets may it have?
//!
//! [`appraise`] takes a [`VerifiedReport`] and [`appraise_vm`] a [`VerifiedVm`], which say what the hardware vouches for,
//! and compare it with each workload. The evidence has been verified under [`Manifest::admission_policy`] or
//! [`Manifest::vm_admission_policy`], which admit what *some* workload admits; so every requirement of the workload itself
//! is checked here again, and nothing is left to those policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use evidence::{
    Allowed, DebugPolicy, PcrValue, Policy, Product, ReportPolicy, TcbFloor, VerifiedHardware,
    VerifiedReport, VerifiedVm, VmPolicy,
};

use crate::text::{Field, Name, SecretPath};
use crate::words::WorkloadKind;
use crate::{Manifest, Shows, Workload};

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
    /// `kind`.
    Kind,
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
    /// `pcrs`.
    Pcrs,
    /// `secure_boot`.
    SecureBoot,
}

/// Says whose evidence a container's is. These are checked for each workload, and all of them:
///
/// 1. *kind*: the workload is a container.
/// 2. *host_data*: the report's is one of the workload's.
/// 3. *debug*: the guest's policy allows debugging only if the workload does.
/// 4. *vmpl*: exactly the workload's.
/// 5. *launch_measurements*: the report's is one of them, if there are any.
/// 6. *tcb*: the product has a floor; no part of reported, committed and launch TCB is below it.
/// 7. *uvm*: the endorsement's security version is not below the workload's. (There is one feed, which the verifier
///    demands.)
///
/// # Errors
/// Unless exactly one workload fits: every workload with what kept it from fitting, the nearest first.
pub fn appraise(manifest: &Manifest, report: &VerifiedReport) -> Result<Appraised, NoMatch> {
    decide(manifest, |workload| {
        let mut out = Differences::default();
        match workload.shows() {
            Shows::Vm { .. } => out.kind(workload, WorkloadKind::Container),
            Shows::Container { host_data, uvm } => {
                if !host_data.contains(report.host_data()) {
                    let expected = Allowed::Only(host_data.clone());
                    out.push(Requirement::HostData, expected, report.host_data());
                }
                out.hardware(workload, report.hardware());
                if report.uvm_svn() < uvm.minimum_svn {
                    let expected = format!("minimum_svn {}", uvm.minimum_svn);
                    out.push(Requirement::Uvm, expected, report.uvm_svn());
                }
            }
        }
        out
    })
}

/// Says whose evidence a virtual machine's is. These are checked for each workload, and all of them:
///
/// 1. *kind*: the workload is a virtual machine.
/// 2. *debug*, *vmpl*, *launch_measurements*, *tcb*: as in [`appraise`], of the paravisor.
/// 3. *pcrs*: each register that the workload names was quoted, and its value is one of those named.
/// 4. *secure_boot*: the paravisor says that only signed code may boot, if the workload demands it.
///
/// # Errors
/// Unless exactly one workload fits: every workload with what kept it from fitting, the nearest first.
pub fn appraise_vm(manifest: &Manifest, vm: &VerifiedVm) -> Result<Appraised, NoMatch> {
    decide(manifest, |workload| {
        let mut out = Differences::default();
        match workload.shows() {
            Shows::Container { .. } => out.kind(workload, WorkloadKind::Vm),
            Shows::Vm { pcrs, secure_boot } => {
                out.hardware(workload, vm.hardware());
                for (index, accepted) in pcrs {
                    let found = vm.pcrs().get(index);
                    if !found.is_some_and(|value| accepted.contains(value)) {
                        let found = found.map_or("not quoted".to_owned(), PcrValue::to_string);
                        let accepted = Allowed::Only(accepted.clone());
                        out.push(Requirement::Pcrs, format!("{index} = {accepted}"), found);
                    }
                }
                let demanded = secure_boot == evidence::Requirement::Required;
                if demanded && vm.claims().secure_boot() != Some(true) {
                    let found = vm.claims().secure_boot();
                    let found = found.map_or("no claim about it".to_owned(), |on| on.to_string());
                    out.push(Requirement::SecureBoot, true, found);
                }
            }
        }
        out
    })
}

fn decide(
    manifest: &Manifest,
    differences: impl Fn(&Workload) -> Differences,
) -> Result<Appraised, NoMatch> {
    let mut candidates: Vec<Candidate> = manifest
        .workload()
        .iter()
        .map(|(name, workload)| Candidate {
            workload: name.clone(),
            differences: differences(workload).0,
        })
        .collect();
    // A workload of the other kind has only that one difference, and is the farthest all the same.
    candidates.sort_by_key(|candidate| {
        let other = candidate.differences.iter().any(|it| it.field == Requirement::Kind);
        (other, candidate.differences.len())
    });
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

/// What keeps a workload from fitting, as far as it has been looked at.
#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn push(&mut self, field: Requirement, expected: impl fmt::Display, found: impl fmt::Display) {
        let (expected, found) = (expected.to_string(), found.to_string());
        self.0.push(Difference { field, expected, found });
    }

    fn kind(&mut self, workload: &Workload, found: WorkloadKind) {
        self.push(Requirement::Kind, workload.kind, found);
    }

    fn hardware(&mut self, workload: &Workload, verified: &VerifiedHardware) {
        let report = verified.report();
        if workload.debug == DebugPolicy::Refuse && report.policy.allows_debug() {
            self.push(Requirement::Debug, false, true);
        }
        if report.vmpl != u32::from(workload.vmpl) {
            self.push(Requirement::Vmpl, workload.vmpl, report.vmpl);
        }
        let measurements = &workload.launch_measurements;
        if !measurements.is_empty() && !measurements.contains(&report.measurement) {
            let expected = Allowed::Only(measurements.clone());
            self.push(Requirement::LaunchMeasurements, expected, report.measurement);
        }
        let Some(floor) = workload.tcb.get(&verified.product()) else {
            let products: Vec<String> = workload.tcb.keys().map(Product::to_string).collect();
            return self.push(Requirement::Tcb, products.join(" or "), verified.product());
        };
        let versions = [
            ("reported", verified.reported_tcb()),
            ("committed", verified.committed_tcb()),
            ("launch", verified.launch_tcb()),
        ];
        for (name, tcb) in versions {
            if tcb.at_least(floor).is_err() {
                self.push(Requirement::Tcb, format!("{name} at least {floor}"), tcb);
            }
        }
    }
}

impl Manifest {
    /// What a container's evidence must show before it is worth appraising: what at least one workload of this kind
    /// admits. A manifest without any admits nothing.
    #[must_use]
    pub fn admission_policy(&self) -> Policy {
        let svns = self.workload().values().filter_map(|workload| workload.uvm.as_ref());
        let svn = svns.map(|uvm| uvm.minimum_svn).min().unwrap_or(u64::MAX);
        let mut policy = Policy::container(BTreeMap::new(), svn);
        policy.report = self.admission(WorkloadKind::Container);
        policy
    }

    /// The same of a virtual machine's evidence; here the measurement counts too, since nobody endorses it. Which
    /// registers count is the workload's affair.
    #[must_use]
    pub fn vm_admission_policy(&self) -> VmPolicy {
        let mut report = self.admission(WorkloadKind::Vm);
        let workloads = self.workload().values();
        let machines = workloads.filter(|workload| workload.kind == WorkloadKind::Vm);
        let measured = machines.flat_map(|workload| workload.launch_measurements.iter().copied());
        report.measurements = Allowed::only(measured);
        let secure_boot = evidence::Requirement::NotRequired;
        VmPolicy { report, pcrs: BTreeMap::new(), secure_boot }
    }

    fn admission(&self, kind: WorkloadKind) -> ReportPolicy {
        let all = self.workload().values();
        let workloads: Vec<&Workload> = all.filter(|workload| workload.kind == kind).collect();
        let mut floors: BTreeMap<Product, TcbFloor> = BTreeMap::new();
        for (product, floor) in workloads.iter().flat_map(|workload| &workload.tcb) {
            let lowest = floors.entry(*product).or_insert(*floor);
            *lowest = lower(*lowest, *floor);
        }
        let mut policy = ReportPolicy::guest(floors);
        if workloads.iter().any(|workload| workload.debug == DebugPolicy::DangerouslyAllow) {
            policy.debug = DebugPolicy::DangerouslyAllow;
        }
        // All run at one level, which the reader of the manifest makes sure of.
        let levels: BTreeSet<u8> = workloads.iter().map(|workload| workload.vmpl).collect();
        policy.vmpl = levels.first().copied().unwrap_or(0);
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
            Self::Kind => "kind",
            Self::HostData => "host_data",
            Self::Debug => "debug",
            Self::Vmpl => "vmpl",
            Self::LaunchMeasurements => "launch_measurements",
            Self::Tcb => "tcb",
            Self::Uvm => "uvm",
            Self::Pcrs => "pcrs",
            Self::SecureBoot => "secure_boot",
        })
    }
}

#[cfg(test)]
#[path = "appraise_tests.rs"]
mod tests;
