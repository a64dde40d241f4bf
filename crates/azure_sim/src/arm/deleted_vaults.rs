//! Soft-deleted vaults: shown, listed, purged (azure.md F.2).

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::{Answer, ArmError, method_not_allowed};
use super::operations::{self, Ending, LATENCY, Operation, Poll};
use super::path::subscription_id;
use super::state::DeletedVault;
use super::{Cx, page};
use crate::core::{Cloud, Response};

/// A deleted vault by its name in lower case; one whose retention has ended is purged first.
pub(super) fn find(cloud: &Cloud, name: &str, now: Timestamp) -> Option<DeletedVault> {
    let found = cloud.arm.read(|state| state.deleted_vaults.get(name).cloned())?;
    if found.purge > now {
        return Some(found);
    }
    purge_now(cloud, name);
    None
}

/// `…/deletedVaults` of the subscription.
pub(super) fn list(cx: &Cx<'_>) -> Answer {
    if cx.method() != Method::GET {
        return Err(method_not_allowed());
    }
    cx.permit(
        "Microsoft.KeyVault/deletedVaults/read",
        &subscription_id(cx.cloud.settings.subscription),
    )?;
    let names: Vec<String> =
        cx.cloud.arm.read(|state| state.deleted_vaults.keys().cloned().collect());
    let found = names.iter().filter_map(|name| find(cx.cloud, name, cx.now));
    page::page(cx.request, found.map(|vault| render(cx, &vault)).collect())
}

/// `…/locations/LOCATION/deletedVaults/NAME[/purge]`.
pub(super) fn handle(cx: &Cx<'_>, location: &str, name: &str, purge: Option<&str>) -> Answer {
    let scope = subscription_id(cx.cloud.settings.subscription);
    let key = name.to_ascii_lowercase();
    let missing = || {
        // The text is ours.
        ArmError::new(
            404,
            "DeletedVaultNotFound",
            format!("The specified deleted vault '{name}' does not exist in '{location}'."),
        )
    };
    let here = |vault: &DeletedVault| vault.resource.location == super::path::location(location);
    match (cx.method(), purge) {
        (&Method::GET, None) => {
            cx.permit("Microsoft.KeyVault/locations/deletedVaults/read", &scope)?;
            let vault = find(cx.cloud, &key, cx.now).filter(here).ok_or_else(missing)?;
            Ok(Response::json(StatusCode::OK, &render(cx, &vault)))
        }
        (&Method::POST, Some("purge")) => {
            cx.permit("Microsoft.KeyVault/locations/deletedVaults/purge/action", &scope)?;
            let vault = find(cx.cloud, &key, cx.now).filter(here).ok_or_else(missing)?;
            if vault.resource.properties.get("enablePurgeProtection") == Some(&Value::Bool(true)) {
                return Err(ArmError::new(
                    405,
                    "MethodNotAllowed",
                    "Operation 'DeletedVaultPurge' is not allowed.",
                ));
            }
            purge_now(cx.cloud, &key);
            let operation = Operation {
                provider: "Microsoft.KeyVault".to_owned(),
                location: vault.resource.location,
                started: cx.now,
                ends: cx.now.saturating_add(LATENCY).unwrap_or(cx.now),
                follows: None,
                ending: Ending::Ok,
            };
            let id = cx
                .cloud
                .arm
                .change(|state| Ok::<_, ArmError>(operations::begin(state, operation.clone())))?;
            let response = Response::empty(StatusCode::ACCEPTED);
            Ok(operations::announce(cx.cloud, response, id, &operation, Poll::Location, cx.version))
        }
        _ => Err(method_not_allowed()),
    }
}

fn purge_now(cloud: &Cloud, name: &str) {
    crate::keyvault::purge_vault(cloud, name);
    super::infallible(cloud.arm.change(|state| {
        state.deleted_vaults.remove(name);
        Ok(())
    }));
}

fn render(cx: &Cx<'_>, vault: &DeletedVault) -> Value {
    let resource = &vault.resource;
    json!({
        "id": format!(
            "{}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
            subscription_id(cx.cloud.settings.subscription), resource.location, resource.name
        ),
        "name": resource.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": resource.id,
            "location": resource.location,
            "tags": resource.tags,
            "deletionDate": vault.deleted.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "scheduledPurgeDate": vault.purge.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "purgeProtectionEnabled": resource.properties.get("enablePurgeProtection").cloned().unwrap_or(Value::Bool(false)),
        },
    })
}
