//! The owner of the subscription, by plain HTTP: what an administrator, or an attacker with an
//! administrator's rights, can do by hand.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::Value;

use crate::cloud::{Cloud, ServicePrincipal, wait_for};

/// An access token of the owner for a resource, as `https://vault.azure.net`.
///
/// # Errors
/// Entra refuses.
pub fn token(cloud: &Cloud, resource: &str) -> anyhow::Result<String> {
    token_of(cloud, cloud.service_principal()?, resource)
}

/// An access token of a service principal.
///
/// # Errors
/// Entra refuses.
pub fn token_of(
    cloud: &Cloud,
    principal: ServicePrincipal,
    resource: &str,
) -> anyhow::Result<String> {
    let client = cloud.client()?;
    let form = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", principal.client_id),
        ("client_secret", principal.client_secret),
        ("scope", format!("{}/.default", resource.trim_end_matches('/'))),
    ];
    let form = url_encoded(&form);
    let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", principal.tenant);
    wait_for(async {
        let request =
            client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer: Value = request.send().await?.json().await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        token.map(str::to_owned).with_context(|| format!("no token: {answer}"))
    })
}

/// A call with a bearer token; `null` stands for no body. Long operations are waited for.
///
/// # Errors
/// No answer, or a status of 400 and above.
pub fn call(
    cloud: &Cloud,
    token: &str,
    method: &str,
    url: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let (status, answer) = ask(cloud, token, method, url, body)?;
    ensure!(status < 400, "{method} {url}: {status}: {answer}");
    Ok(answer)
}

/// As [`call`], with whatever status.
///
/// # Errors
/// No answer.
pub fn ask(
    cloud: &Cloud,
    token: &str,
    method: &str,
    url: &str,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    let client = cloud.client()?;
    let method = Method::from_bytes(method.as_bytes())?;
    wait_for(async {
        let mut request = client.request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let follow = response
            .headers()
            .get("azure-asyncoperation")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let bytes = response.bytes().await?;
        if let Some(operation) = follow {
            for _ in 0..POLLS {
                let answer: Value =
                    client.get(&operation).bearer_auth(token).send().await?.json().await?;
                match answer.get("status").and_then(Value::as_str) {
                    Some("Succeeded" | "Failed" | "Canceled") | None => break,
                    Some(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                }
            }
        }
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    })
}

/// Gives the owner a built-in role on the whole subscription, as every owner can give it to itself. It may have it already.
///
/// # Errors
/// The resource manager refuses.
pub fn grant(cloud: &Cloud, role: &str) -> anyhow::Result<()> {
    grant_to(cloud, &cloud.service_principal()?, role)
}

/// Gives a service principal a built-in role on the whole subscription.
///
/// # Errors
/// The resource manager refuses.
pub fn grant_to(cloud: &Cloud, principal: &ServicePrincipal, role: &str) -> anyhow::Result<()> {
    let scope = format!("/subscriptions/{SUBSCRIPTION}");
    let name = uuid::Uuid::new_v4();
    let url = format!(
        "https://management.azure.com{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01"
    );
    let body = serde_json::json!({"properties": {
        "roleDefinitionId": format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal.oid,
        "principalType": "ServicePrincipal",
    }});
    let token = token(cloud, "https://management.azure.com/")?;
    let (status, answer) = ask(cloud, &token, "PUT", &url, &body)?;
    let code = answer.pointer("/error/code").and_then(Value::as_str);
    ensure!(status < 400 || code == Some("RoleAssignmentExists"), "{url}: {status}: {answer}");
    Ok(())
}

/// What the server's containers wrote on their standard outputs, as every reader of the subscription sees it.
///
/// # Errors
/// There is no container group, or the resource manager refuses.
pub fn server_log(cloud: &Cloud) -> anyhow::Result<String> {
    let token = token(cloud, "https://management.azure.com/")?;
    let get = |path: &str| {
        let url = format!("https://management.azure.com{path}?api-version=2023-05-01");
        call(cloud, &token, "GET", &url, &Value::Null)
    };
    let groups = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/vouchsafe-dev/providers/Microsoft.ContainerInstance/containerGroups"
    );
    let listed = get(&groups)?;
    let group = listed.pointer("/value/0/id").and_then(Value::as_str).context("no group")?;
    let body = get(group)?;
    let containers = body.pointer("/properties/containers").and_then(Value::as_array);
    let mut log = String::new();
    for container in containers.context("no containers")? {
        let name = container.get("name").and_then(Value::as_str).context("no name")?;
        let told = get(&format!("{group}/containers/{name}/logs"))?;
        log += told.get("content").and_then(Value::as_str).context("no content")?;
    }
    Ok(log)
}

/// The subscription of `manifests/dev.toml`.
pub const SUBSCRIPTION: &str = "5b5c0000-0000-4000-8000-000000000001";
/// Key Vault Administrator.
pub const VAULT_ADMINISTRATOR: &str = "00482a5a-887f-4fb3-b363-3b7fe8e74483";
/// Storage Blob Data Contributor.
pub const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
/// Attestation Contributor.
pub const ATTESTATION_CONTRIBUTOR: &str = "bbf86eb8-f7b4-4cce-96e4-18cddf81d86e";

fn url_encoded(pairs: &[(&str, String)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect()
    };
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

const POLLS: u32 = 600;
