//! Wrapped automatic shares: Shamir shares of the root key, wrapped with the master key and, since
//! anyone can wrap, authenticated.
//!
//! At birth there is no older key of the store, so a share carries a MAC under a key derived from
//! the master key's private scalar: whoever made it had been released the master key. Identity,
//! generation and index are under the MAC, so the shares of another store, an older split, or two
//! copies of one share are refused.

use aws_lc_rs::hmac;
use evidence::Sha256;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::jwk::EcPublicKey;
use crate::wrap::{Context, MAX_WRAPPED, MasterKey, WrapError, Wrapped};

/// Which share it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareId<'a> {
    /// The deployment's name.
    pub deployment: &'a str,
    /// The wrapping key, `NAME/VERSION`.
    pub key: &'a str,
    /// The store identity: SHA-256 of its public point.
    pub identity: Sha256,
    /// Counts the splits of the root key, from 1.
    pub generation: u32,
    /// Counts the shares of a split, from 1.
    pub index: u8,
}

impl ShareId<'_> {
    /// The Key Vault secret that holds the share.
    #[must_use]
    pub fn secret_name(&self) -> String {
        let identity = self.identity.to_string();
        let short = identity.get(..16).unwrap_or_default();
        format!("unseal-{short}-{}-{}", self.generation, self.index)
    }

    fn with_context<T>(
        &self,
        f: impl FnOnce(Context<'_>) -> Result<T, WrapError>,
    ) -> Result<T, WrapError> {
        f(Context { deployment: self.deployment, key: self.key, artefact: &self.secret_name() })
    }

    fn authenticated(&self, wrapped: &Wrapped) -> Result<Vec<u8>, WrapError> {
        #[derive(Serialize)]
        struct Authenticated<'a> {
            purpose: &'static str,
            identity: Sha256,
            generation: u32,
            index: u8,
            wrapped: &'a Wrapped,
        }
        let authenticated = Authenticated {
            purpose: "vouchsafe-share",
            identity: self.identity,
            generation: self.generation,
            index: self.index,
            wrapped,
        };
        serde_jcs::to_vec(&authenticated).map_err(|_| WrapError::Malformed)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrappedShare {
    share: Wrapped,
    #[serde(with = "crate::b64")]
    mac: Vec<u8>,
}

/// Wraps a share with the master key and authenticates it as made by one who holds it.
///
/// # Errors
/// Those of wrapping.
pub fn seal(key: &MasterKey, id: &ShareId<'_>, share: &[u8]) -> Result<String, WrapError> {
    let public: &EcPublicKey = key.public();
    let (share, mac_key) = id.with_context(|context| {
        Ok((Wrapped::seal(public, context, share)?, key.mac_key(context)?))
    })?;
    let mac = hmac::sign(&mac_key, &id.authenticated(&share)?).as_ref().to_vec();
    serde_json::to_string(&WrappedShare { share, mac }).map_err(|_| WrapError::Malformed)
}

/// Opens a share: first its MAC, then its wrapping.
///
/// # Errors
/// Not a share, not made by a holder of the master key, not this one, or changed.
pub fn open(
    key: &MasterKey,
    id: &ShareId<'_>,
    text: &str,
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    if text.len() > MAX_WRAPPED {
        return Err(WrapError::Malformed);
    }
    let WrappedShare { share, mac } =
        serde_json::from_str(text).map_err(|_| WrapError::Malformed)?;
    let authenticated = id.authenticated(&share)?;
    id.with_context(|context| {
        hmac::verify(&key.mac_key(context)?, &authenticated, &mac).map_err(|_| WrapError::Mac)?;
        share.open(key, context)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::Curve;
    use crate::testing::master_key;

    fn id() -> ShareId<'static> {
        ShareId {
            deployment: "dev",
            key: "dev-0/1",
            identity: Sha256::of(b"store"),
            generation: 1,
            index: 2,
        }
    }

    #[test]
    fn a_share_opens_only_as_itself() {
        let key = master_key(Curve::P384);
        let text = seal(&key, &id(), b"share").unwrap();
        assert_eq!(open(&key, &id(), &text).unwrap().as_slice(), b"share");
        for other in [
            ShareId { identity: Sha256::of(b"other"), ..id() },
            ShareId { generation: 2, ..id() },
            ShareId { index: 1, ..id() },
            ShareId { key: "dev-0/2", ..id() },
            ShareId { deployment: "prod", ..id() },
        ] {
            assert_eq!(open(&key, &other, &text).unwrap_err(), WrapError::Mac, "{other:?}");
        }
    }

    #[test]
    fn a_share_wrapped_without_the_private_half_is_refused() {
        let key = master_key(Curve::P384);
        let share =
            id().with_context(|context| Wrapped::seal(key.public(), context, b"foreign")).unwrap();
        let foreign = serde_json::to_string(&WrappedShare { share, mac: vec![0; 32] }).unwrap();
        assert_eq!(open(&key, &id(), &foreign).unwrap_err(), WrapError::Mac);
    }

    #[test]
    fn secret_names_fit_key_vault() {
        let name = id().secret_name();
        assert!(
            name.len() < 127 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{name}"
        );
    }
}
