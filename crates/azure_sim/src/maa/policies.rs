//! Policies of a provider: get, set, reset (azure.md A.6, B.6).

use maa::policy;
use maa::policy_jws::{self, Content, PolicyJws, Signature};
use serde_json::{Value, json};

use super::errors::bad;
use super::{AttestationType, Call};
use crate::core::Response;
use crate::core::encoding::{b64, from_b64};

/// The policy in force.
pub(super) struct InForce {
    /// Its text.
    pub(super) text: String,
    /// Its signer, if it was signed, as claim `x-ms-policy-signer`.
    pub(super) signer: Option<Value>,
}

/// `GET /policies/{type}`: the JWS as it was set, or the default policy.
pub(super) fn get(call: &Call<'_>, kind: AttestationType) -> Result<Response, Response> {
    call.authorize("read")?;
    let jws = stored(call, kind).map_or_else(|| default_jws(kind), Ok)?;
    Ok(call.answer(json!({"x-ms-policy": jws}))?.operation("maa.policies.get"))
}

/// `PUT /policies/{type}`: 1. role; 2. a JWS that carries a policy; 3. its signer, as the provider demands; 4. its text; 5. stored.
pub(super) fn put(call: &Call<'_>, kind: AttestationType) -> Result<Response, Response> {
    call.authorize("write")?;
    let (jws, parsed) = body(call)?;
    let Content::Policy(text) = parsed.content() else {
        return Err(bad("InvalidOperation", "The JWS carries no policy."));
    };
    check_signer(call, &parsed)?;
    policy::parse(text).map_err(|error| bad("PolicyParsingError", &error.service_text()))?;
    let mut claims = json!({"x-ms-policy-result": "Updated", "x-ms-policy-token-hash": policy_jws::token_hash(&jws).as_str()});
    with_signer(&mut claims, &parsed);
    store(call, kind, Some(jws))?;
    Ok(call.answer(claims)?.operation("maa.policies.put"))
}

/// `POST /policies/{type}:reset`: the answer has no hash (recorded).
pub(super) fn reset(call: &Call<'_>, kind: AttestationType) -> Result<Response, Response> {
    call.authorize("delete")?;
    let (_, parsed) = body(call)?;
    if *parsed.content() != Content::Reset {
        return Err(bad("InvalidOperation", "The JWS of a reset carries no policy."));
    }
    check_signer(call, &parsed)?;
    let mut claims = json!({"x-ms-policy-result": "Removed"});
    with_signer(&mut claims, &parsed);
    store(call, kind, None)?;
    Ok(call.answer(claims)?.operation("maa.policies.reset"))
}

/// The text in force and who signed it.
pub(super) fn in_force(call: &Call<'_>, kind: AttestationType) -> Result<InForce, Response> {
    let jws = stored(call, kind).map_or_else(|| default_jws(kind), Ok)?;
    let parsed = policy_jws::parse(&jws).map_err(|error| super::errors::internal(&error))?;
    let text = match parsed.content() {
        Content::Policy(text) => text.clone(),
        Content::Reset => return Err(bad("InvalidOperation", "No policy is set.")),
    };
    Ok(InForce { text, signer: signer_claim(&parsed) })
}

/// Policy-management certificates of the provider, DER.
pub(super) fn trusted(call: &Call<'_>) -> Vec<Vec<u8>> {
    let changed = call.cloud.maa.read(|state| {
        state.providers.get(call.host).and_then(|provider| provider.certificates.clone())
    });
    let certificates = changed.unwrap_or_else(|| call.provider.policy_signing_certificates.clone());
    certificates.iter().filter_map(from_b64).collect()
}

/// A certificate as claims show it (azure.md A.7, recorded).
pub(super) fn certificate_jwk(der: &[u8]) -> Value {
    json!({"alg": "RS256", "kty": "RSA", "use": "sig", "x5c": [b64(der)]})
}

fn body(call: &Call<'_>) -> Result<(String, PolicyJws), Response> {
    let text = std::str::from_utf8(&call.request.body)
        .map_err(|_| bad("InvalidOperation", "The body is not text."))?;
    let parsed = policy_jws::parse(text)
        .map_err(|error| bad("InvalidOperation", &format!("The JWS is not valid: {error}.")))?;
    Ok((text.to_owned(), parsed))
}

/// An isolated provider takes only what one of its certificates signed; another one takes unsigned policies and any signer (azure.md A.6).
/// The texts are ours.
fn check_signer(call: &Call<'_>, parsed: &PolicyJws) -> Result<(), Response> {
    let refused = |error: policy_jws::SignatureError| {
        bad("InvalidOperation", &format!("The policy is not accepted: {error}."))
    };
    if call.isolated() {
        return policy_jws::verify(parsed, &trusted(call)).map(|_| ()).map_err(refused);
    }
    match parsed.signature() {
        Signature::Unsigned => Ok(()),
        Signature::Certificates(..) | Signature::Key(..) => {
            policy_jws::verify_any_signer(parsed).map_err(refused)
        }
    }
}

fn with_signer(claims: &mut Value, parsed: &PolicyJws) {
    if let (Some(signer), Some(claims)) = (signer_claim(parsed), claims.as_object_mut()) {
        claims.insert("x-ms-policy-signer".to_owned(), signer);
    }
}

fn signer_claim(parsed: &PolicyJws) -> Option<Value> {
    match parsed.signature() {
        Signature::Certificates(chain, _) => {
            let x5c: Vec<String> = chain.iter().map(b64).collect();
            Some(json!({"alg": "RS256", "kty": "RSA", "use": "sig", "x5c": x5c}))
        }
        // The members of a bare key are not shown by the type; that it is RSA is all that matters to readers here.
        Signature::Key(..) => Some(json!({"alg": "RS256", "kty": "RSA", "use": "sig"})),
        Signature::Unsigned => None,
    }
}

fn stored(call: &Call<'_>, kind: AttestationType) -> Option<String> {
    call.cloud.maa.read(|state| state.providers.get(call.host)?.policies.get(&kind).cloned())
}

fn store(call: &Call<'_>, kind: AttestationType, jws: Option<String>) -> Result<(), Response> {
    call.cloud.maa.change(|state| {
        let policies = &mut state.providers.entry(call.host.to_owned()).or_default().policies;
        match jws {
            Some(jws) => policies.insert(kind, jws),
            None => policies.remove(&kind),
        };
        Ok(())
    })
}

/// Default policies (azure.md B.6). Those of two types are not known to the public.
fn default_jws(kind: AttestationType) -> Result<String, Response> {
    match kind {
        AttestationType::SevSnpVm => Ok(policy_jws::unsigned(DEFAULT_SNP)),
        AttestationType::SgxEnclave | AttestationType::OpenEnclave => {
            Ok(policy_jws::unsigned(DEFAULT_SGX))
        }
        AttestationType::Tpm => Ok(policy_jws::unsigned_reset()),
        AttestationType::TdxVm | AttestationType::AzureGuest => Err(bad(
            "NotSupported",
            "The default policy of this attestation type is not public; the local cloud has none.",
        )),
    }
}

/// Its hash is that of published tokens (azure.md §0, surprise 2).
const DEFAULT_SNP: &str = "version= 1.0;authorizationrules{=> permit();};";

/// Recorded in 2022 (azure.md B.6).
const DEFAULT_SGX: &str = concat!(
    "version= 1.0;authorizationrules{=> permit();};issuancerules{",
    r#"c:[type=="x-ms-sgx-is-debuggable"] => issue(type="is-debuggable", value=c.value);"#,
    r#"c:[type=="x-ms-sgx-mrsigner"] => issue(type="sgx-mrsigner", value=c.value);"#,
    r#"c:[type=="x-ms-sgx-mrenclave"] => issue(type="sgx-mrenclave", value=c.value);"#,
    r#"c:[type=="x-ms-sgx-product-id"] => issue(type="product-id", value=c.value);"#,
    r#"c:[type=="x-ms-sgx-svn"] => issue(type="svn", value=c.value);"#,
    r#"c:[type=="x-ms-attestation-type"] => issue(type="tee", value=c.value);};"#,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policies_have_the_published_hashes() {
        let check = |text: &str, hash: &str| assert_eq!(policy::policy_hash(text).as_str(), hash);
        check(DEFAULT_SNP, "9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco");
        check(DEFAULT_SGX, "bROrN897ZfWmWY2V0FLUlu3uwk5xatGnKYHn3zBbSlw");
    }
}
