//! How what is kept is protected: who can recover it, what can be destroyed.

use std::collections::BTreeMap;
use std::fmt::Display;

use manifest::{AgeRecipient, Crl, Curve, Manifest, Name, StorageAuth, TlsSource, Trust};

use super::Need;
use super::change::{Changes, Effect, Kind};

/// Everything that is kept.
pub(super) fn compare(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    provider(old, new, changes);
    vault(old, new, changes);
    recovery(old, new, changes);
    let (before, after) = (old.unseal(), new.unseal());
    let subject = "the automatic shares";
    let threshold = (before.threshold, after.threshold);
    changes.number(Kind::Unseal, subject, "the number that opens the store", threshold);
    if before.shares != after.shares {
        let text = format!("are {}, not {}", after.shares, before.shares);
        // With the same threshold, more shares are more that one can lose, and more that can leak.
        let effect = match after.shares > before.shares {
            true => Effect::Weakens,
            false => Effect::Strengthens,
        };
        changes.push(effect, Kind::Unseal, subject, text);
    }
    storage_and_tls(old, new, changes);
    let least = (old.audit().refusals_per_minute, new.audit().refusals_per_minute);
    let what = "the number of refusals a minute that are recorded one by one";
    changes.number(Kind::Audit, "the audit log", what, least);
    place(old, new, changes);
}

fn provider(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let (before, after) = (old.attestation(), new.attestation());
    let subject = "the attestation provider";
    match (before.trust, after.trust) {
        (Trust::Isolated, Trust::Entra) => {
            let text =
                "takes policies of whoever has the role in Entra, without a signer's signature";
            changes.push(Effect::Weakens, Kind::PolicySignature, subject, text);
        }
        (Trust::Entra, Trust::Isolated) => {
            let text = "takes only policies that a signer has signed";
            changes.push(Effect::Strengthens, Kind::PolicySignature, subject, text);
        }
        (Trust::Isolated, Trust::Isolated) | (Trust::Entra, Trust::Entra) => {}
    }
    match (before.crl, after.crl) {
        (Crl::Require, Crl::IfPresent) => {
            let text = "passes without a revocation list of AMD in force";
            changes.push(Effect::Weakens, Kind::Revocation, "a workload's evidence", text);
        }
        (Crl::IfPresent, Crl::Require) => {
            let text = "needs a revocation list of AMD in force";
            changes.push(Effect::Strengthens, Kind::Revocation, "a workload's evidence", text);
        }
        (Crl::Require, Crl::Require) | (Crl::IfPresent, Crl::IfPresent) => {}
    }
    if before.address != after.address {
        let text = format!(
            "is {}, not {}: it decides who gets the master key",
            after.address, before.address
        );
        changes.push(Effect::Weakens, Kind::Provider, subject, text);
    }
}

fn vault(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let (before, after) = (old.master_key(), new.master_key());
    let subject = "the master key";
    if before.immutable != after.immutable {
        let (effect, text) = match after.immutable {
            false => {
                (Effect::Weakens, "its release policy can be changed by whoever may write the key")
            }
            true => (Effect::Strengthens, "its release policy can never be changed"),
        };
        changes.push(effect, Kind::ReleasePolicy, subject, text);
    }
    match (before.curve, after.curve) {
        (Curve::P384, Curve::P256) => {
            changes.push(Effect::Weakens, Kind::Curve, subject, "is on P-256, not P-384");
        }
        (Curve::P256, Curve::P384) => {
            changes.push(Effect::Strengthens, Kind::Curve, subject, "is on P-384, not P-256");
        }
        (Curve::P384, Curve::P384) | (Curve::P256, Curve::P256) => {}
    }
    if before.purge_protection != after.purge_protection {
        let (effect, text) = match after.purge_protection {
            false => (Effect::Weakens, "whoever may purge the vault may destroy it"),
            true => (Effect::Strengthens, "nobody can destroy it before its retention ends"),
        };
        changes.push(effect, Kind::PurgeProtection, subject, text);
    }
    let days = (before.retention_days, after.retention_days);
    changes.number(Kind::Retention, "the vault", "the days that it keeps what was deleted", days);
}

fn recovery(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let (before, after) = (old.recovery(), new.recovery());
    let subject = "recovery";
    let threshold = (before.threshold, after.threshold);
    changes.number(Kind::Recovery, subject, "the number of holders that it takes", threshold);
    let by_recipient = |manifest: &Manifest| {
        let holders = manifest.recovery().holder.iter();
        holders.map(|(name, recipient)| (recipient.clone(), name.clone())).collect()
    };
    let before: BTreeMap<AgeRecipient, Name> = by_recipient(old);
    let after: BTreeMap<AgeRecipient, Name> = by_recipient(new);
    for (recipient, name) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        let text = format!("holds a share, with the key {recipient}");
        changes.push(Effect::Weakens, Kind::Recovery, format!("holder {name}"), text);
    }
    for (recipient, name) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        let text = format!("gets no share any more, with the key {recipient}");
        changes.push(Effect::Strengthens, Kind::Recovery, format!("holder {name}"), text);
    }
}

fn storage_and_tls(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let subject = "the storage account";
    match (old.storage().auth, new.storage().auth) {
        (StorageAuth::ManagedIdentity, StorageAuth::AccessKey) => {
            let text = "has an access key, which could leak";
            changes.push(Effect::Weakens, Kind::StorageAccess, subject, text);
        }
        (StorageAuth::AccessKey, StorageAuth::ManagedIdentity) => {
            let text = "has no access key that could leak";
            changes.push(Effect::Strengthens, Kind::StorageAccess, subject, text);
        }
        (StorageAuth::ManagedIdentity, StorageAuth::ManagedIdentity)
        | (StorageAuth::AccessKey, StorageAuth::AccessKey) => {}
    }
    let subject = "the TLS key";
    let (before, after) = (old.tls(), new.tls());
    if before.source != after.source {
        let made = |source: TlsSource| match source {
            TlsSource::Server => "made in the server, which it never leaves",
            TlsSource::Provisioner => "made by the provisioner",
            TlsSource::Pkcs12 => "brought in a file",
        };
        let rank = |source: TlsSource| match source {
            TlsSource::Server => 0_u8,
            TlsSource::Provisioner => 1,
            TlsSource::Pkcs12 => 2,
        };
        let effect = match rank(after.source) > rank(before.source) {
            true => Effect::Weakens,
            false => Effect::Strengthens,
        };
        let text = format!("is {}, not {}", made(after.source), made(before.source));
        changes.push(effect, Kind::TlsKey, subject, text);
    } else if before.pkcs12 != after.pkcs12 {
        changes.push(Effect::Changes, Kind::TlsKey, subject, "is brought in another file");
    }
    let subject = "the TLS certificate";
    for name in after.names.difference(&before.names) {
        changes.push(Effect::Changes, Kind::TlsNames, subject, format!("is for {name}"));
    }
    for name in before.names.difference(&after.names) {
        changes.push(Effect::Changes, Kind::TlsNames, subject, format!("is no longer for {name}"));
    }
}

/// Where it is.
fn place(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let mut moved = |what: &str, before: &dyn Display, after: &dyn Display| {
        let (before, after) = (before.to_string(), after.to_string());
        if before != after {
            let text = format!("has the {what} {after}, not {before}");
            changes.push(Effect::Changes, Kind::Place, "the deployment", text);
        }
    };
    let ([a, b], [s, t]) = ([old.azure(), new.azure()], [old.storage(), new.storage()]);
    moved("name", &old.deployment().name, &new.deployment().name);
    moved("tenant", &a.tenant, &b.tenant);
    moved("subscription", &a.subscription, &b.subscription);
    moved("location", &a.location, &b.location);
    moved("resource group", &a.resource_group, &b.resource_group);
    moved("identity", &old.server().identity, &new.server().identity);
    moved("registry", &old.server().registry, &new.server().registry);
    moved("repository", &old.server().repository, &new.server().repository);
    moved("vault", &old.master_key().address, &new.master_key().address);
    moved("storage account", &s.account, &t.account);
    moved("storage container", &s.container, &t.container);
    for (what, before, after) in [
        ("processors", f64::from(old.server().cpu), f64::from(new.server().cpu)),
        ("GB of memory", old.server().memory_gb, new.server().memory_gb),
    ] {
        if before.total_cmp(&after).is_ne() {
            let text = format!("has {after} {what}, not {before}");
            changes.push(Effect::Changes, Kind::ServerSize, "the server", text);
        }
    }
}

/// A change that no running server takes, because the revision does not grow.
pub(super) fn revision(old: &Manifest, new: &Manifest, need: Need, changes: &mut Changes) {
    let [before, after] = [old, new].map(|manifest| manifest.deployment().revision);
    let stale = match need {
        Need::Nothing => after < before,
        Need::Signature | Need::Deploy | Need::HandOver => after <= before,
        Need::NewDeployment => false,
    };
    if stale {
        let least = before.saturating_add(1);
        let text = format!("is {after}; a running server takes this manifest from {least} on");
        changes.push(Effect::Changes, Kind::Revision, "the revision", text);
    }
}
