//! The key that a release is wrapped to.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair as RsaKeyPair, KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::KeyPair;

use super::UnwrapError;

/// The environment's key to which releases are wrapped: RSA-2048, made now, never leaving.
pub struct TransferKey {
    pub(super) private: OaepPrivateDecryptingKey,
    pub(super) modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl TransferKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, UnwrapError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| UnwrapError::Transfer)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| UnwrapError::Transfer)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Takes a key from its PKCS#8 DER.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, UnwrapError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| UnwrapError::Transfer)?;
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| UnwrapError::Transfer)?;
        let public = pair.public_key();
        Ok(Self {
            modulus: public.modulus().big_endian_without_leading_zero().to_vec(),
            exponent: public.exponent().big_endian_without_leading_zero().to_vec(),
            private: OaepPrivateDecryptingKey::new(private).map_err(|_| UnwrapError::Transfer)?,
        })
    }

    /// The modulus, big endian: `n` of its JWK.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent, big endian: `e` of its JWK.
    #[must_use]
    pub fn exponent(&self) -> &[u8] {
        &self.exponent
    }
}

impl fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferKey").finish_non_exhaustive()
    }
}
