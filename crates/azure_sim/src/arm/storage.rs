//! `Microsoft.Storage/storageAccounts` with keys and blob containers (azure.md F.2). Blobs are in [`crate::blob`].

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::body::Object;
use super::error::{Answer, ArmError, bad_request, invalid_content, method_not_allowed};
use super::resources::{Change, Draft, Named};
use super::state::{Kind, Resource};
use super::{Cx, page};
use crate::blob::{self, ContainerCreated, ContainerView};
use crate::core::{Cloud, Response, encoding};

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    let name = &draft.named.name;
    if !name_is_valid(name) {
        return Err(ArmError::new(
            400,
            "AccountNameInvalid",
            format!(
                "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."
            ),
        ));
    }
    if draft.existing.is_none() && super::storage_account(draft.cx.cloud, name).is_some() {
        return Err(ArmError::new(
            409,
            "StorageAccountAlreadyTaken",
            format!("The storage account named {name} is already taken."),
        ));
    }
    let empty = Map::new();
    let given =
        draft.body.object("properties")?.unwrap_or_else(|| Object::of("properties", &empty));
    given.only(&[FLAGS, SETTINGS, SHOWN].concat())?;
    let top = top(draft)?;
    let created = draft.existing.map_or(draft.cx.now, |existing| existing.created);
    let mut properties = match draft.existing {
        Some(existing) => existing.properties.clone(),
        None => defaults(name, draft.location, created),
    };
    for flag in FLAGS {
        if let Some(value) = given.flag(flag)? {
            properties.insert((*flag).to_owned(), json!(value));
        }
    }
    if given.flag("allowBlobPublicAccess")? == Some(true) {
        return Err(bad_request("The local cloud does not implement public access to blobs."));
    }
    for (text, known) in [
        ("minimumTlsVersion", &["TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"][..]),
        ("accessTier", &["Hot", "Cool"]),
        ("publicNetworkAccess", &["Enabled", "Disabled"]),
    ] {
        match given.text(text)? {
            Some(value) if !known.contains(&value) => {
                return Err(given.wrong(text, &known.join(" or ")));
            }
            Some(value) => {
                properties.insert(text.to_owned(), json!(value));
            }
            None => {}
        }
    }
    for object in ["networkAcls", "encryption"] {
        if let Some(value) = given.object(object)? {
            properties.insert(object.to_owned(), Value::Object(value.members().clone()));
        }
    }
    let secret = match draft.existing {
        Some(existing) => existing.secret.clone(),
        None => {
            let mut secret = Map::new();
            for key in KEYS {
                secret.insert(key.to_owned(), json!(encoding::b64(super::random::<64>()?)));
            }
            secret
        }
    };
    Ok(Resource {
        kind: Kind::StorageAccount,
        id: draft.named.id.clone(),
        name: name.clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top,
        properties,
        secret,
        created,
        ready: draft.existing.map_or(draft.cx.now, |existing| existing.ready),
    })
}

pub(super) fn withdraw(cloud: &Cloud, resource: &Resource) -> Answer<()> {
    cloud
        .blob
        .remove_account(&resource.name)
        .map_err(|cause| ArmError::new(500, "InternalServerError", cause.to_string()))
}

/// `POST …/listKeys` and `POST …/regenerateKey`.
pub(super) fn keys(cx: &Cx<'_>, named: &Named, action: &str) -> Answer {
    if cx.method() != Method::POST {
        return Err(method_not_allowed());
    }
    cx.permit(&format!("Microsoft.Storage/storageAccounts/{action}/action"), &named.id)?;
    let mut resource = named.present(cx.cloud)?;
    if action == "regeneratekey" {
        let value: Value = cx.request.json().map_err(invalid_content)?;
        let body = Object::root(&value)?;
        body.only(&["keyName"])?;
        let name = body.needed_text("keyName")?;
        if !KEYS.contains(&name) {
            return Err(body.wrong("keyName", "key1 or key2"));
        }
        resource.secret.insert(name.to_owned(), json!(encoding::b64(super::random::<64>()?)));
        let kept = resource.clone();
        cx.cloud.arm.change(|state| {
            state.resources.insert(named.key(), kept);
            Ok::<_, ArmError>(())
        })?;
    }
    let keys: Vec<Value> = KEYS
        .iter()
        .map(|name| {
            json!({
                "creationTime": resource.created.to_string(),
                "keyName": name,
                "value": resource.secret.get(*name),
                "permissions": "FULL",
            })
        })
        .collect();
    Ok(Response::json(StatusCode::OK, &json!({ "keys": keys })))
}

/// `…/blobServices/default[/containers[/NAME]]`.
pub(super) fn blob_services(cx: &Cx<'_>, account: &Named, rest: &[&str]) -> Answer {
    let service = format!("{}/blobServices/default", account.id);
    match (cx.method(), rest) {
        (&Method::GET, ["default"]) => {
            cx.permit("Microsoft.Storage/storageAccounts/blobServices/read", &service)?;
            let resource = account.present(cx.cloud)?;
            Ok(Response::json(
                StatusCode::OK,
                &json!({
                    "id": service,
                    "name": "default",
                    "type": "Microsoft.Storage/storageAccounts/blobServices",
                    "sku": resource.top.get("sku"),
                    "properties": { "cors": { "corsRules": [] }, "deleteRetentionPolicy": { "enabled": false } },
                }),
            ))
        }
        (&Method::GET, ["default", "containers"]) => {
            cx.permit(&format!("{CONTAINER}/read"), &service)?;
            account.present(cx.cloud)?;
            let all = blob::containers(&cx.cloud.blob, &account.name, cx.now);
            page::page(cx.request, all.iter().map(|view| render(account, view)).collect())
        }
        (_, ["default", "containers", name]) => container(cx, account, name),
        _ => Err(method_not_allowed()),
    }
}

fn container(cx: &Cx<'_>, account: &Named, name: &str) -> Answer {
    let id = format!("{}/blobServices/default/containers/{name}", account.id);
    let find = || {
        blob::containers(&cx.cloud.blob, &account.name, cx.now)
            .into_iter()
            .find(|view| view.name == name)
    };
    match *cx.method() {
        Method::GET => {
            cx.permit(&format!("{CONTAINER}/read"), &id)?;
            account.present(cx.cloud)?;
            let view = find().ok_or_else(|| {
                ArmError::new(404, "ContainerNotFound", "The specified container does not exist.")
            })?;
            Ok(Response::json(StatusCode::OK, &render(account, &view)))
        }
        Method::PUT => {
            cx.permit(&format!("{CONTAINER}/write"), &id)?;
            account.present(cx.cloud)?;
            if !blob::container_name(name) {
                return Err(ArmError::new(
                    400,
                    "ContainerOperationFailure",
                    "The specified resource name contains invalid characters.",
                ));
            }
            let value: Value = if cx.request.body.is_empty() {
                json!({})
            } else {
                cx.request.json().map_err(invalid_content)?
            };
            let metadata = container_metadata(&Object::root(&value)?)?;
            let created =
                blob::ensure_container(&cx.cloud.blob, &account.name, name, metadata, cx.now)
                    .map_err(|cause| {
                        ArmError::new(500, "InternalServerError", cause.to_string())
                    })?;
            let status =
                if created == ContainerCreated::Yes { StatusCode::CREATED } else { StatusCode::OK };
            let body = find().map(|view| render(account, &view)).unwrap_or_default();
            Ok(Response::json(status, &body))
        }
        Method::DELETE => {
            cx.permit(&format!("{CONTAINER}/delete"), &id)?;
            account.present(cx.cloud)?;
            if find().is_none() {
                return Ok(Response::empty(StatusCode::NO_CONTENT));
            }
            // F.2: a lease refuses the control plane too.
            blob::delete_container(&cx.cloud.blob, &account.name, name, cx.now)
                .map_err(|(code, message)| ArmError::new(409, code, message))?;
            Ok(Response::empty(StatusCode::OK))
        }
        _ => Err(method_not_allowed()),
    }
}

/// `POST …/checkNameAvailability`.
pub(super) fn check_name(cx: &Cx<'_>, name: &str) -> Answer {
    if cx.method() != Method::POST {
        return Err(method_not_allowed());
    }
    let (reason, message) = if !name_is_valid(name) {
        ("AccountNameInvalid", format!("{name} is not a valid storage account name."))
    } else if super::storage_account(cx.cloud, name).is_some() {
        ("AlreadyExists", format!("The storage account named {name} is already taken."))
    } else {
        return Ok(Response::json(StatusCode::OK, &json!({ "nameAvailable": true })));
    };
    Ok(Response::json(
        StatusCode::OK,
        &json!({ "nameAvailable": false, "reason": reason, "message": message }),
    ))
}

fn container_metadata(body: &Object<'_>) -> Answer<std::collections::BTreeMap<String, String>> {
    body.only(&["id", "name", "type", "etag", "properties"])?;
    let Some(given) = body.object("properties")? else {
        return Ok(std::collections::BTreeMap::new());
    };
    given.only(&["publicAccess", "metadata"])?;
    if given.text("publicAccess")?.is_some_and(|access| access != "None") {
        return Err(ArmError::new(
            409,
            "PublicAccessNotPermitted",
            "Public access is not permitted on this storage account.",
        ));
    }
    let Some(metadata) = given.object("metadata")? else {
        return Ok(std::collections::BTreeMap::new());
    };
    let one = |(name, value): (&String, &Value)| {
        value
            .as_str()
            .map(|value| (name.to_ascii_lowercase(), value.to_owned()))
            .ok_or_else(|| metadata.wrong(name, "a string"))
    };
    metadata.members().iter().map(one).collect()
}

fn render(account: &Named, view: &ContainerView) -> Value {
    json!({
        "id": format!("{}/blobServices/default/containers/{}", account.id, view.name),
        "name": view.name,
        "type": CONTAINER,
        "etag": view.etag,
        "properties": {
            "publicAccess": "None",
            "leaseState": leading_capital(view.lease_state),
            "leaseStatus": leading_capital(view.lease_status),
            "lastModifiedTime": view.modified.to_string(),
            "metadata": view.metadata,
            "hasImmutabilityPolicy": false,
            "hasLegalHold": false,
            "defaultEncryptionScope": "$account-encryption-key",
            "denyEncryptionScopeOverride": false,
        },
    })
}

fn leading_capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// `sku` and `kind`, which a new account needs and an old one keeps.
fn top(draft: &Draft<'_>) -> Answer<Map<String, Value>> {
    let mut top = draft.existing.map(|existing| existing.top.clone()).unwrap_or_default();
    if let Some(sku) = draft.body.object("sku")? {
        sku.only(&["name", "tier"])?;
        let name = sku.needed_text("name")?;
        if !SKUS.contains(&name) {
            return Err(sku.wrong("name", "a storage SKU"));
        }
        top.insert("sku".to_owned(), json!({ "name": name, "tier": "Standard" }));
    } else if draft.existing.is_none() || draft.change == Change::Replace {
        return Err(draft.body.missing("sku"));
    }
    match draft.body.text("kind")? {
        Some("StorageV2") => {
            top.insert("kind".to_owned(), json!("StorageV2"));
        }
        Some(_) => {
            return Err(bad_request(
                "The local cloud has storage accounts of kind StorageV2 only.",
            ));
        }
        None if draft.existing.is_none() => return Err(draft.body.missing("kind")),
        None => {}
    }
    Ok(top)
}

fn defaults(name: &str, location: &str, created: jiff::Timestamp) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| {
        properties.insert(name.to_owned(), value);
    };
    put("primaryEndpoints", json!({ "blob": format!("https://{name}.blob.core.windows.net/") }));
    put("primaryLocation", json!(location));
    put("statusOfPrimary", json!("available"));
    put("creationTime", json!(created.to_string()));
    put("keyCreationTime", json!({ "key1": created.to_string(), "key2": created.to_string() }));
    put("supportsHttpsTrafficOnly", json!(true));
    put("allowBlobPublicAccess", json!(false));
    put("allowSharedKeyAccess", json!(true));
    put("minimumTlsVersion", json!("TLS1_0"));
    put("accessTier", json!("Hot"));
    put("publicNetworkAccess", json!("Enabled"));
    put(
        "networkAcls",
        json!({ "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "defaultAction": "Allow" }),
    );
    put(
        "encryption",
        json!({ "services": { "blob": { "keyType": "Account", "enabled": true } }, "keySource": "Microsoft.Storage" }),
    );
    properties
}

fn name_is_valid(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

const CONTAINER: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";
pub(super) const KEYS: [&str; 2] = ["key1", "key2"];
const SKUS: &[&str] = &[
    "Standard_LRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_ZRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
];
const FLAGS: &[&str] = &[
    "supportsHttpsTrafficOnly",
    "allowBlobPublicAccess",
    "allowSharedKeyAccess",
    "allowCrossTenantReplication",
    "defaultToOAuthAuthentication",
    "isHnsEnabled",
    "isSftpEnabled",
    "isLocalUserEnabled",
];
const SETTINGS: &[&str] =
    &["minimumTlsVersion", "accessTier", "publicNetworkAccess", "networkAcls", "encryption"];
const SHOWN: &[&str] = &[
    "primaryEndpoints",
    "primaryLocation",
    "statusOfPrimary",
    "creationTime",
    "keyCreationTime",
    "provisioningState",
];
