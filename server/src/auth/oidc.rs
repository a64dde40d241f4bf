//! The signing keys of an identity provider, by its discovery document (OpenID Connect Discovery 1.0, section 4).
//!
//! Only issuers that the manifest in force names are ever asked. TLS authenticates the answer, under the roots of the
//! transport that the caller brings; the document must name the issuer, and its keys must be at the same host.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

/// Fetches keys and remembers them for a while.
#[derive(Debug)]
pub struct OidcKeys {
    http: reqwest::Client,
    cache: Mutex<BTreeMap<String, Fetched>>,
}

#[derive(Debug)]
struct Fetched {
    at: Instant,
    keys: BTreeMap<String, RsaKey>,
}

/// An RSA public key, its numbers in base64url.
#[derive(Debug, Clone)]
pub struct RsaKey {
    /// Modulus.
    pub n: String,
    /// Exponent.
    pub e: String,
}

impl OidcKeys {
    /// Asks over this client.
    #[must_use]
    pub fn new(http: reqwest::Client) -> Self {
        Self { http, cache: Mutex::default() }
    }

    /// The issuer's key of this id. One that is not known is asked for anew, though not often.
    ///
    /// # Errors
    /// The issuer does not answer, or has no such key.
    pub async fn key(&self, issuer: &str, kid: &str) -> Result<RsaKey, OidcError> {
        let mut cache = self.cache.lock().await;
        if let Some(fetched) = cache.get(issuer) {
            let age = fetched.at.elapsed();
            match fetched.keys.get(kid) {
                Some(key) if age < FRESH => return Ok(key.clone()),
                None if age < PAUSE => return Err(OidcError::UnknownKey),
                Some(_) | None => {}
            }
        }
        let keys = tokio::time::timeout(PATIENCE, self.fetch(issuer))
            .await
            .map_err(|_| OidcError::Silent)??;
        let key = keys.get(kid).cloned();
        cache.insert(issuer.to_owned(), Fetched { at: Instant::now(), keys });
        key.ok_or(OidcError::UnknownKey)
    }

    async fn fetch(&self, issuer: &str) -> Result<BTreeMap<String, RsaKey>, OidcError> {
        let home: Url = format!("{issuer}/.well-known/openid-configuration")
            .parse()
            .map_err(|_| OidcError::Malformed("issuer"))?;
        let document: Discovery = self.get(home.clone(), "discovery document").await?;
        if document.issuer != issuer {
            return Err(OidcError::OtherIssuer);
        }
        let place: Url = document.jwks_uri.parse().map_err(|_| OidcError::Malformed("jwks_uri"))?;
        let same = place.host_str() == home.host_str() || place.host_str() == Some(ENTRA);
        if place.scheme() != "https" || !same || place.port().is_some() {
            return Err(OidcError::Malformed("jwks_uri"));
        }
        let set: KeySet = self.get(place, "keys").await?;
        let usable = set.keys.into_iter().filter_map(|key| match key {
            Key { kty, r#use, kid: Some(kid), n: Some(n), e: Some(e) }
                if kty == "RSA" && r#use.as_deref().is_none_or(|r#use| r#use == "sig") =>
            {
                Some((kid, RsaKey { n, e }))
            }
            Key { .. } => None,
        });
        Ok(usable.collect())
    }

    async fn get<T: for<'de> Deserialize<'de>>(
        &self,
        url: Url,
        what: &'static str,
    ) -> Result<T, OidcError> {
        let mut answer = self.http.get(url).send().await.map_err(OidcError::Unavailable)?;
        if !answer.status().is_success() {
            return Err(OidcError::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(OidcError::Unavailable)? {
            if body.len().saturating_add(chunk.len()) > LONGEST {
                return Err(OidcError::Malformed(what));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| OidcError::Malformed(what))
    }
}

/// Documents of others: more members than these are expected.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    r#use: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The issuer has no key of this id.
    #[error("the issuer has no such key")]
    UnknownKey,
    /// The document is another issuer's.
    #[error("the discovery document names another issuer")]
    OtherIssuer,
    /// Not of the expected form, or too large.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Not an answer.
    #[error("the issuer answered with status {0}")]
    Status(u16),
    /// No answer in time.
    #[error("the issuer did not answer in time")]
    Silent,
    /// No answer.
    #[error("asking the issuer")]
    Unavailable(#[source] reqwest::Error),
}

/// Keys of Entra tenants, whatever host the issuer has.
const ENTRA: &str = "login.microsoftonline.com";
/// A key that is withdrawn is accepted so much longer at most.
const FRESH: Duration = Duration::from_secs(3600);
/// So long an unknown key is not asked for again.
const PAUSE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 1 << 18;
