//! The one signature algorithm of MAA: RS256, under the key of a certificate or a JWK.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use x509_parser::{oid_registry::OID_PKCS1_RSAENCRYPTION, prelude::*};

/// An RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// PKCS #1 `RSAPublicKey` in DER, from a certificate.
    Der(Vec<u8>),
    /// Modulus and exponent, from a JWK.
    Components { modulus: Vec<u8>, exponent: Vec<u8> },
}

impl PublicKey {
    /// The key of a certificate. Nothing else of the certificate is looked at.
    pub(crate) fn from_certificate(der: &[u8]) -> Result<Self, KeyError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| KeyError::Certificate)?;
        if !rest.is_empty() {
            return Err(KeyError::Certificate);
        }
        let key = certificate.public_key();
        if key.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
            return Err(KeyError::NotRsa);
        }
        Ok(Self::Der(key.subject_public_key.data.to_vec()))
    }

    /// Verifies an RS256 signature (RFC 7518, section 3.3). Keys are of 2048 to 8192 bits.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match self {
            Self::Der(der) => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(message, signature)
            }
            Self::Components { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
        }
        .map_err(|_| BadSignature)
    }
}

/// A key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The certificate is not one X.509 certificate in DER.
    #[error("the certificate is not X.509 in DER")]
    Certificate,
    /// The certificate's key is of another kind.
    #[error("the certificate's key is not RSA")]
    NotRsa,
}

/// A signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSignature;
