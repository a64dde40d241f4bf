//! Microsoft Azure Attestation, data plane (azure.md A).
//!
//! Evidence is verified for real: AMD's roots and the forged ones are both trusted, each with its own root of utility-VM endorsements, so
//! that real and forged parts never mix. Policies are parsed and evaluated by the crate `maa`. Attestation of SEV-SNP is served; other types
//! keep policies but are refused at `/attest` with a text of ours.
//! Attesting and reading metadata need no token; policies and certificates do (azure.md §0, surprise 3).

mod attest;
mod claims;
mod errors;
mod keys;
mod policies;
mod regions;
mod signers;

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::errors::refusal;
pub(crate) use self::keys::key_set;
pub use self::regions::provider_host;
use crate::core::inventory::Provider;
use crate::core::token::{TokenFault, caller};
use crate::core::{Cloud, Request, Response};
use crate::rbac::{Operation, authorize};

/// Persistent state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MaaState {
    /// By host.
    pub providers: BTreeMap<String, ProviderState>,
}

/// What was set on a provider; absent is the default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProviderState {
    /// The JWS of each policy, by attestation type.
    pub policies: BTreeMap<AttestationType, String>,
    /// Policy-management certificates (standard base64 DER), once they were changed.
    pub certificates: Option<Vec<String>>,
}

/// A type of attestation; the path segment is compared without case (azure.md A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the service's")]
pub enum AttestationType {
    SgxEnclave,
    OpenEnclave,
    SevSnpVm,
    TdxVm,
    Tpm,
    AzureGuest,
}

impl AttestationType {
    fn parse(segment: &str) -> Option<Self> {
        Some(match segment.to_ascii_lowercase().as_str() {
            "sgxenclave" => Self::SgxEnclave,
            "openenclave" => Self::OpenEnclave,
            "sevsnpvm" => Self::SevSnpVm,
            "tdxvm" => Self::TdxVm,
            "tpm" => Self::Tpm,
            "azureguest" => Self::AzureGuest,
            _ => return None,
        })
    }
}

/// Answers a request to an attestation provider.
///
/// # Errors
/// An error answer.
pub async fn handle(
    cloud: &Arc<Cloud>,
    host: &str,
    request: Request,
) -> Result<Response, Response> {
    let provider = cloud.inventory.read(|inventory| inventory.providers.get(host).cloned());
    // A provider that does not exist has no name in the real DNS; the answer is ours.
    let provider = provider.ok_or_else(|| {
        refusal(StatusCode::NOT_FOUND, "ProviderNotFound", &format!("There is no provider {host}."))
    })?;
    let call = Call { cloud, host, provider, request: &request };
    let (Ok(response) | Err(response)) = route(&call);
    let id = request.id.simple().to_string();
    let span = id.get(..16).unwrap_or_default();
    Ok(response
        .with("server", "Kestrel")
        .with("x-ms-maa-service-version", "1.11.02134.501")
        .with("x-ms-request-id", &format!("00-{id}-{span}-00")))
}

/// One call to one provider.
struct Call<'a> {
    cloud: &'a Arc<Cloud>,
    host: &'a str,
    provider: Provider,
    request: &'a Request,
}

impl Call<'_> {
    /// Address of the instance: `iss` of its tokens.
    fn issuer(&self) -> String {
        format!("https://{}", self.host)
    }

    /// Isolated providers were made with policy-signing certificates (azure.md F.2).
    fn isolated(&self) -> bool {
        !self.provider.policy_signing_certificates.is_empty()
    }

    /// Checks token and role. A missing role is 401, not 403 (azure.md A.1); the texts are ours, nobody recorded them.
    fn authorize(&self, verb: &str) -> Result<(), Response> {
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/{}\", resource=\"https://attest.azure.net\"",
            self.cloud.settings.tenant
        );
        let refused = |message: &str| {
            refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message)
                .with("www-authenticate", &challenge)
        };
        let caller =
            caller(self.cloud, self.request, &["https://attest.azure.net"]).map_err(|fault| {
                match fault {
                    TokenFault::Missing => refused("The request has no bearer token."),
                    TokenFault::Invalid | TokenFault::Audience | TokenFault::Expired => {
                        refused(&fault.to_string())
                    }
                }
            })?;
        let action = format!("Microsoft.Attestation/attestationProviders/attestation/{verb}");
        authorize(self.cloud, caller.oid, Operation::Action(&action), &self.provider.id)
            .map(|_| ())
            .map_err(|forbidden| refused(&forbidden.to_string()))
    }

    /// An answer about policies or certificates: a token that lives an hour (azure.md A.5).
    fn answer(&self, claims: Value) -> Result<Response, Response> {
        let now = self.cloud.now().as_second();
        let mut payload = if let Value::Object(claims) = claims { claims } else { Map::new() };
        payload.insert("iss".to_owned(), json!(self.issuer()));
        payload.insert("iat".to_owned(), json!(now));
        payload.insert("nbf".to_owned(), json!(now));
        payload.insert("exp".to_owned(), json!(now + 3600));
        let token = keys::sign(self.cloud, self.host, &payload)
            .map_err(|error| errors::internal(&error))?;
        Ok(Response::json(StatusCode::OK, &json!({"token": token})))
    }
}

fn route(call: &Call<'_>) -> Result<Response, Response> {
    let segments = call.request.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let kind = |segment: &str| {
        AttestationType::parse(segment).ok_or_else(|| {
            refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                &format!("There is no attestation type {segment}."),
            )
        })
    };
    match (&call.request.method, path.as_slice()) {
        (&Method::GET, ["certs"]) => {
            let keys = key_set(call.cloud, call.host)
                .ok_or_else(|| errors::internal(&std::io::Error::other("no key set")))?;
            Ok(Response::json(StatusCode::OK, &keys).operation("maa.certs"))
        }
        (&Method::GET, [".well-known", "openid-configuration"]) => {
            Ok(Response::json(StatusCode::OK, &configuration(call)).operation("maa.openid"))
        }
        (method, path) => {
            check_version(call.request)?;
            match (method, path) {
                (&Method::POST, ["attest", segment]) => {
                    let kind = kind(segment)?;
                    let (Ok(answer) | Err(answer)) = attest::attest(call, kind);
                    Ok(answer.operation("maa.attest"))
                }
                (&Method::GET, ["policies", segment]) => policies::get(call, kind(segment)?),
                (&Method::PUT, ["policies", segment]) => policies::put(call, kind(segment)?),
                (&Method::POST, ["policies", segment]) => match segment.split_once(':') {
                    Some((segment, "reset")) => policies::reset(call, kind(segment)?),
                    _ => Err(refusal(StatusCode::NOT_FOUND, "NotFound", "There is no such call.")),
                },
                (&Method::GET, ["certificates"]) => signers::list(call),
                (&Method::POST, ["certificates:add"]) => {
                    signers::change(call, signers::Change::Add)
                }
                (&Method::POST, ["certificates:remove"]) => {
                    signers::change(call, signers::Change::Remove)
                }
                _ => Err(refusal(
                    StatusCode::NOT_FOUND,
                    "NotFound",
                    &format!(
                        "The local cloud does not serve {method} {} of a provider.",
                        call.request.path
                    ),
                )),
            }
        }
    }
}

/// azure.md A.1; the texts are ours.
fn check_version(request: &Request) -> Result<(), Response> {
    match request.query.value("api-version") {
        Some(version) if VERSIONS.contains(&version) => Ok(()),
        Some(version) => Err(refusal(
            StatusCode::BAD_REQUEST,
            "UnsupportedApiVersion",
            &format!("The API version {version} is not supported."),
        )),
        None => Err(refusal(
            StatusCode::BAD_REQUEST,
            "ApiVersionUnspecified",
            "An API version is required.",
        )),
    }
}

/// azure.md A.2, recorded.
fn configuration(call: &Call<'_>) -> Value {
    let issuer = call.issuer();
    json!({
        "response_types_supported": ["token", "none"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "revocation_endpoint": format!("{issuer}/revoke"),
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/certs"),
        "claims_supported": [
            "cnf", "nonce", "x-ms-ver", "x-ms-attestation-type", "x-ms-policy-hash", "x-ms-policy-signer", "x-ms-sgx-is-debuggable",
            "x-ms-sgx-mrenclave", "x-ms-sgx-mrsigner", "x-ms-sgx-svn", "x-ms-sgx-ehd", "x-ms-sgx-collateral", "is-debuggable",
            "sgx-mrsigner", "sgx-mrenclave", "product-id", "svn", "tee",
        ],
    })
}

/// Forgets policies and certificates of a provider (by host). Resource management calls it when a provider is deleted *and* before one is made:
/// a new provider of the same name begins with the default policy.
pub fn forget_provider(cloud: &Cloud, host: &str) {
    let forgotten = cloud.maa.change(|state| Ok::<_, ()>(state.providers.remove(host)));
    if matches!(forgotten, Ok(Some(_))) {
        tracing::info!(host, "attestation provider forgotten");
    }
}

/// `jti`: 64 lower-case hex digits (azure.md A.5).
fn token_id() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// azure.md A.1.
const VERSIONS: &[&str] = &[
    "2018-09-01-preview",
    "2020-10-01",
    "2022-08-01",
    "2022-09-01-preview",
    "2023-04-01-preview",
    "2025-06-01",
    "2026-03-11-preview",
];

#[cfg(test)]
mod tests;
