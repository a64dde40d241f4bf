//! What a key may be, and what may become of one (azure.md C.5).

use super::access::Access;
use super::errors::{Thing, bad};
use super::hsm::{Curve, KeyType};
use super::state::{KeyObject, Standing, StoredPolicy};
use crate::core::Response;

/// May a version of this kind be added to the key of that name?
pub(super) fn fits(
    access: &Access<'_>,
    key: &KeyObject,
    name: &str,
    exportable: bool,
    policy: Option<&StoredPolicy>,
) -> Result<(), Response> {
    key.phase.writable(access.cloud, Thing::Key, name)?;
    if key.phase.standing(access.cloud) == Standing::Gone {
        return Ok(());
    }
    if key.version("").is_some_and(|(_, latest)| latest.exportable != exportable) {
        return Err(bad(
            "AKV.SKR.1003: The exportable attribute of an existing key cannot be changed.",
        ));
    }
    may_replace_policy(key, policy)
}

/// An immutable policy cannot be replaced by another one; the same one again is no change (azure.md C.5, 1020).
pub(super) fn may_replace_policy(
    key: &KeyObject,
    policy: Option<&StoredPolicy>,
) -> Result<(), Response> {
    match (&key.release_policy, policy) {
        (Some(old), Some(new)) if old.immutable && !same(old, new) => {
            Err(bad("AKV.SKR.1020: The release policy is immutable and cannot be modified."))
        }
        _ => Ok(()),
    }
}

fn same(old: &StoredPolicy, new: &StoredPolicy) -> bool {
    use maa::release::ReleasePolicy;
    match (ReleasePolicy::from_data(&old.data), ReleasePolicy::from_data(&new.data)) {
        (Ok(old), Ok(new)) => old == new,
        _ => false,
    }
}

/// azure.md C.2; the text is ours.
pub(super) fn check_name(name: &str) -> Result<(), Response> {
    let fine = !name.is_empty()
        && name.len() <= 127
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fine {
        Ok(())
    } else {
        Err(bad(&format!("The request URI contains an invalid name: {name}")))
    }
}

pub(super) fn key_type(kty: &str) -> Result<KeyType, Response> {
    match kty {
        "EC" => Ok(KeyType::Ec),
        "EC-HSM" => Ok(KeyType::EcHsm),
        "RSA" => Ok(KeyType::Rsa),
        "RSA-HSM" => Ok(KeyType::RsaHsm),
        // Symmetric keys are for managed HSMs only; the text is ours.
        other => Err(bad(&format!(
            "Key type {other} is not supported by this vault; use EC, EC-HSM, RSA or RSA-HSM."
        ))),
    }
}

pub(super) fn curve(name: Option<&str>) -> Result<Curve, Response> {
    match name {
        None | Some("P-256") => Ok(Curve::P256),
        Some("P-384") => Ok(Curve::P384),
        Some("P-521") => Ok(Curve::P521),
        Some("P-256K" | "SECP256K1") => Ok(Curve::P256k),
        Some(other) => {
            Err(bad(&format!("Curve {other} is not supported; use P-256, P-384, P-521 or P-256K.")))
        }
    }
}

/// `key_ops`: those of the type if none are given. That an EC key can neither encrypt nor wrap is the service's; the texts are ours.
pub(super) fn operations(
    kty: KeyType,
    wanted: Option<Vec<String>>,
) -> Result<Vec<String>, Response> {
    let known: &[&str] = match kty {
        KeyType::Rsa | KeyType::RsaHsm => {
            &["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]
        }
        KeyType::Ec | KeyType::EcHsm => &["sign", "verify"],
    };
    let Some(wanted) = wanted else { return Ok(known.iter().map(|&one| one.to_owned()).collect()) };
    match wanted
        .iter()
        .find(|one| !known.contains(&one.as_str()) && !["import", "export"].contains(&one.as_str()))
    {
        Some(other) => {
            Err(bad(&format!("Key operation {other} is not supported for keys of this type.")))
        }
        None => Ok(wanted),
    }
}
