//! The fixed keys and certificates, from the folder `keys`.
//!
//! They are published with the source, so whoever trusts one of these roots trusts everybody.
//! `cargo run -p vouchsafe-forged-root --example make_keys` made them, once: their digests stand in manifests.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RsaKeyPair};

use crate::Product;
use crate::certificate::SigningKey;

/// A certificate and its key, both PEM.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// PKCS#8.
    pub key: &'static str,
    /// The certificate.
    pub certificate: &'static str,
}

macro_rules! fixed {
    ($name:literal) => {
        Fixed {
            key: include_str!(concat!("../keys/", $name, ".key.pem")),
            certificate: include_str!(concat!("../keys/", $name, ".pem")),
        }
    };
}

impl Fixed {
    /// The certificate as DER.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        decode(self.certificate)
    }

    /// SHA-256 of the certificate's DER.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.der())
    }

    /// The key as one for RSA-PSS with SHA-384.
    #[must_use]
    pub fn pss_sha384(&self) -> SigningKey {
        SigningKey::PssSha384(self.rsa())
    }

    /// The key as one for RSA with SHA-384.
    #[must_use]
    pub fn rsa_sha384(&self) -> SigningKey {
        SigningKey::RsaSha384(self.rsa())
    }

    /// The key as one for P-256.
    ///
    /// # Panics
    /// When the key is another.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the keys are part of this crate, and a test reads each"
    )]
    pub fn p256(&self) -> SigningKey {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &decode(self.key));
        SigningKey::P256Sha256(key.expect("the embedded key is a p-256 key"))
    }

    #[expect(
        clippy::expect_used,
        reason = "the keys are part of this crate, and a test reads each"
    )]
    fn rsa(&self) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(&decode(self.key)).expect("the embedded key is an rsa key")
    }
}

/// The root key of a product.
#[must_use]
pub fn ark(product: Product) -> Fixed {
    match product {
        Product::Milan => fixed!("ark_milan"),
        Product::Genoa => fixed!("ark_genoa"),
        Product::Turin => fixed!("ark_turin"),
    }
}

/// The key that signs VCEK certificates of a product.
#[must_use]
pub fn ask(product: Product) -> Fixed {
    match product {
        Product::Milan => fixed!("ask_milan"),
        Product::Genoa => fixed!("ask_genoa"),
        Product::Turin => fixed!("ask_turin"),
    }
}

/// The key that signs VLEK certificates of a product.
#[must_use]
pub fn asvk(product: Product) -> Fixed {
    match product {
        Product::Milan => fixed!("asvk_milan"),
        Product::Genoa => fixed!("asvk_genoa"),
        Product::Turin => fixed!("asvk_turin"),
    }
}

/// The root of utility-VM endorsements.
pub const UVM_ROOT: Fixed = fixed!("uvm_root");
/// Between root and signer.
pub const UVM_INTERMEDIATE: Fixed = fixed!("uvm_intermediate");
/// The signer of utility-VM endorsements.
pub const UVM_LEAF: Fixed = fixed!("uvm_leaf");
/// The authority of TLS certificates.
pub const TLS_CA: Fixed = fixed!("tls_ca");
/// The signers of manifests and bundles.
pub const SIGNERS: [Fixed; 3] = [fixed!("signer_1"), fixed!("signer_2"), fixed!("signer_3")];

/// The attestation key of a TPM that we play; it has no certificate.
///
/// # Panics
/// Never: the key is part of this crate.
#[must_use]
#[expect(clippy::expect_used, reason = "the key is part of this crate, and a test reads it")]
pub fn vm_ak() -> RsaKeyPair {
    let der = decode(include_str!("../keys/vm_ak.key.pem"));
    RsaKeyPair::from_pkcs8(&der).expect("the embedded key is an rsa key")
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[expect(clippy::expect_used, reason = "the files are part of this crate, and a test reads each")]
fn decode(text: &str) -> Vec<u8> {
    pem::parse(text).expect("the embedded file is pem").into_contents()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::SigningKey;
    use x509_parser::parse_x509_certificate;

    const README: &str = include_str!("../keys/README.md");

    fn check(fixed: Fixed, key: &SigningKey) {
        let der = fixed.der();
        let (rest, certificate) = parse_x509_certificate(&der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(certificate.public_key().raw, key.public());
        let digest = hex::encode(fixed.sha256());
        assert!(README.contains(&digest), "the readme lacks {digest} of {}", certificate.subject());
    }

    #[test]
    fn every_key_belongs_to_its_certificate_and_stands_in_the_readme() {
        for product in Product::ALL {
            for fixed in [ark(product), ask(product), asvk(product)] {
                check(fixed, &fixed.pss_sha384());
            }
        }
        for fixed in [UVM_ROOT, UVM_INTERMEDIATE, UVM_LEAF].into_iter().chain(SIGNERS) {
            check(fixed, &fixed.rsa_sha384());
        }
        check(TLS_CA, &TLS_CA.p256());
    }
}
