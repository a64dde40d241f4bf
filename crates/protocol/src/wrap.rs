//! Wrapping with the master key: HPKE (RFC 9180, base mode) to its public half.
//!
//! Anyone can wrap, so a wrapped value says nothing about who made it: it is used only if a
//! signed bundle names its hash, or if it carries a MAC that needed the private half
//! ([`crate::share`]). `info` binds deployment, key and artefact, so one wrapped value cannot
//! stand for another.

use aws_lc_rs::hmac;
use rustls::crypto::aws_lc_rs::hpke::{
    DH_KEM_P256_HKDF_SHA256_AES_256, DH_KEM_P384_HKDF_SHA384_AES_256,
};
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::jwk::{Curve, EcPublicKey};

/// What a wrapped value is: part of the HPKE `info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Context<'a> {
    /// The deployment's name.
    pub deployment: &'a str,
    /// The wrapping key, `NAME/VERSION`.
    pub key: &'a str,
    /// What is wrapped: an artefact's name, or a share's secret name.
    pub artefact: &'a str,
}

impl Context<'_> {
    pub(crate) fn info(&self) -> Result<Vec<u8>, WrapError> {
        serde_jcs::to_vec(self).map_err(|_| WrapError::Malformed)
    }
}

/// A wrapped value as it is stored: JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrapped {
    pub(crate) v: u64,
    pub(crate) kem: Curve,
    #[serde(with = "crate::b64")]
    pub(crate) enc: Vec<u8>,
    #[serde(with = "crate::b64")]
    pub(crate) ct: Vec<u8>,
}

impl Wrapped {
    pub(crate) fn seal(
        to: &EcPublicKey,
        context: Context<'_>,
        secret: &[u8],
    ) -> Result<Self, WrapError> {
        let public = HpkePublicKey(to.point().to_vec());
        let (enc, ct) = suite(to.curve())
            .seal(&context.info()?, b"", secret, &public)
            .map_err(|_| WrapError::PublicKey)?;
        Ok(Self { v: 1, kem: to.curve(), enc: enc.0, ct })
    }

    pub(crate) fn open(
        self,
        key: &MasterKey,
        context: Context<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        if self.v != 1 || self.kem != key.public.curve() {
            return Err(WrapError::Malformed);
        }
        suite(self.kem)
            .open(&EncapsulatedSecret(self.enc), &context.info()?, b"", &self.ct, &key.private)
            .map(Zeroizing::new)
            .map_err(|_| WrapError::DoesNotOpen)
    }
}

/// Wraps `secret` so that only the holder of the private half of `to` opens it, as this context.
///
/// # Errors
/// `to` is no point of its curve.
pub fn seal(to: &EcPublicKey, context: Context<'_>, secret: &[u8]) -> Result<String, WrapError> {
    serde_json::to_string(&Wrapped::seal(to, context, secret)?).map_err(|_| WrapError::Malformed)
}

/// The master key, private half included: in memory only, for one boot.
pub struct MasterKey {
    private: HpkePrivateKey,
    public: EcPublicKey,
}

impl MasterKey {
    /// Takes the private scalar (big-endian, the curve's length) with its public half.
    ///
    /// The two are tried together, so a key whose halves do not belong to each other is refused.
    ///
    /// # Errors
    /// Another length, or halves of different keys.
    pub fn new(scalar: Zeroizing<Vec<u8>>, public: EcPublicKey) -> Result<Self, WrapError> {
        if scalar.len() != public.curve().coordinate_len() {
            return Err(WrapError::PrivateKey);
        }
        let key = Self { private: HpkePrivateKey::from(scalar.to_vec()), public };
        let context = Context { deployment: "", key: "", artefact: "halves" };
        let probe = Wrapped::seal(&key.public, context, b"halves")?;
        probe.open(&key, context).map_err(|_| WrapError::PrivateKey)?;
        Ok(key)
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &EcPublicKey {
        &self.public
    }

    /// Opens a wrapped value of this context.
    ///
    /// # Errors
    /// Not a wrapped value, of another key or context, or changed.
    pub fn open(&self, context: Context<'_>, text: &str) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        if text.len() > MAX_WRAPPED {
            return Err(WrapError::Malformed);
        }
        let wrapped: Wrapped = serde_json::from_str(text).map_err(|_| WrapError::Malformed)?;
        wrapped.open(self, context)
    }

    /// A MAC key that only a holder of the private half can make: HKDF-SHA256 over the scalar.
    pub(crate) fn mac_key(&self, context: Context<'_>) -> Result<hmac::Key, WrapError> {
        let salt = aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA256, b"vouchsafe birth v1");
        let info = context.info()?;
        let info = [info.as_slice()];
        let prk = salt.extract(self.private.secret_bytes());
        let okm = prk.expand(&info, hmac::HMAC_SHA256).map_err(|_| WrapError::Malformed)?;
        Ok(okm.into())
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({})", self.public.sha256())
    }
}

fn suite(curve: Curve) -> &'static dyn Hpke {
    match curve {
        Curve::P256 => DH_KEM_P256_HKDF_SHA256_AES_256,
        Curve::P384 => DH_KEM_P384_HKDF_SHA384_AES_256,
    }
}

/// Why something cannot be wrapped or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Not the form of a wrapped value.
    #[error("not a wrapped value of this key's kind")]
    Malformed,
    /// Not a point of its curve.
    #[error("the public key is not a point of its curve")]
    PublicKey,
    /// Not the private half of the public key.
    #[error("the private key does not belong to the public key")]
    PrivateKey,
    /// Wrapped to another key, for another use, or changed.
    #[error("the wrapped value does not open: another key, another use, or changed")]
    DoesNotOpen,
    /// Without the MAC of a holder of the private half.
    #[error("the MAC of the wrapped share does not hold")]
    Mac,
    /// Without the signature of the store that it is a share of.
    #[error("the store's signature of the wrapped share does not hold")]
    Signature,
}

/// The longest wrapped value read, in bytes; Key Vault stores no more in a secret.
pub const MAX_WRAPPED: usize = 25 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::master_key;

    const CONTEXT: Context<'static> =
        Context { deployment: "dev", key: "dev-0/1", artefact: "storage-key" };

    #[test]
    fn what_was_wrapped_opens_on_both_curves() {
        for curve in [Curve::P256, Curve::P384] {
            let key = master_key(curve);
            let text = seal(key.public(), CONTEXT, b"secret").unwrap();
            assert_eq!(key.open(CONTEXT, &text).unwrap().as_slice(), b"secret");
            assert!(!text.contains("secret"));
        }
    }

    #[test]
    fn one_wrapped_value_does_not_stand_for_another() {
        let key = master_key(Curve::P384);
        let text = seal(key.public(), CONTEXT, b"secret").unwrap();
        for other in [
            Context { deployment: "prod", ..CONTEXT },
            Context { key: "dev-0/2", ..CONTEXT },
            Context { artefact: "tls-password", ..CONTEXT },
        ] {
            assert_eq!(key.open(other, &text).unwrap_err(), WrapError::DoesNotOpen);
        }
        assert_eq!(
            master_key(Curve::P384).open(CONTEXT, &text).unwrap_err(),
            WrapError::DoesNotOpen
        );
        assert_eq!(master_key(Curve::P256).open(CONTEXT, &text).unwrap_err(), WrapError::Malformed);
    }

    #[test]
    fn halves_of_different_keys_are_refused() {
        let (a, b) = (master_key(Curve::P384), master_key(Curve::P384));
        let scalar = Zeroizing::new(a.private.secret_bytes().to_vec());
        assert_eq!(MasterKey::new(scalar, b.public).unwrap_err(), WrapError::PrivateKey);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = master_key(Curve::P256);
        assert_eq!(format!("{key:?}"), format!("MasterKey({})", key.public().sha256()));
    }
}
