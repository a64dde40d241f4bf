//! Which software may have which secret.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Fragment, Manifest, Name, Secret, SecretPath, Workload, WorkloadKind};

use super::change::{Changes, Effect, Kind};
use super::matching::{Matched, Pair, matching, side_by_side};
use super::requirements;

pub(super) fn compare(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let mut matched = matching(old.workload(), new.workload(), content, identity);
    let renamed = matched.pairs.iter().filter(|pair| pair.names[0] != pair.names[1]);
    let renamed = renamed.map(|pair| (pair.names[0], Some(pair.names[1])));
    let moved: Moved<'_> =
        renamed.chain(matched.gone.iter().map(|(name, _)| (*name, None))).collect();
    matched.pairs.retain(|pair| pair.values[0] != pair.values[1]);
    let pairs = &matched.pairs;
    let secrets = [
        by_reader(old, pairs.iter().map(|pair| pair.names[0]).chain(names(&matched.gone))),
        by_reader(new, pairs.iter().map(|pair| pair.names[1]).chain(names(&matched.come))),
    ];
    for pair in pairs {
        software(pair, &secrets, changes);
        let subject = format!("workload {}", pair.names[1]);
        let [before, after] = pair.values;
        requirements::compare(&subject, before.into(), after.into(), changes);
        fragments(pair, &secrets, changes);
    }
    come_and_gone(&matched, &secrets, changes);
    secret_by_secret(old, new, &moved, changes);
}

/// The old names that are not the names of the same workload any more, with its new name if it has one.
type Moved<'a> = BTreeMap<&'a Name, Option<&'a Name>>;

fn names<'a>(side: &[(&'a Name, &'a Workload)]) -> impl Iterator<Item = &'a Name> {
    side.iter().map(|(name, _)| *name)
}

/// Everything that evidence of the workload must show.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Content<'a> {
    host_data: &'a BTreeSet<evidence::HostData>,
    measurements: &'a BTreeSet<evidence::Measurement>,
    floors: Vec<(evidence::Product, [u8; 5])>,
    rest: (bool, u8, Option<u64>),
    machine: (&'a Pcrs, Option<bool>),
}

type Pcrs = BTreeMap<evidence::PcrIndex, BTreeSet<evidence::PcrValue>>;

/// What its software is.
fn identity(workload: &Workload) -> (&BTreeSet<evidence::HostData>, &Pcrs) {
    (&workload.host_data, &workload.pcrs)
}

fn content(workload: &Workload) -> Content<'_> {
    let floors = workload.tcb.iter().map(|(product, floor)| {
        let fmc = floor.fmc.unwrap_or(0);
        (*product, [fmc, floor.bootloader, floor.tee, floor.snp, floor.microcode])
    });
    let debug = workload.debug == evidence::DebugPolicy::DangerouslyAllow;
    Content {
        host_data: &workload.host_data,
        measurements: &workload.launch_measurements,
        floors: floors.collect(),
        rest: (debug, workload.vmpl, workload.uvm.as_ref().map(|uvm| uvm.minimum_svn)),
        machine: (&workload.pcrs, workload.secure_boot),
    }
}

type ByReader<'a> = BTreeMap<&'a Name, Vec<&'a SecretPath>>;

/// The secrets of each of these readers.
fn by_reader<'a>(manifest: &'a Manifest, readers: impl Iterator<Item = &'a Name>) -> ByReader<'a> {
    let mut all: ByReader<'a> = readers.map(|reader| (reader, Vec::new())).collect();
    if all.is_empty() {
        return all;
    }
    for (path, secret) in manifest.secret() {
        for reader in &secret.readers {
            if let Some(paths) = all.get_mut(reader) {
                paths.push(path);
            }
        }
    }
    all
}

/// A workload is other software than before: whoever comes gains all its secrets.
fn software(pair: &Pair<'_, Name, Workload>, secrets: &[ByReader<'_>; 2], changes: &mut Changes) {
    let subject = format!("workload {}", pair.names[1]);
    let [before, after] = pair.values.map(|workload| &workload.host_data);
    let kind = Kind::WorkloadSoftware;
    for host_data in after.difference(before) {
        let gained = list(secrets[1].get(pair.names[1]));
        let text = format!("software {host_data} gains {gained}");
        changes.push(Effect::Weakens, kind, &subject, text);
    }
    for host_data in before.difference(after) {
        let lost = list(secrets[0].get(pair.names[0]));
        let text = format!("software {host_data} loses {lost}");
        changes.push(Effect::Strengthens, kind, &subject, text);
    }
    let [old, new] = pair.values;
    if old.kind != new.kind {
        let gained = list(secrets[1].get(pair.names[1]));
        let text = format!("is a {}, not a {}: it gains {gained}", new.kind, old.kind);
        changes.push(Effect::Weakens, kind, &subject, text);
    } else if new.kind == WorkloadKind::Vm {
        machine(old, new, &subject, &list(secrets[1].get(pair.names[1])), changes);
    }
}

/// What a virtual machine must show of what has booted.
fn machine(old: &Workload, new: &Workload, subject: &str, gains: &str, changes: &mut Changes) {
    let kind = Kind::WorkloadSoftware;
    for (index, values) in &new.pcrs {
        let Some(before) = old.pcrs.get(index) else {
            let text = format!("must show register {index}, which it did not");
            changes.push(Effect::Strengthens, kind, subject, text);
            continue;
        };
        for value in values.difference(before) {
            let text = format!("register {index} with {value} gains {gains}");
            changes.push(Effect::Weakens, kind, subject, text);
        }
        for value in before.difference(values) {
            let text = format!("register {index} may no longer have {value}");
            changes.push(Effect::Strengthens, kind, subject, text);
        }
    }
    for index in old.pcrs.keys().filter(|index| !new.pcrs.contains_key(index)) {
        let text = format!("register {index} with any value gains {gains}");
        changes.push(Effect::Weakens, kind, subject, text);
    }
    match (old.secure_boot, new.secure_boot) {
        (Some(true), Some(false)) => {
            changes.push(Effect::Weakens, kind, subject, "may boot code that nobody signed");
        }
        (Some(false), Some(true)) => {
            changes.push(Effect::Strengthens, kind, subject, "must boot only signed code");
        }
        (Some(true) | None, Some(true) | None)
        | (Some(false), Some(false) | None)
        | (None, Some(false)) => {}
    }
}

/// HOST_DATA identifies a whole group: whoever signs a part that it admits can obtain its secrets.
fn fragments(pair: &Pair<'_, Name, Workload>, secrets: &[ByReader<'_>; 2], changes: &mut Changes) {
    let subject = format!("workload {}", pair.names[1]);
    let kind = Kind::PolicyFragment;
    let [before, after] = pair.values.map(|workload| match &workload.group {
        Some(group) => group.fragments.as_slice(),
        None => &[],
    });
    let same = |one: &Fragment, other: &Fragment| {
        one.issuer == other.issuer && one.feed == other.feed && one.includes == other.includes
    };
    for fragment in after {
        let svn = fragment.minimum_svn;
        let older =
            before.iter().filter(|other| same(other, fragment)).map(|f| f.minimum_svn).min();
        let who = format!("{}, signing {}", fragment.issuer, fragment.feed);
        let (effect, text) = match older {
            None => {
                (Effect::Weakens, format!("{who} gains {}", list(secrets[1].get(pair.names[1]))))
            }
            Some(older) if svn < older => {
                (Effect::Weakens, format!("{who}, may be of version {svn}, not only {older}"))
            }
            Some(older) if svn > older => {
                (Effect::Strengthens, format!("{who}, must be of version {svn}, not only {older}"))
            }
            Some(_) => continue,
        };
        changes.push(effect, kind, &subject, text);
    }
    for fragment in before.iter().filter(|old| !after.iter().any(|new| same(old, new))) {
        let lost = list(secrets[0].get(pair.names[0]));
        let text = format!("{}, signing {}, loses {lost}", fragment.issuer, fragment.feed);
        changes.push(Effect::Strengthens, kind, &subject, text);
    }
    let debug = pair
        .values
        .map(|workload| workload.group.as_ref().is_some_and(|group| group.insecure_debug));
    if debug == [false, true] {
        let text = "its group's policy permits debugging: the host sees every secret";
        changes.push(Effect::Weakens, Kind::Debug, &subject, text);
    }
    if debug == [true, false] {
        let text = "its group's policy permits no debugging any more";
        changes.push(Effect::Strengthens, Kind::Debug, &subject, text);
    }
}

fn come_and_gone(
    matched: &Matched<'_, Name, Workload>,
    secrets: &[ByReader<'_>; 2],
    changes: &mut Changes,
) {
    for (name, _) in &matched.come {
        let text = format!("is new, with {}", list(secrets[1].get(name)));
        changes.push(Effect::Changes, Kind::Workload, format!("workload {name}"), text);
    }
    for (name, _) in &matched.gone {
        let text = format!("is gone; it had {}", list(secrets[0].get(name)));
        changes.push(Effect::Strengthens, Kind::Workload, format!("workload {name}"), text);
    }
}

fn secret_by_secret(old: &Manifest, new: &Manifest, moved: &Moved<'_>, changes: &mut Changes) {
    for (path, sides) in side_by_side(old.secret(), new.secret()) {
        match sides {
            [Some(before), Some(after)] => readers(path, before, after, moved, changes),
            [None, Some(secret)] => {
                // The store keeps values whatever the manifest says, so one may be there already.
                let readers = joined(secret.readers.iter());
                let text =
                    format!("is new, for {readers}, and so is whatever is stored there already");
                changes.push(Effect::Weakens, Kind::Secret, subject(path), text);
            }
            [Some(secret), None] => {
                let text = format!("is gone; {} had it", joined(secret.readers.iter()));
                changes.push(Effect::Strengthens, Kind::Secret, subject(path), text);
            }
            [None, None] => {}
        }
    }
}

fn readers(
    path: &SecretPath,
    old: &Secret,
    new: &Secret,
    moved: &Moved<'_>,
    changes: &mut Changes,
) {
    if old == new && !old.readers.iter().any(|name| moved.contains_key(name)) {
        return;
    }
    // Under its new name; a workload that is gone has none, and its old name may be somebody else's now.
    let now = |name| moved.get(name).copied().unwrap_or(Some(name));
    let before: BTreeSet<&Name> = old.readers.iter().filter_map(now).collect();
    for name in new.readers.iter().filter(|name| !before.contains(name)) {
        let text = format!("workload {name} may have it");
        changes.push(Effect::Weakens, Kind::SecretReader, subject(path), text);
    }
    for name in before.into_iter().filter(|name| !new.readers.contains(*name)) {
        let text = format!("workload {name} may no longer have it");
        changes.push(Effect::Strengthens, Kind::SecretReader, subject(path), text);
    }
    if old.field != new.field {
        let text = format!("its readers get the field {}, not {}", new.field, old.field);
        changes.push(Effect::Weakens, Kind::SecretField, subject(path), text);
    }
}

fn subject(path: &SecretPath) -> String {
    format!("secret {path}")
}

fn joined<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    names.map(Name::as_str).collect::<Vec<_>>().join(", ")
}

/// Secrets by their paths, as many as a line holds.
fn list(paths: Option<&Vec<&SecretPath>>) -> String {
    let Some(paths) = paths.filter(|paths| !paths.is_empty()) else {
        return "no secret".to_owned();
    };
    let shown: Vec<&str> = paths.iter().take(SHOWN).map(|path| path.as_str()).collect();
    let more = paths.len().saturating_sub(shown.len());
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

const SHOWN: usize = 4;
