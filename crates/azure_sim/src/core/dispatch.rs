//! From a request to the service that answers it, by host name, with faults and counters around.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::cloud::Cloud;
use super::faults::Action;
use super::http::{Request, Response};
use super::told::Repeated;
use crate::{arm, blob, control, entra, imds, kds, keyvault, maa, registry};

/// Which service a host name belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Family {
    /// `login.microsoftonline.com` and its older names.
    Entra,
    /// `management.azure.com`.
    Arm,
    /// `NAME.vault.azure.net`: the vault's name in lower case.
    KeyVault(String),
    /// `NAME.REGION.attest.azure.net`: the whole host.
    Maa(String),
    /// `ACCOUNT.blob.core.windows.net`: the account.
    Blob(String),
    /// `NAME.azurecr.io`: the registry.
    Registry(String),
    /// The instance-metadata endpoint (its own listener).
    Imds,
    /// `kdsintf.amd.com`: AMD's.
    Kds,
    /// `control.local`: ours.
    Control,
}

impl Family {
    /// The family of a host (lower case, no port); `None` if it is not of this cloud.
    pub fn of(host: &str) -> Option<Self> {
        match host {
            "login.microsoftonline.com" | "login.windows.net" | "sts.windows.net" => {
                return Some(Self::Entra);
            }
            "management.azure.com" => return Some(Self::Arm),
            "kdsintf.amd.com" => return Some(Self::Kds),
            "control.local" => return Some(Self::Control),
            _ => {}
        }
        let label = |suffix: &str| {
            host.strip_suffix(suffix)
                .filter(|name| !name.is_empty() && !name.contains('.'))
                .map(str::to_owned)
        };
        if let Some(instance) = host.strip_suffix(".attest.azure.net") {
            let (name, region) = instance.split_once('.')?;
            return (!name.is_empty() && !region.is_empty() && !region.contains('.'))
                .then(|| Self::Maa(host.to_owned()));
        }
        label(".vault.azure.net")
            .map(Self::KeyVault)
            .or_else(|| label(".blob.core.windows.net").map(Self::Blob))
            .or_else(|| label(".azurecr.io").map(Self::Registry))
    }

    /// Name in fault scripts and counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Arm => "arm",
            Self::KeyVault(_) => "keyvault",
            Self::Maa(_) => "maa",
            Self::Blob(_) => "blob",
            Self::Registry(_) => "registry",
            Self::Imds => "imds",
            Self::Kds => "kds",
            Self::Control => "control",
        }
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the fault script cut the connection")]
pub struct Cut;

/// Answers a request: fault script, service, counters, common headers.
///
/// # Errors
/// [`Cut`] if the script says so.
pub async fn dispatch(
    cloud: &Arc<Cloud>,
    family: Family,
    request: Request,
) -> Result<Response, Cut> {
    let id = request.id;
    let client_id = request.header("x-ms-client-request-id").map(str::to_owned);
    let line = format!("{} {}", request.method, request.path);
    let fault = cloud.faults.strike(&family, &request);
    let crash = matches!(fault, Some(Action::KillContainers));
    let lose = crash || matches!(fault, Some(Action::LoseResponse | Action::KillClient { .. }));
    let victim = match fault {
        Some(Action::KillClient { pid }) => Some(pid),
        Some(_) | None => None,
    };
    let copy = match &fault {
        Some(Action::Save { folder, into }) => Some((folder.clone(), into.clone())),
        Some(_) | None => None,
    };
    let response = match fault {
        Some(Action::Cut) => {
            tracing::info!(family = family.label(), %line, "fault: cut");
            return Err(Cut);
        }
        Some(Action::Throttle { retry_after, retry_after_ms }) => {
            throttled(&family, retry_after, retry_after_ms)
        }
        Some(Action::Status { status }) => failed(&family, status),
        Some(Action::Stall { ms }) => {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            serve(cloud, &family, request).await
        }
        Some(
            Action::LoseResponse
            | Action::KillClient { .. }
            | Action::KillContainers
            | Action::Save { .. },
        )
        | None => serve(cloud, &family, request).await,
    };
    let ok = response.status.as_u16() < 400;
    cloud.faults.count(response.operation.unwrap_or(family.label()), ok);
    let status = response.status.as_u16();
    match cloud.told.is_repeated(family.label(), &line, status) {
        Repeated::No => {
            tracing::info!(family = family.label(), %line, status, request = %id, lost = lose, "call");
        }
        Repeated::Lately => {
            tracing::debug!(family = family.label(), %line, status, request = %id, lost = lose, "call");
        }
    }
    if let Some((folder, into)) = copy {
        save(cloud, folder, into, format!("{} {line} {status}", family.label())).await;
    }
    if crash {
        tracing::info!(killed = crate::aci::crash_all(), "fault: containers killed");
    }
    if let Some(pid) = victim {
        let kill =
            tokio::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().await;
        tracing::info!(
            pid,
            done = kill.is_ok_and(|status| status.success()),
            "fault: client killed"
        );
    }
    if lose {
        return Err(Cut);
    }
    let mut response = response;
    if !response.headers.contains_key("x-ms-request-id") {
        response = response.with("x-ms-request-id", &id.to_string());
    }
    Ok(match client_id {
        Some(client_id) => response.with("x-ms-client-request-id", &client_id),
        None => response,
    })
}

/// Copies a folder while no request changes anything.
async fn save(cloud: &Cloud, folder: PathBuf, into: PathBuf, call: String) {
    let _alone = cloud.gate.write().await;
    let saved = tokio::task::spawn_blocking(move || super::saving::save(&folder, &into, &call));
    match saved.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, "fault: the folder was not saved"),
        Err(error) => tracing::error!(%error, "fault: the folder was not saved"),
    }
}

async fn serve(cloud: &Arc<Cloud>, family: &Family, request: Request) -> Response {
    let _open = cloud.gate.read().await;
    let answer = match family {
        Family::Entra => entra::handle(cloud, request).await,
        Family::Arm => arm::handle(cloud, request).await,
        Family::KeyVault(vault) => keyvault::handle(cloud, vault, request).await,
        Family::Maa(host) => maa::handle(cloud, host, request).await,
        Family::Blob(account) => blob::handle(cloud, account, request).await,
        Family::Registry(name) => registry::handle(cloud, name, request).await,
        Family::Imds => imds::handle(cloud, request).await,
        Family::Kds => kds::handle(cloud, &request),
        Family::Control => control::handle(cloud, request).await,
    };
    answer.unwrap_or_else(|refusal| refusal)
}

/// azure.md C.5 (429) for Key Vault; other families: `TooManyRequests`, ours.
fn throttled(family: &Family, retry_after: Option<u32>, retry_after_ms: Option<u32>) -> Response {
    let (code, message) = match family {
        Family::KeyVault(_) => (
            "Throttled",
            "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
        ),
        Family::Entra
        | Family::Arm
        | Family::Maa(_)
        | Family::Blob(_)
        | Family::Registry(_)
        | Family::Imds
        | Family::Kds
        | Family::Control => ("TooManyRequests", "The request was throttled by the fault script."),
    };
    let mut response = Response::arm_error(StatusCode::TOO_MANY_REQUESTS, code, message);
    if let Some(seconds) = retry_after {
        response = response.with("retry-after", &seconds.to_string());
    }
    if let Some(ms) = retry_after_ms {
        response = response.with("retry-after-ms", &ms.to_string());
    }
    response
}

/// The text is ours.
fn failed(family: &Family, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": {"code": "InternalServerError", "message": format!("the fault script failed this call of {}", family.label())}});
    Response::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_belong_to_families() {
        let check =
            |host: &str, expected: Option<Family>| assert_eq!(Family::of(host), expected, "{host}");
        check("login.microsoftonline.com", Some(Family::Entra));
        check("v.vault.azure.net", Some(Family::KeyVault("v".into())));
        check("a.b.vault.azure.net", None);
        check(".vault.azure.net", None);
        check("p.weu.attest.azure.net", Some(Family::Maa("p.weu.attest.azure.net".into())));
        check("weu.attest.azure.net", None);
        check("kdsintf.amd.com", Some(Family::Kds));
        check("example.com", None);
    }
}
