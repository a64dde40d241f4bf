//! Microsoft Azure Attestation, data plane.
//!
//! This module carries bytes. What a token or a policy answer is worth is for its verifier to say: the address of the
//! provider, the keys from [`Client::certs`] and the claims are checked there, and nothing here is evidence of anything.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evidence::RawEvidence;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::call::{Call, Malformed};
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Bearer, Wire, place};

mod error;

pub use error::MaaError;

/// One attestation provider.
#[derive(Debug, Clone)]
pub struct Client {
    address: Url,
    /// Attestation, keys and the OpenID document are public.
    open: Wire,
    /// Policies and their certificates need a role.
    authorized: Wire,
}

/// The token that says what was attested. Whoever holds it can have keys released to the attested key, so it does not
/// print.
#[derive(Debug)]
pub struct AttestationToken(SecretString);

/// A token in which the provider answers about its policies or certificates, still to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerToken(String);

/// A JSON Web Key Set as the provider serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksText(String);

/// A policy as it is sent: a compact JWS, signed or with `alg` `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyJws(String);

/// The attestation type a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttestationType {
    /// AMD SEV-SNP reports, as containers have them.
    SevSnpVm,
    /// Confidential virtual machines, by their vTPM.
    AzureGuest,
}

/// The provider's OpenID document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpenId {
    /// The issuer: the provider's address.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: String,
}

impl AttestationToken {
    /// Takes a compact JWT, for example one that was attested elsewhere.
    #[must_use]
    pub fn new(jwt: SecretString) -> Self {
        Self(jwt)
    }

    /// The compact JWT, for its verifier and for Key Vault.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl AnswerToken {
    /// The compact JWT.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JwksText {
    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PolicyJws {
    /// Takes a compact JWS.
    #[must_use]
    pub fn new(jws: String) -> Self {
        Self(jws)
    }

    /// The unsigned empty policy, which is what a reset on a provider in Entra mode sends.
    #[must_use]
    pub fn unsigned_reset() -> Self {
        Self("eyJhbGciOiJub25lIn0..".to_owned())
    }
}

impl AttestationType {
    fn segment(self) -> &'static str {
        match self {
            Self::SevSnpVm => "SevSnpVm",
            Self::AzureGuest => "AzureGuest",
        }
    }
}

impl Client {
    /// A client of the provider at `address`, for example `https://vouchsafe.weu.attest.azure.net`.
    #[must_use]
    pub fn new(endpoints: &Endpoints, address: &Url, credential: Arc<dyn TokenCredential>) -> Self {
        Self {
            address: address.clone(),
            open: Wire::new(endpoints, Retries::Patient, None),
            authorized: Wire::new(
                endpoints,
                Retries::Patient,
                Some(Bearer { credential, scope: SCOPE }),
            ),
        }
    }

    /// Turns evidence into a token. `runtime_data` is the JSON text whose SHA-256 the report carries; it becomes the claim
    /// `x-ms-runtime`.
    pub async fn attest_sev_snp(
        &self,
        evidence: &RawEvidence,
        runtime_data: &[u8],
    ) -> Result<AttestationToken, MaaError> {
        let call = self.call("attest sev-snp", "attest/SevSnpVm");
        let asked = Asked::new(Method::Post, self.url("attest/SevSnpVm", ApiVersion::Sent))
            .json(&attest_body(evidence, runtime_data));
        let got = self.open.send(&call, asked).await?;
        let token: RawToken = got.json(&call, "a token")?;
        Ok(AttestationToken(token.token.into()))
    }

    /// The policy in force, as an answer token whose claim `x-ms-policy` is the policy's JWS.
    pub async fn policy(&self, kind: AttestationType) -> Result<AnswerToken, MaaError> {
        let path = format!("policies/{}", kind.segment());
        self.answer("get policy", Method::Get, &path, None).await
    }

    /// Sets the policy. The answer's claim `x-ms-policy-token-hash` says what was stored.
    pub async fn set_policy(
        &self,
        kind: AttestationType,
        policy: &PolicyJws,
    ) -> Result<AnswerToken, MaaError> {
        let path = format!("policies/{}", kind.segment());
        let body = Some(("text/plain", policy.0.clone()));
        self.answer("set policy", Method::Put, &path, body).await
    }

    /// Puts Azure's default policy back, which permits everything.
    pub async fn reset_policy(
        &self,
        kind: AttestationType,
        signed_empty: &PolicyJws,
    ) -> Result<AnswerToken, MaaError> {
        let path = format!("policies/{}:reset", kind.segment());
        let body = Some(("text/plain", signed_empty.0.clone()));
        self.answer("reset policy", Method::Post, &path, body).await
    }

    /// The certificates that may sign policies; none on a provider in Entra mode.
    pub async fn certificates(&self) -> Result<AnswerToken, MaaError> {
        self.answer("get policy certificates", Method::Get, "certificates", None).await
    }

    /// Adds a certificate that may sign policies. `change` is a JWS signed by one that may already.
    pub async fn add_certificate(&self, change: &PolicyJws) -> Result<AnswerToken, MaaError> {
        self.change_certificates("add policy certificate", "certificates:add", change).await
    }

    /// Removes a certificate that may sign policies.
    pub async fn remove_certificate(&self, change: &PolicyJws) -> Result<AnswerToken, MaaError> {
        self.change_certificates("remove policy certificate", "certificates:remove", change).await
    }

    /// The keys that sign the provider's tokens. They are shared by a whole region: compare `iss` too.
    pub async fn certs(&self) -> Result<JwksText, MaaError> {
        let call = self.call("get signing keys", "certs");
        let asked = Asked::new(Method::Get, self.url("certs", ApiVersion::Absent));
        let got = self.open.send(&call, asked).await?;
        std::str::from_utf8(&got.body)
            .map(|text| JwksText(text.to_owned()))
            .map_err(|_| MaaError::Malformed(Malformed::new(&call, "UTF-8")))
    }

    /// The provider's OpenID document.
    pub async fn open_id(&self) -> Result<OpenId, MaaError> {
        let path = ".well-known/openid-configuration";
        let call = self.call("get openid document", path);
        let asked = Asked::new(Method::Get, self.url(path, ApiVersion::Absent));
        let got = self.open.send(&call, asked).await?;
        Ok(got.json(&call, "issuer and jwks_uri")?)
    }

    /// Versions up to 2022-08-01 take a JSON string literal that holds the JWS.
    async fn change_certificates(
        &self,
        operation: &'static str,
        path: &str,
        change: &PolicyJws,
    ) -> Result<AnswerToken, MaaError> {
        let literal = serde_json::Value::String(change.0.clone()).to_string();
        let body = Some(("application/json", literal));
        self.answer(operation, Method::Post, path, body).await
    }

    async fn answer(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> Result<AnswerToken, MaaError> {
        let call = self.call(operation, path);
        let mut asked = Asked::new(method, self.url(path, ApiVersion::Sent));
        if let Some((kind, body)) = body {
            asked = asked.body(kind, body);
        }
        let got = self.authorized.send(&call, asked).await?;
        let token: RawToken = got.json(&call, "a token")?;
        Ok(AnswerToken(token.token))
    }

    fn call(&self, operation: &'static str, path: &str) -> Call {
        Call::new(operation, place(&self.url(path, ApiVersion::Absent)))
    }

    fn url(&self, path: &str, version: ApiVersion) -> Url {
        let mut url = self.address.clone();
        url.set_path(path);
        if let ApiVersion::Sent = version {
            url.query_pairs_mut().append_pair("api-version", API_VERSION);
        }
        url
    }
}

enum ApiVersion {
    Sent,
    Absent,
}

#[derive(Deserialize)]
struct RawToken {
    token: String,
}

/// MAA data plane, `AttestSevSnpVm`: base64url within JSON within base64url. A report without a UVM endorsement, as a
/// virtual machine has it, leaves `Endorsements` out.
fn attest_body(evidence: &RawEvidence, runtime_data: &[u8]) -> serde_json::Value {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut report = json!({
        "SnpReport": encode(&evidence.report),
        "VcekCertChain": encode(evidence.certificates.as_bytes()),
    });
    if !evidence.uvm_endorsement.is_empty() {
        let endorsements = json!({ "Uvm": [encode(&evidence.uvm_endorsement)] }).to_string();
        if let Some(object) = report.as_object_mut() {
            object.insert("Endorsements".to_owned(), encode(endorsements.as_bytes()).into());
        }
    }
    json!({
        "report": encode(report.to_string().as_bytes()),
        "runtimeData": { "data": encode(runtime_data), "dataType": "JSON" },
    })
}

const SCOPE: &str = "https://attest.azure.net/.default";
const API_VERSION: &str = "2022-08-01";

#[cfg(test)]
mod tests;
