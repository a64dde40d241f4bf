//! The signing keys of an identity provider, by its discovery document (OpenID Connect Discovery 1.0, section 4).
//!
//! Only issuers that the manifest in force names are ever asked. TLS authenticates the answer, under the roots of the
//! transport that the caller brings; the document must name the issuer, and its keys must be at the same host.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

/// Fetches keys and remembers them for a while.
#[derive(Debug)]
pub struct OidcKeys {
    http: reqwest::Client,
    cache: Mutex<BTreeMap<String, Issuer>>,
}

/// What is known of one.
#[derive(Debug)]
struct Issuer {
    /// When asking it last began or ended.
    asked: Instant,
    /// When it last answered, and what.
    answered: Option<(Instant, BTreeMap<String, RsaKey>)>,
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

    /// The issuer's key of this id. One that is not known is asked for anew, though not often, and by one at a time:
    /// nobody waits for what another asks, so an issuer that is silent holds up one request.
    ///
    /// # Errors
    /// The issuer does not answer, is being asked or just failed to answer, or has no such key.
    pub async fn key(&self, issuer: &str, kid: &str) -> Result<RsaKey, OidcError> {
        if let Some(known) = self.known(issuer, kid) {
            return known;
        }
        let fetched = tokio::time::timeout(PATIENCE, self.fetch(issuer)).await;
        let now = Instant::now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = cache.entry(issuer.to_owned());
        let entry = entry.or_insert(Issuer { asked: now, answered: None });
        entry.asked = now;
        let keys = fetched.map_err(|_| OidcError::Silent)??;
        let key = keys.get(kid).cloned();
        entry.answered = Some((now, keys));
        key.ok_or(OidcError::UnknownKey)
    }

    /// What can be said without asking. If nothing can, the caller is who asks now.
    fn known(&self, issuer: &str, kid: &str) -> Option<Result<RsaKey, OidcError>> {
        let now = Instant::now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = cache.get_mut(issuer) else {
            cache.insert(issuer.to_owned(), Issuer { asked: now, answered: None });
            return None;
        };
        if let Some((at, keys)) = &entry.answered
            && let Some(key) = keys.get(kid)
            && now.duration_since(*at) < FRESH
        {
            return Some(Ok(key.clone()));
        }
        if now.duration_since(entry.asked) < PAUSE {
            let answered = entry.answered.as_ref().is_some_and(|(at, _)| *at == entry.asked);
            return Some(Err(if answered { OidcError::UnknownKey } else { OidcError::Paused }));
        }
        entry.asked = now;
        None
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
    /// It is being asked, or did not answer a moment ago.
    #[error("the issuer is not asked again yet")]
    Paused,
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
/// So long an issuer is not asked again: no shorter than [`PATIENCE`], so that one asks at a time.
const PAUSE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 1 << 18;
