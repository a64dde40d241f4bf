//! Wrapped automatic shares: Shamir shares of the root key, wrapped with the master key and, since
//! anyone can wrap, authenticated.
//!
//! At birth there is no older key of the store, so a share carries a MAC under a key derived from
//! the master key's private scalar: whoever made it had been released the master key. Identity,
//! generation and index are under the MAC, so the shares of another store, an older split, or two
//! copies of one share are refused.
//!
//! A running server has dropped the master key. The shares of a later split carry the signature of the store's identity instead.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use evidence::Sha256;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bundle::Identity;
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

    fn signed(&self, wrapped: &Wrapped) -> Result<Vec<u8>, WrapError> {
        #[derive(Serialize)]
        struct Signed<'a> {
            purpose: &'static str,
            deployment: &'a str,
            key: &'a str,
            identity: Sha256,
            generation: u32,
            index: u8,
            wrapped: &'a Wrapped,
        }
        let signed = Signed {
            purpose: "vouchsafe-signed-share",
            deployment: self.deployment,
            key: self.key,
            identity: self.identity,
            generation: self.generation,
            index: self.index,
            wrapped,
        };
        serde_jcs::to_vec(&signed).map_err(|_| WrapError::Malformed)
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

/// Of the split at birth, by a holder of the master key.
pub const FIRST_GENERATION: u32 = 1;

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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedShare {
    share: Wrapped,
    #[serde(with = "crate::b64")]
    signature: Vec<u8>,
}

/// A share that is wrapped and waits for the signature of its store.
pub struct Unsigned {
    share: Wrapped,
    message: Vec<u8>,
}

impl Unsigned {
    /// Wraps a share to the master key's public half.
    ///
    /// # Errors
    /// Those of wrapping.
    pub fn wrap(to: &EcPublicKey, id: &ShareId<'_>, share: &[u8]) -> Result<Self, WrapError> {
        let share = id.with_context(|context| Wrapped::seal(to, context, share))?;
        let message = id.signed(&share)?;
        Ok(Self { share, message })
    }

    /// What the store signs.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The share as it is stored; the signature is ECDSA P-256 SHA-256, r ‖ s.
    ///
    /// # Errors
    /// It cannot be written, which does not happen.
    pub fn signed(self, signature: &[u8]) -> Result<String, WrapError> {
        let signed = SignedShare { share: self.share, signature: signature.to_vec() };
        serde_json::to_string(&signed).map_err(|_| WrapError::Malformed)
    }
}

/// Opens a share of a later split: first the signature of the store that a signer has confirmed, then its wrapping.
///
/// # Errors
/// Not a share, not signed by this store, not this one, or changed.
pub fn open_signed(
    key: &MasterKey,
    id: &ShareId<'_>,
    store: &Identity,
    text: &str,
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    if text.len() > MAX_WRAPPED {
        return Err(WrapError::Malformed);
    }
    let SignedShare { share, signature } =
        serde_json::from_str(text).map_err(|_| WrapError::Malformed)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, store.public_key.point())
        .verify(&id.signed(&share)?, &signature)
        .map_err(|_| WrapError::Signature)?;
    id.with_context(|context| share.open(key, context))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

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

    fn store() -> (EcdsaKeyPair, Identity) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let public_key = EcPublicKey::from_point(Curve::P256, point).unwrap();
        (key, Identity { public_key })
    }

    #[test]
    fn a_signed_share_opens_only_as_itself_for_its_store() {
        let (key, (signer, identity)) = (master_key(Curve::P384), store());
        let unsigned = Unsigned::wrap(key.public(), &id(), b"share").unwrap();
        let signature = signer.sign(&SystemRandom::new(), unsigned.message()).unwrap();
        let text = unsigned.signed(signature.as_ref()).unwrap();
        assert_eq!(open_signed(&key, &id(), &identity, &text).unwrap().as_slice(), b"share");
        let refused = open_signed(&key, &id(), &store().1, &text).unwrap_err();
        assert_eq!(refused, WrapError::Signature);
        for other in [
            ShareId { identity: Sha256::of(b"other"), ..id() },
            ShareId { generation: 2, ..id() },
            ShareId { index: 1, ..id() },
            ShareId { key: "dev-0/2", ..id() },
            ShareId { deployment: "prod", ..id() },
        ] {
            let refused = open_signed(&key, &other, &identity, &text).unwrap_err();
            assert_eq!(refused, WrapError::Signature, "{other:?}");
        }
        // Neither form passes for the other.
        assert_eq!(open(&key, &id(), &text).unwrap_err(), WrapError::Malformed);
        let first = seal(&key, &id(), b"share").unwrap();
        let refused = open_signed(&key, &id(), &identity, &first).unwrap_err();
        assert_eq!(refused, WrapError::Malformed);
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
