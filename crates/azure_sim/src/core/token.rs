//! Who is calling: verification of the access tokens that the simulated Entra and IMDS issue (azure.md E, claims of v1 tokens).

use hyper::header::AUTHORIZATION;
use serde_json::Value;
use uuid::Uuid;

use super::cloud::Cloud;
use super::encoding::from_b64url;
use super::http::Request;

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Object id of the principal; role assignments name it.
    pub oid: Uuid,
    /// Application (client) id.
    pub appid: Uuid,
    /// Tenant.
    pub tid: Uuid,
    /// Audience as it stands in the token.
    pub aud: String,
}

/// Why a request has no caller. Each service makes its own 401 of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No `Authorization: Bearer`.
    #[error("no bearer token")]
    Missing,
    /// Not a JWT of ours, or a wrong signature.
    #[error("the token is not valid")]
    Invalid,
    /// For someone else.
    #[error("the token is for another audience")]
    Audience,
    /// Too old, or not yet valid.
    #[error("the token is expired")]
    Expired,
}

/// Verifies the bearer token of a request for one of the audiences (a trailing slash makes no difference).
///
/// 1. compact JWT with header `alg` RS256 and our `kid`; 2. signature; 3. issuer of this tenant (v1); 4. audience; 5. time;
/// 6. principal claims.
///
/// # Errors
/// The first step that does not hold.
pub fn caller(cloud: &Cloud, request: &Request, audiences: &[&str]) -> Result<Caller, TokenFault> {
    let bearer = request
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(TokenFault::Missing)?;
    verify(cloud, bearer, audiences)
}

/// As [`caller`], for a token that came another way (the registry's exchange).
///
/// # Errors
/// The first step that does not hold.
pub fn verify(cloud: &Cloud, token: &str, audiences: &[&str]) -> Result<Caller, TokenFault> {
    let claims = verify_signature(cloud, token)?;
    let tenant = cloud.settings.tenant;
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer(tenant)) {
        return Err(TokenFault::Invalid);
    }
    let aud = claims.get("aud").and_then(Value::as_str).ok_or(TokenFault::Invalid)?;
    if !audiences.iter().any(|audience| audience.trim_end_matches('/') == aud.trim_end_matches('/'))
    {
        return Err(TokenFault::Audience);
    }
    let now = cloud.now().as_second();
    let time = |name| claims.get(name).and_then(Value::as_i64).ok_or(TokenFault::Invalid);
    if time("exp")? <= now || time("nbf")? > now + SKEW {
        return Err(TokenFault::Expired);
    }
    let id = |name| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .ok_or(TokenFault::Invalid)
    };
    Ok(Caller { oid: id("oid")?, appid: id("appid")?, tid: id("tid")?, aud: aud.to_owned() })
}

fn verify_signature(cloud: &Cloud, token: &str) -> Result<Value, TokenFault> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenFault::Invalid);
    };
    let json = |part: &str| -> Result<Value, TokenFault> {
        let bytes = from_b64url(part).ok_or(TokenFault::Invalid)?;
        serde_json::from_slice(&bytes).map_err(|_| TokenFault::Invalid)
    };
    let head = json(header)?;
    let kid = crate::entra::kid(&cloud.entra_key);
    if head.get("alg").and_then(Value::as_str) != Some("RS256")
        || head.get("kid").and_then(Value::as_str) != Some(&kid)
    {
        return Err(TokenFault::Invalid);
    }
    let key = aws_lc_rs::signature::RsaPublicKeyComponents {
        n: cloud.entra_key.modulus(),
        e: cloud.entra_key.exponent(),
    };
    let signature = from_b64url(signature).ok_or(TokenFault::Invalid)?;
    let signed = token.get(..header.len() + 1 + payload.len()).ok_or(TokenFault::Invalid)?;
    key.verify(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .map_err(|_| TokenFault::Invalid)?;
    json(payload)
}

/// Issuer of v1 tokens.
pub fn issuer(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

const SKEW: i64 = 300;
