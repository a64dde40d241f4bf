//! The key set of a provider (`GET /certs`).

use serde::Deserialize;

use super::{KeyError, TokenError};
use crate::{encoding::from_base64, rs256::PublicKey};

/// The keys with which a provider may sign tokens.
#[derive(Debug)]
pub struct Jwks(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: String,
    /// A key that cannot be used is only a fault if a token names it.
    key: Result<PublicKey, KeyError>,
}

impl Jwks {
    /// Reads a JSON Web Key Set (RFC 7517, section 5). Entries without `kid` or `x5c` are passed over.
    ///
    /// # Errors
    /// If it is not a key set, or too large.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        if json.len() > MAX_KEY_SET {
            return Err(JwksError::TooLarge);
        }
        let raw: RawKeys = serde_json::from_slice(json).map_err(JwksError::Json)?;
        let keys = raw.keys.into_iter().filter_map(|raw| {
            let certificate = raw.x5c?.into_iter().next()?;
            let der = from_base64(&certificate).map_err(|_| KeyError::Certificate);
            Some(Key { kid: raw.kid?, key: der.and_then(|der| PublicKey::from_certificate(&der)) })
        });
        Ok(Self(keys.collect()))
    }

    /// The names of the keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.kid.as_str())
    }

    /// The one key of a name.
    pub(super) fn key(&self, kid: &str) -> Result<&PublicKey, TokenError> {
        let mut named = self.0.iter().filter(|key| key.kid == kid);
        match (named.next(), named.next()) {
            (Some(only), None) => only.key.as_ref().map_err(|error| TokenError::Key(*error)),
            (None, _) => Err(TokenError::UnknownKey),
            (Some(_), Some(_)) => Err(TokenError::AmbiguousKey),
        }
    }
}

/// Why a key set was refused.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// It is larger than any provider's.
    #[error("the key set has more than {MAX_KEY_SET} bytes")]
    TooLarge,
    /// It is not JSON of the right shape.
    #[error("the key set is not a JSON Web Key Set")]
    Json(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct RawKeys {
    keys: Vec<RawKey>,
}

/// The service adds members at will; these are all that matter.
#[derive(Deserialize)]
struct RawKey {
    kid: Option<String>,
    x5c: Option<Vec<String>>,
}

const MAX_KEY_SET: usize = 1024 * 1024;
