//! The simulated HSM: one PKCS#8 file a key version below `DIR/hsm/`, mode 0600. Nothing else of a key is private.

use std::io;
use std::path::PathBuf;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use forged_root::der;
use serde::{Deserialize, Serialize};

use super::state::KeyObject;
use crate::core::Cloud;
use crate::core::store::write_atomically;

/// `kty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// Software-protected elliptic curve.
    #[serde(rename = "EC")]
    Ec,
    /// HSM-protected elliptic curve.
    #[serde(rename = "EC-HSM")]
    EcHsm,
    /// Software-protected RSA.
    #[serde(rename = "RSA")]
    Rsa,
    /// HSM-protected RSA.
    #[serde(rename = "RSA-HSM")]
    RsaHsm,
}

impl KeyType {
    pub(super) fn hsm(self) -> bool {
        matches!(self, Self::EcHsm | Self::RsaHsm)
    }
}

/// `crv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// NIST P-256.
    #[serde(rename = "P-256")]
    P256,
    /// NIST P-384.
    #[serde(rename = "P-384")]
    P384,
    /// NIST P-521.
    #[serde(rename = "P-521")]
    P521,
    /// secp256k1.
    #[serde(rename = "P-256K")]
    P256k,
}

impl Curve {
    /// Signs digests of the curve's own hash, r‖s.
    pub(super) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
            Self::P256k => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
        }
    }

    /// Bytes of a coordinate.
    pub(super) fn width(self) -> usize {
        match self {
            Self::P256 | Self::P256k => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// RFC 5480, section 2.1.1.1; SEC 2 for secp256k1.
    fn oid(self) -> &'static str {
        match self {
            Self::P256 => "1.2.840.10045.3.1.7",
            Self::P384 => "1.3.132.0.34",
            Self::P521 => "1.3.132.0.35",
            Self::P256k => "1.3.132.0.10",
        }
    }
}

/// The public half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicKey {
    /// Modulus and exponent, big endian without leading zeros.
    Rsa {
        /// Modulus.
        #[serde(with = "hex")]
        n: Vec<u8>,
        /// Exponent.
        #[serde(with = "hex")]
        e: Vec<u8>,
    },
    /// A point, coordinates of full width.
    Ec {
        /// Curve.
        curve: Curve,
        /// x.
        #[serde(with = "hex")]
        x: Vec<u8>,
        /// y.
        #[serde(with = "hex")]
        y: Vec<u8>,
    },
}

/// A key pair inside the HSM.
pub(super) enum KeyPair {
    Rsa(Box<rsa::KeyPair>),
    Ec(Curve, Box<EcdsaKeyPair>),
}

/// What a new key is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Rsa(KeySize),
    Ec(Curve),
}

impl KeyPair {
    pub(super) fn generate(shape: Shape) -> io::Result<Self> {
        let refused = |_| io::Error::other("making a key");
        Ok(match shape {
            Shape::Rsa(size) => Self::Rsa(Box::new(rsa::KeyPair::generate(size).map_err(refused)?)),
            Shape::Ec(curve) => {
                Self::Ec(curve, Box::new(EcdsaKeyPair::generate(curve.signing()).map_err(refused)?))
            }
        })
    }

    /// A pair from the parts of a JWK; the library checks that they belong together.
    pub(super) fn from_ec(curve: Curve, private: &[u8], point: &[u8]) -> Option<Self> {
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), private, point).ok()?;
        Some(Self::Ec(curve, Box::new(pair)))
    }

    pub(super) fn from_rsa(components: &rsa::KeyPairComponents<&[u8]>) -> Option<Self> {
        rsa::KeyPair::from_components(components).ok().map(|pair| Self::Rsa(Box::new(pair)))
    }

    pub(super) fn public(&self) -> Option<PublicKey> {
        Some(match self {
            Self::Rsa(pair) => PublicKey::Rsa {
                n: pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
                e: pair.public_key().exponent().big_endian_without_leading_zero().to_vec(),
            },
            Self::Ec(curve, pair) => {
                // SEC 1, section 2.3.3: 04 ‖ x ‖ y.
                let (x, y) =
                    pair.public_key().as_ref().get(1..)?.split_at_checked(curve.width())?;
                PublicKey::Ec { curve: *curve, x: x.to_vec(), y: y.to_vec() }
            }
        })
    }

    /// PKCS#8 as the service releases it: for EC without the optional public key, so that P-256 takes 67 bytes (azure.md C.3, sample).
    pub(super) fn released_form(&self) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
                Some(der.as_ref().to_vec())
            }
            Self::Ec(curve, pair) => {
                let scalar: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().ok()?;
                // RFC 5958, section 2, with RFC 5915, section 3.
                let key = der::sequence(&[der::integer(1), der::octets(scalar.as_ref())]);
                let algorithm =
                    der::sequence(&[der::oid("1.2.840.10045.2.1"), der::oid(curve.oid())]);
                Some(der::sequence(&[der::integer(0), algorithm, der::octets(&key)]))
            }
        }
    }

    /// Writes it into the HSM under the version's id.
    pub(super) fn keep(&self, cloud: &Cloud, version: &str) -> io::Result<()> {
        let refused = |_| io::Error::other("encoding a key");
        let pkcs8 = match self {
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(refused)?;
                der.as_ref().to_vec()
            }
            Self::Ec(_, pair) => pair.to_pkcs8v1().map_err(refused)?.as_ref().to_vec(),
        };
        write_atomically(&path(cloud, version), &pkcs8)
    }

    /// Reads it back.
    pub(super) fn load(cloud: &Cloud, version: &str, public: &PublicKey) -> io::Result<Self> {
        Self::parse(&read(cloud, version)?, public)
    }

    /// A pair from PKCS#8, of the kind that the public half has.
    pub(super) fn parse(pkcs8: &[u8], public: &PublicKey) -> io::Result<Self> {
        let refused = |_| io::Error::new(io::ErrorKind::InvalidData, "not a key of this kind");
        Ok(match public {
            PublicKey::Rsa { .. } => {
                Self::Rsa(Box::new(rsa::KeyPair::from_pkcs8(pkcs8).map_err(refused)?))
            }
            PublicKey::Ec { curve, .. } => Self::Ec(
                *curve,
                Box::new(EcdsaKeyPair::from_pkcs8(curve.signing(), pkcs8).map_err(refused)?),
            ),
        })
    }
}

/// A private half as it is kept.
pub(super) fn read(cloud: &Cloud, version: &str) -> io::Result<Vec<u8>> {
    std::fs::read(path(cloud, version))
}

/// Removes the private halves of all versions of a key.
pub(super) fn forget(cloud: &Cloud, key: &KeyObject) {
    for version in key.versions.keys() {
        discard(cloud, version);
    }
}

/// Removes one private half. A file that is already gone is no fault.
pub(super) fn discard(cloud: &Cloud, version: &str) {
    if let Err(error) = std::fs::remove_file(path(cloud, version)) {
        tracing::debug!(%error, "removing a private half");
    }
}

fn path(cloud: &Cloud, version: &str) -> PathBuf {
    cloud.directory().join("hsm").join(format!("{version}.p8"))
}
