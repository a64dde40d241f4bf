//! X.509 certificates of any content, signed with keys that everybody knows.
//!
//! Wire layout: RFC 5280, section 4.1; RSA-PSS parameters as AMD writes them (RFC 4055, section 3.1).

use std::net::IpAddr;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use jiff::Timestamp;

use crate::der;

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The serial number.
    pub serial: u64,
    /// Who signs, as DER of a Name.
    pub issuer: Vec<u8>,
    /// Whose key it is, as DER of a Name.
    pub subject: Vec<u8>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// The key, as DER of a SubjectPublicKeyInfo.
    pub key: Vec<u8>,
    /// Extensions, in this order.
    pub extensions: Vec<Extension>,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The dotted object identifier.
    pub oid: String,
    /// Whether who does not understand it must refuse.
    pub criticality: Criticality,
    /// The content of the octet string.
    pub value: Vec<u8>,
}

/// Whether an extension may be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criticality {
    /// It must be understood.
    Critical,
    /// It may be ignored.
    Optional,
}

/// A key that signs certificates, with its algorithm.
#[derive(Debug)]
pub enum SigningKey {
    /// RSA-PSS with SHA-384, as AMD's roots.
    PssSha384(RsaKeyPair),
    /// RSA PKCS#1 v1.5 with SHA-384, as Microsoft's supply-chain root.
    RsaSha384(RsaKeyPair),
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaSha256(RsaKeyPair),
    /// ECDSA P-256 with SHA-256.
    P256Sha256(EcdsaKeyPair),
}

impl Certificate {
    /// The certificate, signed with `key`, as DER.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let algorithm = key.algorithm();
        let extensions: Vec<_> = self.extensions.iter().map(Extension::der).collect();
        let body = der::sequence(&[
            der::explicit(0, &der::integer(2)),
            der::integer(self.serial),
            algorithm.clone(),
            self.issuer.clone(),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            self.subject.clone(),
            self.key.clone(),
            der::explicit(3, &der::sequence(&extensions)),
        ]);
        let signature = key.sign(&body);
        der::sequence(&[body, algorithm, der::bits(&signature)])
    }
}

impl Extension {
    /// An extension that may be ignored.
    #[must_use]
    pub fn optional(oid: &str, value: Vec<u8>) -> Self {
        Self { oid: oid.to_owned(), criticality: Criticality::Optional, value }
    }

    /// An extension that must be understood.
    #[must_use]
    pub fn critical(oid: &str, value: Vec<u8>) -> Self {
        Self { oid: oid.to_owned(), criticality: Criticality::Critical, value }
    }

    /// This is an authority, perhaps one that may only sign end entities.
    #[must_use]
    pub fn authority(path_length: Option<u64>) -> Self {
        let length = path_length.map_or_else(Vec::new, der::integer);
        Self::critical("2.5.29.19", der::sequence(&[der::yes(), length]))
    }

    /// This is an end entity.
    #[must_use]
    pub fn end_entity() -> Self {
        Self::critical("2.5.29.19", der::sequence(&[]))
    }

    /// Key usage: the key signs certificates and revocation lists.
    #[must_use]
    pub fn signs_certificates() -> Self {
        Self::critical("2.5.29.15", der::named_bits(0b0000_0110))
    }

    /// Key usage: the key signs data.
    #[must_use]
    pub fn signs_data() -> Self {
        Self::critical("2.5.29.15", der::named_bits(0b1000_0000))
    }

    /// Extended key usage.
    #[must_use]
    pub fn for_use<'a>(oids: impl IntoIterator<Item = &'a str>) -> Self {
        let oids: Vec<_> = oids.into_iter().map(der::oid).collect();
        Self::optional("2.5.29.37", der::sequence(&oids))
    }

    /// The key's identifier.
    #[must_use]
    pub fn subject_key(key: &[u8]) -> Self {
        Self::optional("2.5.29.14", der::octets(&key_identifier(key)))
    }

    /// The identifier of the key that signs.
    #[must_use]
    pub fn authority_key(key: &[u8]) -> Self {
        Self::optional("2.5.29.35", der::sequence(&[der::implicit(0, &key_identifier(key))]))
    }

    /// The names of a server; those that read as addresses become addresses.
    #[must_use]
    pub fn server_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names
            .into_iter()
            .map(|name| match name.parse() {
                Ok(IpAddr::V4(address)) => der::implicit(7, &address.octets()),
                Ok(IpAddr::V6(address)) => der::implicit(7, &address.octets()),
                Err(_) => der::implicit(2, name.as_bytes()),
            })
            .collect();
        Self::optional("2.5.29.17", der::sequence(&names))
    }

    fn der(&self) -> Vec<u8> {
        let mut parts = vec![der::oid(&self.oid)];
        if self.criticality == Criticality::Critical {
            parts.push(der::yes());
        }
        parts.push(der::octets(&self.value));
        der::sequence(&parts)
    }
}

impl SigningKey {
    /// The public half, as DER of a SubjectPublicKeyInfo.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        match self {
            Self::PssSha384(key) | Self::RsaSha384(key) | Self::RsaSha256(key) => {
                rsa_public(key.public_key().as_ref())
            }
            Self::P256Sha256(key) => ec_public(P256, key.public_key().as_ref()),
        }
    }

    /// Signs `message`.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "signing fails only without memory or randomness, and this is for tests"
    )]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        let rsa = |key: &RsaKeyPair, algorithm| {
            let mut out = vec![0; key.public_modulus_len()];
            key.sign(algorithm, &rng, message, &mut out).expect("the key is sound");
            out
        };
        match self {
            Self::PssSha384(key) => rsa(key, &signature::RSA_PSS_SHA384),
            Self::RsaSha384(key) => rsa(key, &signature::RSA_PKCS1_SHA384),
            Self::RsaSha256(key) => rsa(key, &signature::RSA_PKCS1_SHA256),
            Self::P256Sha256(key) => {
                key.sign(&rng, message).expect("the key is sound").as_ref().to_vec()
            }
        }
    }

    /// The AlgorithmIdentifier, as DER.
    #[must_use]
    pub fn algorithm(&self) -> Vec<u8> {
        let rsa = |oid| der::sequence(&[der::oid(oid), der::null()]);
        match self {
            Self::PssSha384(_) => {
                let sha384 = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::null()]);
                let mgf1 = der::sequence(&[der::oid("1.2.840.113549.1.1.8"), sha384.clone()]);
                let parameters = der::sequence(&[
                    der::explicit(0, &sha384),
                    der::explicit(1, &mgf1),
                    der::explicit(2, &der::integer(48)),
                    // Trailer field 1 is the default; AMD's certificates spell it out all the same.
                    der::explicit(3, &der::integer(1)),
                ]);
                der::sequence(&[der::oid("1.2.840.113549.1.1.10"), parameters])
            }
            Self::RsaSha384(_) => rsa("1.2.840.113549.1.1.12"),
            Self::RsaSha256(_) => rsa("1.2.840.113549.1.1.11"),
            Self::P256Sha256(_) => der::sequence(&[der::oid("1.2.840.10045.4.3.2")]),
        }
    }
}

/// A Name of one attribute each, in this order: dotted type and value.
#[must_use]
pub fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(oid, value)| {
            let value = if *oid == COUNTRY { der::printable(value) } else { der::utf8(value) };
            der::set(&[der::sequence(&[der::oid(oid), value])])
        })
        .collect();
    der::sequence(&attributes)
}

/// SubjectPublicKeyInfo of an elliptic-curve key, from its uncompressed point.
#[must_use]
pub fn ec_public(curve: &str, point: &[u8]) -> Vec<u8> {
    der::sequence(&[
        der::sequence(&[der::oid("1.2.840.10045.2.1"), der::oid(curve)]),
        der::bits(point),
    ])
}

/// The certificate as PEM.
#[must_use]
pub fn to_pem(der: &[u8]) -> String {
    armour("CERTIFICATE", der)
}

/// Any DER as PEM, with line feeds.
#[must_use]
pub fn armour(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

fn rsa_public(pkcs1: &[u8]) -> Vec<u8> {
    der::sequence(&[
        der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]),
        der::bits(pkcs1),
    ])
}

fn key_identifier(key: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, key).as_ref().iter().copied().take(20).collect()
}

/// The curve of TLS keys.
pub const P256: &str = "1.2.840.10045.3.1.7";
/// The curve of AMD's endorsement keys.
pub const P384: &str = "1.3.132.0.34";
/// The attribute types that our names use.
pub const COMMON_NAME: &str = "2.5.4.3";
/// Country, which is a PrintableString.
pub const COUNTRY: &str = "2.5.4.6";
/// Locality.
pub const LOCALITY: &str = "2.5.4.7";
/// State or province.
pub const STATE: &str = "2.5.4.8";
/// Organization.
pub const ORGANIZATION: &str = "2.5.4.10";
/// Organizational unit.
pub const UNIT: &str = "2.5.4.11";
