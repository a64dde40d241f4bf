//! Key Vault, data plane: keys that are made, used and released in a simulated HSM, and secrets (azure.md C).
//!
//! Private halves lie in files of their own below `DIR/hsm/`; the service state holds public halves only.
//! A caller is authenticated before anything else is looked at, because clients send an empty first request to learn of the challenge, and
//! authorized at the scope of the key or secret. What is not simulated (certificates, symmetric keys) is refused.
//!
//! Texts and codes are of the service where azure.md C.1–C.6 records them; a function that adds one of ours says so.

mod access;
mod backup;
mod bundle;
mod create;
mod crypto;
mod errors;
mod hsm;
mod import;
mod keys;
mod lifecycle;
mod paging;
mod release;
mod rules;
mod secrets;
mod state;
mod update;

use std::sync::Arc;

use hyper::{Method, StatusCode};

pub use self::state::{
    KeyObject, KeyVaultState, KeyVersion, SecretObject, SecretVersion, StoredPolicy, VaultState,
};

use self::access::Access;
use self::errors::refusal;
use crate::core::{Cloud, Request, Response};

/// Answers a request to a vault (its name in lower case).
///
/// # Errors
/// An error answer.
pub async fn handle(
    cloud: &Arc<Cloud>,
    vault: &str,
    request: Request,
) -> Result<Response, Response> {
    let region = cloud
        .inventory
        .read(|inventory| inventory.vaults.get(vault).map(|vault| vault.location.clone()));
    // A vault that does not exist has no name in the real DNS; the answer is ours.
    let region = region.ok_or_else(|| {
        refusal(StatusCode::NOT_FOUND, "VaultNotFound", &format!("There is no vault {vault}."))
    })?;
    let answer = route(cloud, vault, &request);
    let (Ok(response) | Err(response)) = answer;
    Ok(dress(response, &region, cloud))
}

/// Headers of every answer (azure.md C.1).
fn dress(response: Response, region: &str, cloud: &Cloud) -> Response {
    let network =
        format!("conn_type=Ipv4;addr={};act_addr_fam=InterNetwork;", cloud.settings.address);
    response
        .with("cache-control", "no-cache")
        .with("pragma", "no-cache")
        .with("expires", "-1")
        .with("strict-transport-security", "max-age=31536000;includeSubDomains")
        .with("x-content-type-options", "nosniff")
        .with("x-ms-keyvault-region", region)
        .with("x-ms-keyvault-service-version", "1.9.538.1")
        .with("x-ms-keyvault-network-info", &network)
}

/// Drops every key and secret of a vault (lower-case name) for good. Resource management calls it when a deleted vault is purged.
pub fn purge_vault(cloud: &Cloud, vault: &str) {
    let dropped = cloud.keyvault.change(|state| Ok::<_, ()>(state.vaults.remove(vault)));
    if let Ok(Some(vault)) = dropped {
        for key in vault.keys.values() {
            hsm::forget(cloud, key);
        }
    }
}

fn route(cloud: &Arc<Cloud>, vault: &str, request: &Request) -> Result<Response, Response> {
    let caller = access::authenticate(cloud, request)?;
    let version = access::api_version(request)?;
    let access = Access::new(cloud, vault, caller, version, request)?;
    let mut segments = request.segments();
    if segments.len() > 2 && segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = &request.method;
    match (method, path.as_slice()) {
        (&Method::GET, ["keys"]) => keys::list(&access),
        (&Method::GET, ["keys", name]) => keys::get(&access, name, ""),
        (&Method::GET, ["keys", name, "versions"]) => keys::versions(&access, name),
        (&Method::GET, ["keys", name, "rotationpolicy"]) => {
            lifecycle::rotation_policy(&access, name)
        }
        (&Method::PUT, ["keys", name, "rotationpolicy"]) => {
            lifecycle::set_rotation_policy(&access, name)
        }
        (&Method::GET, ["keys", name, version]) => keys::get(&access, name, version),
        (&Method::POST, ["keys", name, "create"]) => create::create(&access, name),
        (&Method::PUT, ["keys", name]) => import::import(&access, name),
        (&Method::PATCH, ["keys", name]) => update::update_key(&access, name, ""),
        (&Method::PATCH, ["keys", name, version]) => update::update_key(&access, name, version),
        (&Method::DELETE, ["keys", name]) => lifecycle::delete_key(&access, name),
        (&Method::POST, ["keys", "restore"]) => backup::restore_key(&access),
        (&Method::POST, ["keys", name, "backup"]) => backup::backup_key(&access, name),
        (&Method::POST, ["keys", name, "rotate"]) => lifecycle::rotate(&access, name),
        (&Method::POST, ["keys", name, "release"]) => release::release(&access, name, ""),
        (&Method::POST, ["keys", name, version, "release"]) => {
            release::release(&access, name, version)
        }
        (&Method::POST, ["keys", name, version, operation]) => {
            crypto::operate(&access, name, version, operation)
        }
        (&Method::POST, ["keys", name, operation]) => crypto::operate(&access, name, "", operation),
        (&Method::GET, ["deletedkeys"]) => keys::list_deleted(&access),
        (&Method::GET, ["deletedkeys", name]) => lifecycle::deleted_key(&access, name),
        (&Method::POST, ["deletedkeys", name, "recover"]) => lifecycle::recover_key(&access, name),
        (&Method::DELETE, ["deletedkeys", name]) => lifecycle::purge_key(&access, name),
        (_, ["secrets" | "deletedsecrets", ..]) => secrets::route(&access, method, &path),
        _ => Err(refusal(
            StatusCode::NOT_FOUND,
            "NotFound",
            &format!("The local cloud does not serve {method} {} of a vault.", request.path),
        )),
    }
}

#[cfg(test)]
mod tests;
