//! What evidence must show: the part that the server and workloads have in common.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{DebugPolicy, Measurement, Product, TcbFloor};
use manifest::{ServerRequirements, Workload};

use super::change::{Changes, Effect, Kind};

/// The requirements of the server or of a workload.
#[derive(Clone, Copy)]
pub(super) struct Required<'a> {
    debug: DebugPolicy,
    measurements: &'a BTreeSet<Measurement>,
    tcb: &'a BTreeMap<Product, TcbFloor>,
    /// Of the utility VM, where there is one.
    svn: Option<u64>,
}

impl<'a> From<&'a ServerRequirements> for Required<'a> {
    fn from(server: &'a ServerRequirements) -> Self {
        Self {
            debug: server.debug,
            measurements: &server.launch_measurements,
            tcb: &server.tcb,
            svn: Some(server.uvm.minimum_svn),
        }
    }
}

impl<'a> From<&'a Workload> for Required<'a> {
    fn from(workload: &'a Workload) -> Self {
        Self {
            debug: workload.debug,
            measurements: &workload.launch_measurements,
            tcb: &workload.tcb,
            svn: workload.uvm.as_ref().map(|uvm| uvm.minimum_svn),
        }
    }
}

pub(super) fn compare(subject: &str, old: Required<'_>, new: Required<'_>, changes: &mut Changes) {
    match (old.debug, new.debug) {
        (DebugPolicy::Refuse, DebugPolicy::DangerouslyAllow) => {
            let text = "may be debugged by its host, which then reads every secret in it";
            changes.push(Effect::Weakens, Kind::Debug, subject, text);
        }
        (DebugPolicy::DangerouslyAllow, DebugPolicy::Refuse) => {
            let text = "may no longer be debugged by its host";
            changes.push(Effect::Strengthens, Kind::Debug, subject, text);
        }
        (DebugPolicy::Refuse, DebugPolicy::Refuse)
        | (DebugPolicy::DangerouslyAllow, DebugPolicy::DangerouslyAllow) => {}
    }
    floors(subject, old.tcb, new.tcb, changes);
    measurements(subject, old.measurements, new.measurements, changes);
    // Where only one side has one, the kind is another, which is told elsewhere.
    if let Some(svns) = old.svn.zip(new.svn) {
        changes.number(Kind::UtilityVm, subject, "the least version of the utility VM", svns);
    }
}

fn floors(
    subject: &str,
    old: &BTreeMap<Product, TcbFloor>,
    new: &BTreeMap<Product, TcbFloor>,
    changes: &mut Changes,
) {
    for product in Product::ALL {
        match (old.get(&product), new.get(&product)) {
            (None, None) => {}
            (None, Some(floor)) => {
                let text = format!("is accepted on {product}, from {floor}");
                changes.push(Effect::Weakens, Kind::PlatformFloor, subject, text);
            }
            (Some(_), None) => {
                let text = format!("is no longer accepted on {product}");
                changes.push(Effect::Strengthens, Kind::PlatformFloor, subject, text);
            }
            (Some(old), Some(new)) => {
                for (name, before, after) in [
                    ("fmc", old.fmc.unwrap_or(0), new.fmc.unwrap_or(0)),
                    ("bootloader", old.bootloader, new.bootloader),
                    ("tee", old.tee, new.tee),
                    ("snp", old.snp, new.snp),
                    ("microcode", old.microcode, new.microcode),
                ] {
                    let what = format!("the least {name} on {product}");
                    changes.number(Kind::PlatformFloor, subject, &what, (before, after));
                }
            }
        }
    }
}

fn measurements(
    subject: &str,
    old: &BTreeSet<Measurement>,
    new: &BTreeSet<Measurement>,
    changes: &mut Changes,
) {
    let kind = Kind::LaunchMeasurement;
    match (old.is_empty(), new.is_empty()) {
        (true, true) => {}
        (true, false) => {
            let count = new.len();
            let text =
                format!("must have one of {count} launch measurements, no longer any endorsed one");
            changes.push(Effect::Strengthens, kind, subject, text);
        }
        (false, true) => {
            let text = "may have any endorsed launch measurement";
            changes.push(Effect::Weakens, kind, subject, text);
        }
        (false, false) => {
            for measurement in new.difference(old) {
                let text = format!("may have the launch measurement {measurement}");
                changes.push(Effect::Weakens, kind, subject, text);
            }
            for measurement in old.difference(new) {
                let text = format!("may no longer have the launch measurement {measurement}");
                changes.push(Effect::Strengthens, kind, subject, text);
            }
        }
    }
}
