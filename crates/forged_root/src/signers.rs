//! Three signers of manifests, bundles and policies.

use crate::keys::{Fixed, SIGNERS};

/// Which signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerName {
    /// Named in local manifests.
    First,
    /// Named in local manifests.
    Second,
    /// Named in none: what it signs must be refused.
    Stranger,
}

/// A signer: an RSA-3072 key with a self-signed certificate.
#[derive(Debug, Clone, Copy)]
pub struct Signer {
    /// The certificate, as PEM.
    pub certificate_pem: &'static str,
    /// The key, PKCS#8 as PEM.
    pub key_pem: &'static str,
    fixed: Fixed,
}

impl Signer {
    /// The certificate, as DER.
    #[must_use]
    pub fn certificate_der(&self) -> Vec<u8> {
        self.fixed.der()
    }

    /// SHA-256 of the certificate's DER.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.fixed.sha256()
    }
}

/// A signer.
#[must_use]
pub fn signer(which: SignerName) -> Signer {
    let [first, second, stranger] = SIGNERS;
    let fixed = match which {
        SignerName::First => first,
        SignerName::Second => second,
        SignerName::Stranger => stranger,
    };
    Signer { certificate_pem: fixed.certificate, key_pem: fixed.key, fixed }
}
