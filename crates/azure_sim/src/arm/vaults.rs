//! `Microsoft.KeyVault/vaults` (azure.md F.2): made, changed, soft-deleted, recovered. Keys and secrets are in [`crate::keyvault`].
//!
//! `vaults/keys` (keys made through the control plane) is refused: our programs use the data plane.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::body::Object;
use super::error::{Answer, ArmError, bad_request};
use super::resources::{Change, Draft};
use super::state::{ArmState, DeletedVault, Kind, Resource};
use crate::core::Cloud;
use crate::core::inventory::Vault;

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    let name = &draft.named.name;
    if !name_is_valid(name) {
        return Err(ArmError::new(
            400,
            "VaultNameNotValid",
            format!(
                "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more information: https://go.microsoft.com/fwlink/?linkid=2147742"
            ),
        ));
    }
    let given = match draft.change {
        Change::Replace => draft.body.needed_object("properties")?,
        Change::Merge => {
            draft.body.object("properties")?.unwrap_or_else(|| Object::of("properties", &EMPTY))
        }
    };
    given.only(&[
        "tenantId",
        "sku",
        "accessPolicies",
        "enabledForDeployment",
        "enabledForDiskEncryption",
        "enabledForTemplateDeployment",
        "enableRbacAuthorization",
        "enableSoftDelete",
        "softDeleteRetentionInDays",
        "enablePurgeProtection",
        "createMode",
        "networkAcls",
        "publicNetworkAccess",
        "vaultUri",
        "provisioningState",
        "hsmPoolResourceId",
        "privateEndpointConnections",
    ])?;
    if let (Some(mode), None) = (given.text("createMode")?, draft.existing) {
        match mode {
            "default" => {}
            "recover" => return recover(draft),
            _ => return Err(given.wrong("createMode", "default or recover")),
        }
    }
    if draft.existing.is_none() {
        refuse_taken(draft)?;
    }
    let mut properties =
        draft.existing.map_or_else(|| defaults(draft), |existing| existing.properties.clone());
    if draft.change == Change::Replace {
        tenant(draft, &given)?;
        given.needed_object("sku")?;
    }
    if let Some(sku) = given.object("sku")? {
        sku.only(&["family", "name"])?;
        match (sku.needed_text("family")?, sku.needed_text("name")?) {
            ("A", name)
                if ["standard", "premium"].contains(&name.to_ascii_lowercase().as_str()) =>
            {
                properties.insert(
                    "sku".to_owned(),
                    json!({ "family": "A", "name": name.to_ascii_lowercase() }),
                );
            }
            _ => return Err(sku.wrong("name", "standard or premium of family A")),
        }
    }
    safeguards(&given, draft.existing, &mut properties)?;
    for name in [
        "enabledForDeployment",
        "enabledForDiskEncryption",
        "enabledForTemplateDeployment",
        "enableRbacAuthorization",
    ] {
        if let Some(flag) = given.flag(name)? {
            properties.insert(name.to_owned(), json!(flag));
        }
    }
    match given.text("publicNetworkAccess")? {
        None => {}
        Some(access) if ["enabled", "disabled"].contains(&access.to_ascii_lowercase().as_str()) => {
            let access =
                if access.eq_ignore_ascii_case("enabled") { "Enabled" } else { "Disabled" };
            properties.insert("publicNetworkAccess".to_owned(), json!(access));
        }
        Some(_) => return Err(given.wrong("publicNetworkAccess", "Enabled or Disabled")),
    }
    if given.list("accessPolicies")?.is_empty() {
        properties.entry("accessPolicies").or_insert_with(|| json!([]));
    } else {
        // The data plane here knows roles only; taking policies and not enforcing them would be a lie.
        return Err(bad_request(
            "The local cloud does not implement access policies: use enableRbacAuthorization.",
        ));
    }
    if let Some(rules) = given.object("networkAcls")? {
        rules.only(&["bypass", "defaultAction", "ipRules", "virtualNetworkRules"])?;
        if rules.text("defaultAction")?.is_some_and(|action| !action.eq_ignore_ascii_case("allow"))
        {
            return Err(bad_request("The local cloud does not implement network rules that deny."));
        }
        properties.insert("networkAcls".to_owned(), Value::Object(rules.members().clone()));
    }
    Ok(Resource {
        kind: Kind::Vault,
        id: draft.named.id.clone(),
        name: draft.existing.map_or(name, |existing| &existing.name).clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top: Map::new(),
        properties,
        secret: Map::new(),
        created: draft.existing.map_or(draft.cx.now, |existing| existing.created),
        ready: draft.cx.now,
    })
}

pub(super) fn publish(cloud: &Arc<Cloud>, resource: &Resource) -> Answer<()> {
    let flag = |name: &str| resource.properties.get(name).and_then(Value::as_bool).unwrap_or(false);
    let vault = Vault {
        name: resource.name.clone(),
        id: resource.id.clone(),
        location: resource.location.clone(),
        premium: resource
            .properties
            .get("sku")
            .and_then(|sku| sku.get("name"))
            .and_then(Value::as_str)
            == Some("premium"),
        retention_days: u32::try_from(retention(resource)).unwrap_or(90),
        purge_protection: flag("enablePurgeProtection"),
        rbac: flag("enableRbacAuthorization"),
        public: resource.properties.get("publicNetworkAccess").and_then(Value::as_str)
            != Some("Disabled"),
    };
    let key = resource.name.to_ascii_lowercase();
    cloud.inventory.change(|facts| {
        facts.vaults.insert(key.clone(), vault);
        Ok::<_, ArmError>(())
    })?;
    cloud.arm.change(|state| {
        state.deleted_vaults.remove(&key);
        Ok(())
    })
}

pub(super) fn withdraw(cloud: &Cloud, resource: &Resource) {
    super::infallible(cloud.inventory.change(|facts| {
        facts.vaults.remove(&resource.name.to_ascii_lowercase());
        Ok(())
    }));
}

/// A deleted vault is kept for its retention.
pub(super) fn keep_deleted(state: &mut ArmState, resource: &Resource, now: Timestamp) {
    let kept = SignedDuration::from_hours(retention(resource).saturating_mul(24));
    let vault = DeletedVault {
        resource: resource.clone(),
        deleted: now,
        purge: now.saturating_add(kept).unwrap_or(Timestamp::MAX),
    };
    state.deleted_vaults.insert(resource.name.to_ascii_lowercase(), vault);
}

/// 3 to 24 letters, digits and single hyphens.
pub(super) fn name_is_valid(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
}

fn retention(resource: &Resource) -> i64 {
    resource.properties.get("softDeleteRetentionInDays").and_then(Value::as_i64).unwrap_or(90)
}

fn defaults(draft: &Draft<'_>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| {
        properties.insert(name.to_owned(), value);
    };
    put("tenantId", json!(draft.cx.cloud.settings.tenant));
    put(
        "vaultUri",
        json!(format!("https://{}.vault.azure.net/", draft.named.name.to_ascii_lowercase())),
    );
    put("enabledForDeployment", json!(false));
    put("enableSoftDelete", json!(true));
    put("softDeleteRetentionInDays", json!(90));
    // azure.md §0, surprise 12: the default turned with api-version 2026-02-01.
    put("enableRbacAuthorization", json!(draft.cx.version >= "2026-02-01"));
    put("publicNetworkAccess", json!("Enabled"));
    put("accessPolicies", json!([]));
    properties
}

/// Soft delete, its retention and purge protection: none of them goes back.
fn safeguards(
    given: &Object<'_>,
    existing: Option<&Resource>,
    properties: &mut Map<String, Value>,
) -> Answer<()> {
    if given.flag("enableSoftDelete")? == Some(false) {
        return Err(bad_request(
            "The property \"enableSoftDelete\" cannot be set to false. Enabling the soft delete for a vault is an irreversible action.",
        ));
    }
    if let Some(days) = given.integer("softDeleteRetentionInDays")? {
        if !(7..=90).contains(&days) {
            return Err(bad_request(
                "The property \"softDeleteRetentionInDays\" must be between 7 and 90.",
            ));
        }
        if existing.is_some_and(|existing| retention(existing) != days) {
            return Err(bad_request(
                "The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.",
            ));
        }
        properties.insert("softDeleteRetentionInDays".to_owned(), json!(days));
    }
    match given.flag("enablePurgeProtection")? {
        None => {}
        Some(true) => {
            properties.insert("enablePurgeProtection".to_owned(), json!(true));
        }
        Some(false) => {
            return Err(bad_request(
                "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.",
            ));
        }
    }
    Ok(())
}

fn tenant(draft: &Draft<'_>, given: &Object<'_>) -> Answer<()> {
    let tenant = given.needed_text("tenantId")?;
    if tenant.parse::<uuid::Uuid>().is_ok_and(|tenant| tenant == draft.cx.cloud.settings.tenant) {
        Ok(())
    } else {
        Err(bad_request(format!("The tenant ID '{tenant}' is not the tenant of the subscription.")))
    }
}

/// Vault names are global, and a deleted vault keeps its name.
fn refuse_taken(draft: &Draft<'_>) -> Answer<()> {
    let key = draft.named.name.to_ascii_lowercase();
    if super::deleted_vaults::find(draft.cx.cloud, &key, draft.cx.now).is_some() {
        return Err(ArmError::new(
            409,
            "ConflictError",
            "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.",
        ));
    }
    if draft.cx.cloud.inventory.read(|facts| facts.vaults.contains_key(&key)) {
        return Err(ArmError::new(
            409,
            "VaultAlreadyExists",
            format!(
                "The vault name '{}' is already in use. Vault names are globally unique so it is possible that the name is already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same name was recently deleted but not purged after being placed in a recoverable state. If the vault is in a recoverable state then the vault will need to be purged before reusing the name. For more information about VaultAlreadyExists, soft delete and purging a vault follow this link https://go.microsoft.com/fwlink/?linkid=2147740.",
                draft.named.name
            ),
        ));
    }
    Ok(())
}

/// `createMode: recover`: the vault as it was, with its keys and secrets but without its role assignments.
fn recover(draft: &Draft<'_>) -> Answer<Resource> {
    let key = draft.named.name.to_ascii_lowercase();
    let found = super::deleted_vaults::find(draft.cx.cloud, &key, draft.cx.now);
    let missing = || {
        // The text is ours.
        ArmError::new(
            404,
            "VaultNotFound",
            format!("There is no deleted vault '{}' to recover.", draft.named.name),
        )
    };
    let deleted = found.ok_or_else(missing)?.resource;
    let same =
        deleted.id.eq_ignore_ascii_case(&draft.named.id) && deleted.location == draft.location;
    if same { Ok(deleted) } else { Err(missing()) }
}

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
