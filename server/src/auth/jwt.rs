//! Login by a token of an identity provider (OpenID Connect, RS256).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use manifest::{ClaimName, ExactText, Manifest, Name, Operator};
use protocol::b64;
use protocol::grant::SecretText;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::oidc::{OidcError, OidcKeys};

/// A role of the manifest, and the token that shall prove it.
pub struct Login<'a> {
    /// The operator's name.
    pub role: &'a str,
    /// The token of the identity provider.
    pub jwt: &'a SecretText,
}

/// An operator whose token held. Made by [`login`] only.
#[derive(Debug)]
pub struct LoggedIn<'m> {
    name: &'m Name,
    operator: &'m Operator,
}

impl<'m> LoggedIn<'m> {
    /// Who.
    #[must_use]
    pub const fn name(&self) -> &'m Name {
        self.name
    }

    /// What the manifest says of them.
    #[must_use]
    pub const fn operator(&self) -> &'m Operator {
        self.operator
    }
}

/// Checks a login:
///
/// 1. the manifest names the operator, who logs in this way;
/// 2. the header says RS256, names a key, and demands nothing else of us;
/// 3. that key is the issuer's, by its own discovery document, and signed the token;
/// 4. issuer and audience are the manifest's, exactly;
/// 5. the token has begun and has not expired;
/// 6. every claim that the manifest demands is there, exactly.
///
/// # Errors
/// The first that does not hold.
pub async fn login<'m>(
    manifest: &'m Manifest,
    keys: &OidcKeys,
    login: &Login<'_>,
    now: Timestamp,
) -> Result<LoggedIn<'m>, LoginError> {
    let role: Name = login.role.parse().map_err(|_| LoginError::Role)?;
    let (name, operator) = manifest.operator().get_key_value(&role).ok_or(LoginError::Role)?;
    let manifest::Login::Jwt = operator.login;

    let jwt = login.jwt.expose_secret();
    let (signed, signature) = jwt.rsplit_once('.').ok_or(LoginError::Malformed("token"))?;
    let (header, payload) = signed.split_once('.').ok_or(LoginError::Malformed("token"))?;
    let header: Header = part(header, "header")?;
    if header.alg != "RS256" {
        return Err(LoginError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(LoginError::Malformed("header: crit"));
    }

    let key = keys.key(operator.issuer.as_str(), &header.kid).await?;
    let decoding = DecodingKey::from_rsa_components(&key.n, &key.e)
        .map_err(|_| LoginError::Keys(OidcError::Malformed("key")))?;
    match jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &decoding, Algorithm::RS256) {
        Ok(true) => {}
        Ok(false) | Err(_) => return Err(LoginError::Signature),
    }

    let claims: BTreeMap<String, Value> = part(payload, "claims")?;
    let exactly = |name: &'static str, expected: &str| match claims.get(name) {
        Some(Value::String(found)) if found == expected => Ok(()),
        Some(_) | None => Err(LoginError::Claim { name: name.to_owned() }),
    };
    exactly("iss", operator.issuer.as_str())?;
    exactly("aud", operator.audience.as_str())?;
    let expires = seconds(&claims, "exp")?.ok_or(LoginError::Malformed("claims: no exp"))?;
    if now.as_second() >= expires {
        return Err(LoginError::Expired);
    }
    if let Some(begins) = seconds(&claims, "nbf")?
        && now.as_second().saturating_add(SKEW) < begins
    {
        return Err(LoginError::NotYet);
    }
    demanded(&operator.claims, &claims)?;
    Ok(LoggedIn { name, operator })
}

fn demanded(
    demanded: &BTreeMap<ClaimName, ExactText>,
    claims: &BTreeMap<String, Value>,
) -> Result<(), LoginError> {
    for (name, expected) in demanded {
        match claims.get(name.as_str()) {
            Some(Value::String(found)) if found == expected.as_str() => {}
            Some(_) | None => return Err(LoginError::Claim { name: name.as_str().to_owned() }),
        }
    }
    Ok(())
}

fn seconds(
    claims: &BTreeMap<String, Value>,
    name: &'static str,
) -> Result<Option<i64>, LoginError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(LoginError::Malformed("claims: time")),
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str, what: &'static str) -> Result<T, LoginError> {
    let bytes = b64::decode(text).map_err(|_| LoginError::Malformed(what))?;
    serde_json::from_slice(&bytes).map_err(|_| LoginError::Malformed(what))
}

/// Other members say nothing that is used.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    crit: Option<IgnoredAny>,
}

/// Why nobody logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Not the form of a token.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// No such operator.
    #[error("the manifest names no such operator")]
    Role,
    /// Signed otherwise.
    #[error("signed with another algorithm than RS256")]
    Algorithm,
    /// The issuer's keys.
    #[error("the keys of the issuer")]
    Keys(#[from] OidcError),
    /// Not the issuer's signature.
    #[error("the signature does not hold")]
    Signature,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Too early.
    #[error("the token is not valid yet")]
    NotYet,
    /// A claim is absent or another.
    #[error("claim {name} is not what the manifest demands")]
    Claim {
        /// Its name.
        name: String,
    },
}

/// How far the issuer's clock may be ahead, in seconds.
const SKEW: i64 = 60;
