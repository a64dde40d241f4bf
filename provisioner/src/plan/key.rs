//! Which master key: the one that a signature, the lock, this machine's record or the user vouches for, or a new one.
//!
//! A name is not a reason to trust a key: anybody who may import keys could have put it there. And a key that is vouched
//! for and gone is never made anew, since everything that was wrapped with it would be lost without a word.

use std::collections::BTreeMap;

use azure::keys::{Key, KeyKind};
use evidence::Sha256;
use maa::release::ReleasePolicy;
use protocol::bundle::{BundleBody, MasterKeyRef};
use protocol::jwk::{Curve, EcPublicKey};

use super::{Intent, KeyChoice, Local, Operation, Plan};
use crate::inventory::{FoundBundle, FoundVersion, Inventory, KeyState, Reading};

/// A version that something vouches for.
struct Pin {
    name: String,
    version: String,
    public: Option<Sha256>,
    by: &'static str,
}

/// Chooses, and plans the steps about keys. `None` if it cannot be chosen before other steps are done.
pub(super) fn choose(
    intent: Intent<'_>,
    have: &Inventory,
    local: &Local,
    plan: &mut Plan,
) -> Option<KeyChoice> {
    let wanted = intent.rendered.master_key.name();
    let vault = match &have.vault {
        Reading::Found(vault) => Some(vault),
        Reading::Denied => {
            plan.unread.insert("the vault");
            return None;
        }
        Reading::Absent if have.deleted_vault.is_some() => return None,
        Reading::Absent => None,
    };
    let none = BTreeMap::new();
    let keys = vault.map_or(&none, |vault| &vault.keys);
    let signed = vault.and_then(|vault| match &vault.bundle {
        FoundBundle::Signed(body) => Some(&**body),
        FoundBundle::Missing | FoundBundle::Invalid(_) => None,
    });
    let pin = pin(intent, keys, signed, local);
    retire(keys, local, wanted, pin.as_ref(), plan);
    let Some(pin) = pin else { return unpinned(intent, keys, plan) };
    if pin.name != wanted {
        plan.refuse(
            format!("master key {wanted}"),
            format!(
                "the server's measurement, the attestation policy or a permitted image changed, which needs a new master key; the deployment has {} (by {})",
                pin.name, pin.by
            ),
            "handing over to a new master key is not supported yet: deploy with the server program and the attestation settings that are in force, or destroy the deployment and its store and deploy anew",
        );
        return None;
    }
    pinned(intent, keys.get(wanted), &pin, plan)
}

fn pin(
    intent: Intent<'_>,
    keys: &BTreeMap<String, KeyState>,
    signed: Option<&BundleBody>,
    local: &Local,
) -> Option<Pin> {
    let wanted = intent.rendered.master_key.name();
    // A bundle older than the lock was put back by somebody.
    let known = local.lock.as_ref().map_or(0, |lock| lock.serial);
    if let Some(key) = signed.filter(|body| body.serial >= known).map(|body| &body.master_key) {
        return Some(Pin {
            name: key.name.clone(),
            version: key.version.clone(),
            public: Some(key.public_key.sha256()),
            by: "the signed bundle",
        });
    }
    if let Some(lock) = &local.lock {
        return Some(Pin {
            name: lock.master_key.name.clone(),
            version: lock.master_key.version.clone(),
            public: Some(lock.master_key.public_key_sha256),
            by: "the lock",
        });
    }
    let by = |version: String, by| Pin { name: wanted.to_owned(), version, public: None, by };
    if let Some(version) = &local.adopt {
        return Some(by(version.clone(), "--adopt-master-key"));
    }
    let asked = local.record.as_ref()?.key.as_ref().filter(|asked| asked.name == wanted)?;
    if let Some(made) = &asked.made {
        return Some(Pin {
            name: wanted.to_owned(),
            version: made.version.clone(),
            public: Some(made.public_key_sha256),
            by: "this machine's record",
        });
    }
    match keys.get(wanted) {
        Some(KeyState::Present(versions)) => match versions.as_slice() {
            // Azure tells whole seconds.
            [only]
                if only
                    .about
                    .created
                    .is_some_and(|made| made.as_second() >= asked.asked.as_second())
                    && asked.made_this(&only.key.tags).is_ok() =>
            {
                Some(by(only.key.version.as_str().to_owned(), "this machine's record"))
            }
            _ => None,
        },
        Some(KeyState::Missing | KeyState::Deleted(_)) | None => None,
    }
}

fn unpinned(
    intent: Intent<'_>,
    keys: &BTreeMap<String, KeyState>,
    plan: &mut Plan,
) -> Option<KeyChoice> {
    let key = &intent.rendered.master_key;
    let subject = || format!("master key {}", key.name());
    match keys.get(key.name()) {
        None | Some(KeyState::Missing) => {
            let about = format!("{}, {}, in hardware", key.name(), key.curve());
            plan.act(Operation::CreateMasterKey, about, "there is none");
            Some(KeyChoice::Made)
        }
        Some(KeyState::Deleted(_)) => {
            plan.refuse(
                subject(),
                "is soft-deleted, and nothing shows that it is ours",
                "recover it in Azure and deploy with --adopt-master-key VERSION, or purge it",
            );
            None
        }
        Some(KeyState::Present(versions)) => {
            let list: Vec<String> = versions.iter().map(line).collect();
            plan.refuse(
                subject(),
                format!(
                    "exists, and nothing shows that we made it; it may have been imported ({})",
                    list.join("; ")
                ),
                "if you know the version to be yours: deploy with --adopt-master-key VERSION; else delete and purge the key",
            );
            None
        }
    }
}

fn line(found: &FoundVersion) -> String {
    let made = found.about.created.map_or("at an unknown time".to_owned(), |made| made.to_string());
    format!("version {} made {made}", found.key.version)
}

/// The pinned version must be just what was pinned.
fn pinned(
    intent: Intent<'_>,
    state: Option<&KeyState>,
    pin: &Pin,
    plan: &mut Plan,
) -> Option<KeyChoice> {
    let subject = format!("master key {}/{}", pin.name, pin.version);
    let versions = match state {
        None | Some(KeyState::Missing) => {
            plan.refuse(
                subject,
                format!("named by {} and missing", pin.by),
                "restore it from a backup of the vault; without it the store opens only with the recovery shares",
            );
            return None;
        }
        Some(KeyState::Deleted(_)) => {
            plan.unread.insert("the master key");
            let reason = "is soft-deleted, with its versions";
            plan.act(Operation::RecoverKey { name: pin.name.clone() }, pin.name.clone(), reason);
            return None;
        }
        Some(KeyState::Present(versions)) => versions,
    };
    let is_pinned = |found: &&FoundVersion| found.key.version.as_str() == pin.version;
    let Some(found) = versions.iter().find(is_pinned) else {
        plan.refuse(
            subject,
            format!("the version named by {} is missing", pin.by),
            "restore it from a backup of the vault; without it the store opens only with the recovery shares",
        );
        return None;
    };
    let key = match check(intent, &found.key, pin) {
        Ok(key) => key,
        Err((reason, remedy)) => {
            plan.refuse(subject, reason, remedy);
            return None;
        }
    };
    if !found.about.enabled {
        let (name, version) = (pin.name.clone(), pin.version.clone());
        let id = format!("{name}/{version}");
        plan.act(
            Operation::EnableKeyVersion { name, version },
            id,
            "the pinned version is disabled",
        );
    }
    for extra in versions.iter().filter(|found| !is_pinned(found) && found.about.enabled) {
        disable(&pin.name, extra, plan);
    }
    Some(KeyChoice::Pinned(key))
}

/// A key that an earlier run made for something else, and that nothing uses.
fn retire(
    keys: &BTreeMap<String, KeyState>,
    local: &Local,
    wanted: &str,
    pin: Option<&Pin>,
    plan: &mut Plan,
) {
    let asked = local.record.as_ref().and_then(|record| record.key.as_ref());
    let Some(asked) = asked.filter(|asked| asked.name != wanted) else { return };
    if pin.is_some_and(|pin| pin.name == asked.name) {
        return;
    }
    if let Some(KeyState::Present(versions)) = keys.get(&asked.name) {
        for extra in versions.iter().filter(|found| found.about.enabled) {
            disable(&asked.name, extra, plan);
        }
    }
}

fn disable(name: &str, extra: &FoundVersion, plan: &mut Plan) {
    let version = extra.key.version.as_str().to_owned();
    let id = format!("{name}/{version}");
    let reason = "nothing of ours names this version";
    plan.act(Operation::DisableKeyVersion { name: name.to_owned(), version }, id, reason);
}

/// In this order: an elliptic curve key in hardware, the curve, the public half, exportable, only sign and verify, the
/// release policy, and whether that can change.
pub(crate) fn check_key(
    intent: Intent<'_>,
    key: &Key,
    public: Option<Sha256>,
) -> Result<MasterKeyRef, (String, &'static str)> {
    let wanted = &intent.rendered.master_key;
    let foreign =
        "this is not the key that was made; delete and purge it, and find out who made it";
    let public_key = match &key.kind {
        KeyKind::EcHsm(point) => {
            let curve = match point.curve() {
                azure::keys::Curve::P256 => Curve::P256,
                azure::keys::Curve::P384 => Curve::P384,
            };
            EcPublicKey::from_point(curve, point.uncompressed())
                .map_err(|error| (error.to_string(), foreign))?
        }
        KeyKind::Other(kind) => {
            return Err((
                format!(
                    "is of type {kind}; only a key that the vault cannot decrypt with guards what is wrapped to it"
                ),
                foreign,
            ));
        }
    };
    if public_key.curve().name() != wanted.curve().as_str() {
        let (found, wanted) = (public_key.curve().name(), wanted.curve());
        return Err((
            format!("is on the curve {found}, not {wanted}"),
            "say so in [master_key], or destroy the deployment and deploy anew",
        ));
    }
    if let Some(expected) = public.filter(|expected| *expected != public_key.sha256()) {
        return Err((
            format!("has the public half {}, not {expected}", public_key.sha256()),
            foreign,
        ));
    }
    if !key.exportable {
        return Err(("is not exportable, so no server can have it".to_owned(), foreign));
    }
    let odd: Vec<&str> = key
        .operations
        .iter()
        .map(String::as_str)
        .filter(|operation| !["sign", "verify"].contains(operation))
        .collect();
    if !odd.is_empty() {
        return Err((format!("may {}, beside sign and verify", odd.join(", ")), foreign));
    }
    let policy =
        key.policy.as_ref().ok_or_else(|| ("has no release policy".to_owned(), foreign))?;
    let text = policy.document.to_string();
    let parsed = ReleasePolicy::parse(text.as_bytes())
        .map_err(|error| (format!("its release policy cannot be read: {error}"), foreign))?;
    if parsed != *wanted.release_policy() {
        return Err((
            format!(
                "has another release policy{}",
                if policy.immutable { ", and it is immutable" } else { "" }
            ),
            foreign,
        ));
    }
    if policy.immutable != wanted.immutable() {
        let found = if policy.immutable { "immutable" } else { "changeable" };
        return Err((
            format!("its release policy is {found}"),
            "say so in [master_key], or destroy the deployment and deploy anew",
        ));
    }
    let release_policy: serde_json::Value =
        serde_json::from_str(&wanted.release_policy().to_string())
            .map_err(|error| (error.to_string(), "this is a fault of ours"))?;
    Ok(MasterKeyRef {
        name: key.name.as_str().to_owned(),
        version: key.version.as_str().to_owned(),
        public_key,
        release_policy,
        immutable: policy.immutable,
    })
}

fn check(intent: Intent<'_>, key: &Key, pin: &Pin) -> Result<MasterKeyRef, (String, &'static str)> {
    check_key(intent, key, pin.public)
}
