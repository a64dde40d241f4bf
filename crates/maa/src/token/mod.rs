//! Tokens that MAA signs: attestation results, and answers about policies.
//!
//! A token is a JWT (RFC 7519) with RS256. Its issuer is compared to the letter, since signing
//! keys are regional: a token of anybody's provider in the region verifies under ours.
//! The key set must come from the issuer's `/certs` over TLS; it is what is trusted here, and
//! every key is read from its `x5c[0]`, the only form that all recorded key sets have.
//! The certificate is a container: its validity and its issuer say nothing and are not looked at.
//!
//! A token says what it is by its claims only. Whether they are enough is for
//! [`crate::release`] and the callers to decide.

mod jwks;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
pub use jwks::{Jwks, JwksError};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use crate::rs256::KeyError;
use crate::{encoding::from_base64url, policy_jws::refuse};

/// How far the service's clock and ours may be apart, in both directions.
pub const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The longest token that is read, in bytes.
pub const MAX_TOKEN: usize = 256 * 1024;

/// Verifies a token of the given issuer (the provider's address, without a slash at its end).
///
/// 1. It has three parts, each base64url, and at most [`MAX_TOKEN`] bytes.
/// 2. The header says `alg` `RS256` and `typ` `JWT`, and has no `crit`.
/// 3. The header's `jku` is the issuer's `/certs`.
/// 4. The key set has exactly one key of the header's `kid`, and it is an RSA key.
/// 5. The signature is that key's.
/// 6. The claim `iss` is the issuer, to the letter.
/// 7. It is valid at `now`, give or take [`LEEWAY`]: `nbf` and `iat` are past, `exp` is not.
///
/// # Errors
/// With the first step that fails.
pub fn verify(
    token: &str,
    jwks: &Jwks,
    issuer: &str,
    now: Timestamp,
) -> Result<VerifiedToken, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed("too long"));
    }
    let (input, signature) =
        token.rsplit_once('.').ok_or(TokenError::Malformed("not three parts"))?;
    let (header, payload) =
        input.split_once('.').ok_or(TokenError::Malformed("not three parts"))?;
    let decode = |part, what| from_base64url(part).map_err(|_| TokenError::Malformed(what));
    let header = decode(header, "a header that is not base64url")?;
    let payload = decode(payload, "a payload that is not base64url")?;
    let signature = decode(signature, "a signature that is not base64url")?;

    let header: RawHeader = serde_json::from_slice(&header)
        .map_err(|_| TokenError::Malformed("a header that is not understood"))?;
    if header.alg != "RS256" {
        return Err(TokenError::Algorithm);
    }
    if header.typ != "JWT" {
        return Err(TokenError::Type);
    }
    if header.jku.strip_prefix(issuer) != Some("/certs") {
        return Err(TokenError::KeySetAddress);
    }
    let key = jwks.key(&header.kid)?;
    key.verify(input.as_bytes(), &signature).map_err(|_| TokenError::Signature)?;

    let claims: Map<String, Value> = serde_json::from_slice(&payload)
        .map_err(|_| TokenError::Malformed("a payload that is not a JSON object"))?;
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(TokenError::Issuer);
    }
    let (issued_at, not_before, expires) =
        (time(&claims, "iat")?, time(&claims, "nbf")?, time(&claims, "exp")?);
    if now.duration_since(issued_at) < -LEEWAY || now.duration_since(not_before) < -LEEWAY {
        return Err(TokenError::NotYetValid);
    }
    if now.duration_since(expires) >= LEEWAY {
        return Err(TokenError::Expired);
    }
    Ok(VerifiedToken { issuer: issuer.to_owned(), claims, issued_at, expires })
}

/// A token that its issuer signed, and that is valid.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: String,
    claims: Map<String, Value>,
    issued_at: Timestamp,
    expires: Timestamp,
}

impl VerifiedToken {
    /// The issuer: the provider's address.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// When the service issued it.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// When it expires.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a JWT.
    #[error("the token has {0}")]
    Malformed(&'static str),
    /// It is unsigned, or signed with another algorithm.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// It is not a JWT by its own word.
    #[error("the token's `typ` is not `JWT`")]
    Type,
    /// Its keys are said to be elsewhere.
    #[error("the token's `jku` is not the issuer's")]
    KeySetAddress,
    /// The key set has no such key.
    #[error("the key set has no key of the token's `kid`")]
    UnknownKey,
    /// The key set has two keys of one name.
    #[error("the key set has several keys of the token's `kid`")]
    AmbiguousKey,
    /// The key cannot be used.
    #[error("the signing key")]
    Key(#[from] KeyError),
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Another provider issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// A time is missing or is not a number of seconds.
    #[error("the token has no time `{0}`")]
    Time(&'static str),
    /// It comes from the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is too old.
    #[error("the token has expired")]
    Expired,
}

fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Timestamp, TokenError> {
    let seconds = claims.get(name).and_then(Value::as_i64).ok_or(TokenError::Time(name))?;
    Timestamp::from_second(seconds).map_err(|_| TokenError::Time(name))
}

/// Header of recorded tokens: exactly `alg`, `jku`, `kid`, `typ`. Others would mean nothing here.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    typ: String,
    jku: String,
    kid: String,
    #[serde(default, rename = "crit", deserialize_with = "refuse")]
    _critical: (),
}
