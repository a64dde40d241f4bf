//! `Microsoft.Attestation/attestationProviders` (azure.md F.2). Policies are not ARM resources; see [`crate::maa`].

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::body::Object;
use super::error::{Answer, ArmError, bad_request, invalid_content, method_not_allowed};
use super::resources::{Change, Draft};
use super::state::{Kind, Resource};
use super::{Cx, path};
use crate::core::inventory::Provider;
use crate::core::{Cloud, Response, encoding};
use crate::maa::{forget_provider, provider_host};

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    let name = &draft.named.name;
    let valid = (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !valid {
        return Err(bad_request(format!(
            "The attestation provider name '{name}' is invalid: it must match ^[a-zA-Z0-9-]{{3,24}}$."
        )));
    }
    let properties = draft.body.object("properties")?;
    let empty = Map::new();
    let properties = properties.unwrap_or_else(|| Object::of("properties", &empty));
    let known: &[&str] = match draft.change {
        Change::Replace => &[
            "publicNetworkAccess",
            "tpmAttestationAuthentication",
            "policySigningCertificates",
            // Shown by GET and sent back by clients that change what they read.
            "attestUri",
            "status",
            "trustModel",
            "privateEndpointConnections",
            "provisioningState",
        ],
        Change::Merge => &["publicNetworkAccess", "tpmAttestationAuthentication"],
    };
    properties.only(known)?;
    if let Some(existing) = draft.existing {
        let made_with = existing.secret.get("certificates").cloned().unwrap_or_default();
        if properties.value("policySigningCertificates").is_some()
            && json!(signing_certificates(&properties)?) != made_with
        {
            // [I]: certificates are create-only; later they are managed through the data plane. That the same ones are taken, so that
            // a repeated creation is no error, and the text, are ours.
            return Err(bad_request(format!(
                "policySigningCertificates of the existing attestation provider '{name}' cannot be changed here."
            )));
        }
        let mut changed = existing.clone();
        switches(&properties, &mut changed.properties)?;
        return Ok(changed);
    }
    let host = provider_host(name, draft.location)
        .ok_or_else(|| bad_request("no attestation service at this location"))?;
    let taken = draft.cx.cloud.inventory.read(|facts| facts.providers.contains_key(&host));
    if taken {
        return Err(ArmError::new(
            409,
            "Conflict",
            format!("The attestation provider name '{name}' is already in use."),
        ));
    }
    let certificates = signing_certificates(&properties)?;
    let trust = if certificates.is_empty() { "AAD" } else { "Isolated" };
    let mut shown = Map::new();
    shown.insert("attestUri".to_owned(), json!(format!("https://{host}")));
    shown.insert("status".to_owned(), json!("Ready"));
    shown.insert("trustModel".to_owned(), json!(trust));
    shown.insert("publicNetworkAccess".to_owned(), json!("Enabled"));
    shown.insert("tpmAttestationAuthentication".to_owned(), json!("Enabled"));
    switches(&properties, &mut shown)?;
    let mut secret = Map::new();
    secret.insert("host".to_owned(), json!(host));
    secret.insert("certificates".to_owned(), json!(certificates));
    Ok(Resource {
        kind: Kind::AttestationProvider,
        id: draft.named.id.clone(),
        name: name.clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top: Map::new(),
        properties: shown,
        secret,
        created: draft.cx.now,
        ready: draft.cx.now,
    })
}

pub(super) fn publish(
    cloud: &Arc<Cloud>,
    resource: &Resource,
    existing: Option<&Resource>,
) -> Answer<()> {
    let host = host(resource);
    if existing.is_none() {
        forget_provider(cloud, &host);
    }
    let certificates =
        resource.secret.get("certificates").and_then(Value::as_array).cloned().unwrap_or_default();
    let provider = Provider {
        name: resource.name.clone(),
        id: resource.id.clone(),
        location: resource.location.clone(),
        policy_signing_certificates: certificates
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    };
    cloud.inventory.change(|facts| {
        facts.providers.insert(host, provider);
        Ok(())
    })
}

pub(super) fn withdraw(cloud: &Cloud, resource: &Resource) {
    let host = host(resource);
    forget_provider(cloud, &host);
    super::infallible(cloud.inventory.change(|facts| {
        facts.providers.remove(&host);
        Ok(())
    }));
}

/// `defaultProviders`: the shared provider of each region.
pub(super) fn default_providers(cx: &Cx<'_>, at: Option<&str>) -> Answer {
    if *cx.method() != Method::GET {
        return Err(method_not_allowed());
    }
    let scope = path::subscription_id(cx.cloud.settings.subscription);
    cx.permit("Microsoft.Attestation/attestationProviders/read", &scope)?;
    let shared = |location: &str| {
        let region = provider_host("shared", location)?;
        let region = region.strip_prefix("shared.")?.split('.').next()?.to_owned();
        let name = format!("shared{region}");
        Some(json!({
            "id": format!("/providers/Microsoft.Attestation/attestationProviders/{name}"),
            "name": name,
            "type": "Microsoft.Attestation/attestationProviders",
            "location": location,
            "properties": {
                "attestUri": format!("https://{name}.{region}.attest.azure.net"),
                "trustModel": "AAD",
                "status": "Ready",
            },
        }))
    };
    match at {
        Some(location) => {
            let found = shared(&path::location(location));
            found.map(|body| Response::json(StatusCode::OK, &body)).ok_or_else(|| {
                ArmError::new(
                    404,
                    "ResourceNotFound",
                    format!("There is no default attestation provider in '{location}'."),
                )
            })
        }
        None => {
            let all: Vec<Value> = ["westeurope", "northeurope", "eastus", "westus", "uksouth"]
                .into_iter()
                .filter_map(shared)
                .collect();
            Ok(Response::json(StatusCode::OK, &json!({ "value": all })))
        }
    }
}

fn switches(given: &Object<'_>, shown: &mut Map<String, Value>) -> Answer<()> {
    for name in ["publicNetworkAccess", "tpmAttestationAuthentication"] {
        match given.text(name)? {
            None => {}
            Some(value @ ("Enabled" | "Disabled")) => {
                shown.insert(name.to_owned(), json!(value));
            }
            Some(_) => return Err(given.wrong(name, "Enabled or Disabled")),
        }
    }
    Ok(())
}

/// `{keys:[{kty,x5c:[…]}]}`: the first certificate of each key, which must be a certificate.
fn signing_certificates(properties: &Object<'_>) -> Answer<Vec<String>> {
    let Some(set) = properties.object("policySigningCertificates")? else { return Ok(Vec::new()) };
    set.only(&["keys"])?;
    let mut found = Vec::new();
    for key in set.objects("keys")? {
        key.needed_text("kty")?;
        let first = key.texts("x5c")?.into_iter().next().ok_or_else(|| key.missing("x5c"))?;
        let der = encoding::from_b64(&first).ok_or_else(|| key.wrong("x5c[0]", "base64"))?;
        match x509_parser::parse_x509_certificate(&der) {
            Ok(([], _)) => found.push(first),
            _ => {
                return Err(invalid_content(
                    "policySigningCertificates holds what is no X.509 certificate",
                ));
            }
        }
    }
    Ok(found)
}

fn host(resource: &Resource) -> String {
    resource.secret.get("host").and_then(Value::as_str).unwrap_or_default().to_owned()
}
