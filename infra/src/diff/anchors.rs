//! Whose word counts: signers, and the roots that evidence must lead to.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Manifest, Name, Place};
use protocol::SignerId;

use super::change::{Changes, Effect, Kind};
use super::{Side, SignerKey};

pub(super) fn compare(old: &Side<'_>, new: &Side<'_>, changes: &mut Changes) {
    let kind = Kind::TrustAnchor;
    let by_key = |side: &Side<'_>| {
        let known = side.signers.iter().filter_map(|(name, key)| match key {
            SignerKey::Known(id) => Some((*id, name.clone())),
            SignerKey::Unread(_) => None,
        });
        known.collect::<BTreeMap<SignerId, Name>>()
    };
    let (before, after) = (by_key(old), by_key(new));
    for (key, name) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        let text = format!("the key {key} is a signer: it decides everything");
        changes.push(Effect::Weakens, kind, format!("signer {name}"), text);
    }
    // Where a new signer was not read, this key may be that one's.
    for (key, name) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        if unread(new).next().is_none() {
            let text = format!("the key {key} is no signer any more");
            changes.push(Effect::Strengthens, kind, format!("signer {name}"), text);
        }
    }
    unread_signers(old, new, changes);
    // Signers are several so that one key can be lost.
    let doubled = |side: &Side<'_>, keys: &BTreeMap<SignerId, Name>| {
        side.signers.len().saturating_sub(unread(side).count()).saturating_sub(keys.len())
    };
    if doubled(new, &after) > doubled(old, &before) {
        let text = "has several signers with one key: whoever has it is all of them";
        changes.push(Effect::Weakens, kind, "the deployment", text);
    }
    published(old.manifest, new.manifest, changes);
    let subject = "the deployment";
    match (old.manifest.azure().place(), new.manifest.azure().place()) {
        (Place::Public, Place::Public) => {}
        (Place::Public, Place::InsecureLocal(_)) => {
            let text = "takes evidence under roots that everybody can sign with";
            changes.push(Effect::Weakens, kind, subject, text);
        }
        (Place::InsecureLocal(_), Place::Public) => {
            let text = "takes evidence under AMD's roots only";
            changes.push(Effect::Strengthens, kind, subject, text);
        }
        (Place::InsecureLocal(before), Place::InsecureLocal(after)) => {
            for (what, same) in [
                ("the certificate of the local cloud", before.ca_sha256 == after.ca_sha256),
                ("the forged AMD roots", before.amd_root_sha256 == after.amd_root_sha256),
                ("the forged root of utility VMs", before.uvm_root_sha256 == after.uvm_root_sha256),
            ] {
                if !same {
                    changes.push(Effect::Weakens, kind, subject, format!("{what} is another"));
                }
            }
            if before.address != after.address {
                let text = format!("moves to the local cloud at {}", after.address);
                changes.push(Effect::Changes, Kind::Place, subject, text);
            }
        }
    }
}

/// Private keys that a manifest names, where everybody may read them.
fn published(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let only_in = |one: &'_ Manifest, other: &Manifest| -> Vec<Name> {
        let named = |key| other.signer().values().any(|signer| signer.insecure_key == key);
        let signers = one.signer().iter().filter(|(_, signer)| signer.insecure_key.is_some());
        let only = signers.filter(|(_, signer)| !named(signer.insecure_key.clone()));
        only.map(|(name, _)| name.clone()).collect()
    };
    for (names, effect, text) in [
        (only_in(new, old), Effect::Weakens, "its private key is where everybody may read it"),
        (
            only_in(old, new),
            Effect::Changes,
            "its private key is not named any more; whoever has read it still has it",
        ),
    ] {
        for name in names {
            changes.push(effect, Kind::TrustAnchor, format!("signer {name}"), text);
        }
    }
}

/// A certificate that lies on neither side is no part of the change, and is told as not seen. One that a side names and the other
/// does not may bring another key, or drop one.
fn unread_signers(old: &Side<'_>, new: &Side<'_>, changes: &mut Changes) {
    let kind = Kind::UnreadSigner;
    let only_in = |one: &Side<'_>, other: &Side<'_>| -> Vec<(Name, String)> {
        let known: BTreeSet<&str> = unread(other).map(|(_, path)| path).collect();
        let only = unread(one).filter(|(_, path)| !known.contains(path));
        only.map(|(name, path)| (name.clone(), path.to_owned())).collect()
    };
    for (name, path) in only_in(new, old) {
        let text = format!(
            "its certificate {path} could not be read: whoever is in it decides everything, and may be another than before"
        );
        changes.push(Effect::Weakens, kind, format!("signer {name}"), text);
    }
    for (name, path) in only_in(old, new).iter().filter(|_| unread(new).next().is_none()) {
        let text = format!(
            "its certificate {path} could not be read on the old side, so whether its key stays is not known"
        );
        changes.push(Effect::Weakens, kind, format!("signer {name}"), text);
    }
}

fn unread<'a>(side: &'a Side<'_>) -> impl Iterator<Item = (&'a Name, &'a str)> {
    side.signers.iter().filter_map(|(name, key)| match key {
        SignerKey::Known(_) => None,
        SignerKey::Unread(path) => Some((name, path.as_str())),
    })
}
