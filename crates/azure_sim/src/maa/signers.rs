//! Policy-management certificates of isolated providers (azure.md A.7).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Call;
use super::errors::bad;
use super::policies::{certificate_jwk, trusted};
use crate::core::Response;
use crate::core::encoding::{b64, from_b64, from_b64url};

/// Which way the list changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
}

/// `GET /certificates`: an empty list on providers that are not isolated (recorded).
pub(super) fn list(call: &Call<'_>) -> Result<Response, Response> {
    call.authorize("read")?;
    let keys: Vec<Value> = if call.isolated() {
        trusted(call).iter().map(|der| certificate_jwk(der)).collect()
    } else {
        Vec::new()
    };
    Ok(call
        .answer(json!({"x-ms-policy-certificates": {"keys": keys}}))?
        .operation("maa.certificates.get"))
}

/// `POST /certificates:add` and `:remove`: 1. role; 2. the provider is isolated; 3. a JWS signed RS256 by one of its certificates;
/// 4. a certificate in it; 5. changed. Adding what is there, or removing what is not, is no fault.
pub(super) fn change(call: &Call<'_>, change: Change) -> Result<Response, Response> {
    call.authorize(if change == Change::Add { "write" } else { "delete" })?;
    if !call.isolated() {
        // Recorded.
        let message = "Attestation Enclave operation failed with 65530: RETURN_IF_TRUE('(GetPolicyRootCertificates().empty())') failed with 0xfffa:The operation is disallowed.\r\nRETURN_IF_ERROR('pEnclave->AddPolicyManagementCertificate( clientApiVersion, policyManagementCertBuffer, *suppliedClaims, policyCertificates)') failed with 0xfffa: 'The operation is disallowed'\r\n";
        return Err(bad("InvalidOperation", message));
    }
    let jws = body(call)?;
    let mut certificates = trusted(call);
    let payload = verify(&jws, &certificates)?;
    let subject = ["policyCertificate", "maa-policyCertificate", "aas-policyCertificate"]
        .iter()
        .find_map(|name| from_b64(payload.get(name)?.get("x5c")?.get(0)?.as_str()?))
        .filter(|der| X509Certificate::from_der(der).is_ok())
        .ok_or_else(|| bad("InvalidParameter", "The payload has no policyCertificate with x5c."))?;
    match change {
        Change::Add if !certificates.contains(&subject) => certificates.push(subject.clone()),
        Change::Add => {}
        Change::Remove => certificates.retain(|known| *known != subject),
    }
    if certificates.is_empty() {
        // Whether the real service refuses this nobody recorded.
        return Err(bad(
            "InvalidOperation",
            "The last policy-management certificate cannot be removed.",
        ));
    }
    let stored: Vec<String> = certificates.iter().map(b64).collect();
    call.cloud.maa.change(|state| {
        state.providers.entry(call.host.to_owned()).or_default().certificates = Some(stored);
        Ok::<_, Response>(())
    })?;
    let result = if change == Change::Add { "IsPresent" } else { "IsAbsent" };
    let claims = json!({
        "x-ms-certificate-thumbprint": hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, &subject)),
        "x-ms-policycertificates-result": result,
    });
    Ok(call.answer(claims)?.operation("maa.certificates.change"))
}

/// A JSON string that holds a JWS, or the object of the 2025-06-01 interface.
fn body(call: &Call<'_>) -> Result<String, Response> {
    let value: Value =
        call.request.json().map_err(|_| bad("InvalidParameter", "The body is not JSON."))?;
    let text = match &value {
        Value::String(text) => Some(text),
        Value::Object(map) => {
            match map.get("policyCertificateToAdd").or_else(|| map.get("policyCertificateToRemove"))
            {
                Some(Value::String(text)) => Some(text),
                _ => None,
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    text.cloned().ok_or_else(|| bad("InvalidParameter", "The body holds no JWS."))
}

/// Microsoft's Python client (azure-security-attestation 1.0) writes `RSA256` and puts the certificate into `jwk`; the service takes it.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    x5c: Option<Vec<String>>,
    jwk: Option<RawJwk>,
}

#[derive(Deserialize)]
struct RawJwk {
    x5c: Vec<String>,
}

/// The texts are ours.
fn verify(jws: &str, trusted: &[Vec<u8>]) -> Result<Value, Response> {
    let refused = |message: &str| bad("InvalidOperation", message);
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return Err(refused("The JWS has not three parts."));
    };
    let decoded = |part: &str| {
        from_b64url(part).ok_or_else(|| refused("A part of the JWS is not base64url."))
    };
    let head: RawHeader = serde_json::from_slice(&decoded(header)?)
        .map_err(|_| refused("The header of the JWS names no signer as x5c."))?;
    if !matches!(head.alg.as_str(), "RS256" | "RSA256") {
        return Err(refused("The JWS is not signed with RS256."));
    }
    let signer = head
        .x5c
        .or_else(|| Some(head.jwk?.x5c))
        .and_then(|x5c| x5c.into_iter().next())
        .and_then(from_b64)
        .ok_or_else(|| refused("The JWS names no signer as x5c."))?;
    if !trusted.contains(&signer) {
        return Err(refused("The signer of the JWS is not a policy-management certificate."));
    }
    let (_, certificate) = X509Certificate::from_der(&signer)
        .map_err(|_| refused("The signer's certificate cannot be read."))?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, certificate.public_key().raw)
        .verify(format!("{header}.{payload}").as_bytes(), &decoded(signature)?)
        .map_err(|_| refused("The signature of the JWS is wrong."))?;
    serde_json::from_slice(&decoded(payload)?)
        .map_err(|_| refused("The payload of the JWS is not JSON."))
}
