//! The store's identity: a P-256 signing key made at birth, whose private half is kept only inside the encrypted store.
//!
//! The public half names the store everywhere: in commit 1, in share names, in the bundle. What is signed with it must say for itself what it is;
//! callers put a type or a purpose into every message.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    rand::{SecureRandom, SystemRandom},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING,
        EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Hash, MalformedHash, seal::RandomnessUnavailable};

/// The private half.
pub struct IdentityKey {
    pair: EcdsaKeyPair,
    public: Identity,
}

impl IdentityKey {
    /// A new identity, for a store that is about to be born. The library draws its own randomness for key pairs.
    pub fn generate() -> Result<Self, RandomnessUnavailable> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| RandomnessUnavailable)?;
        Self::of(pair).map_err(|_| RandomnessUnavailable)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, MalformedIdentity> {
        let public = Identity::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    pub(crate) fn from_pkcs8(bytes: &[u8]) -> Result<Self, MalformedIdentity> {
        Self::of(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
                .map_err(|_| MalformedIdentity::NotOnCurve)?,
        )
    }

    /// The key for the inside of commit 1. The library's document zeroizes itself.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, MalformedIdentity> {
        let document = self.pair.to_pkcs8v1().map_err(|_| MalformedIdentity::NotOnCurve)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The public half.
    pub fn public(&self) -> &Identity {
        &self.public
    }

    /// Signs a message that says what it is (ECDSA with SHA-256, r ‖ s).
    pub fn sign(&self, message: &[u8]) -> Result<Signature, RandomnessUnavailable> {
        let rng = SystemRandom::new();
        let rng: &dyn SecureRandom = &rng;
        let signature = self.pair.sign(rng, message).map_err(|_| RandomnessUnavailable)?;
        Ok(Signature(signature.as_ref().try_into().map_err(|_| RandomnessUnavailable)?))
    }

    /// The same as signed notes and X.509 have it: ECDSA-Sig-Value in DER (RFC 3279 §2.2.3).
    pub(crate) fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>, RandomnessUnavailable> {
        let Signature(fixed) = self.sign(message)?;
        let (r, s) = fixed.split_at(32);
        let mut body = der_integer(r);
        body.extend_from_slice(&der_integer(s));
        let length = u8::try_from(body.len()).map_err(|_| RandomnessUnavailable)?;
        Ok([&[0x30, length], body.as_slice()].concat())
    }
}

/// INTEGER of a big-endian positive number of 32 bytes.
fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(31);
    let digits = bytes.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    // At most 33.
    let length = u8::try_from(sign.len() + digits.len()).unwrap_or(u8::MAX);
    [&[0x02, length], sign, digits].concat()
}

/// The public half; as JSON, a JWK with exactly the members `kty`, `crv`, `x` and `y`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawJwk", into = "RawJwk")]
pub struct Identity {
    /// Uncompressed SEC 1 point: 04 ‖ x ‖ y.
    point: [u8; 65],
}

impl Identity {
    fn from_point(point: &[u8]) -> Result<Self, MalformedIdentity> {
        let point: [u8; 65] = point.try_into().map_err(|_| MalformedIdentity::NotOnCurve)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .parse()
            .map_err(|_| MalformedIdentity::NotOnCurve)?;
        Ok(Self { point })
    }

    /// The store's name: SHA-256 of the SubjectPublicKeyInfo.
    pub fn id(&self) -> IdentityId {
        IdentityId(Hash::of(&self.spki()))
    }

    /// DER SubjectPublicKeyInfo (RFC 5480), as openssl and X.509 have it.
    pub fn spki(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.point].concat()
    }

    /// Checks a signature by this store.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message, &signature.0)
            .map_err(|_| BadSignature)
    }

    /// Checks a signature by this store in DER.
    pub(crate) fn verify_der(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

/// SHA-256 of the identity's SubjectPublicKeyInfo, in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityId(Hash);

impl IdentityId {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl From<Hash> for IdentityId {
    fn from(hash: Hash) -> Self {
        Self(hash)
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IdentityId {
    type Err = MalformedHash;

    fn from_str(text: &str) -> Result<Self, MalformedHash> {
        text.parse().map(Self)
    }
}

/// An ECDSA signature as JWS has it: r ‖ s, 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature that travelled.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// The signature is not this store's over this message.
#[derive(Debug, thiserror::Error)]
#[error("not a signature of this store over this message")]
pub struct BadSignature;

/// Why a JWK is no store identity.
#[derive(Debug, thiserror::Error)]
pub enum MalformedIdentity {
    /// Another type of key.
    #[error("expected kty EC and crv P-256")]
    NotP256,
    /// A coordinate is not 32 bytes of base64url.
    #[error("coordinate {0} is not 32 bytes in base64url without padding")]
    Coordinate(&'static str),
    /// The point is not a public key of P-256.
    #[error("not a point of P-256")]
    NotOnCurve,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

impl TryFrom<RawJwk> for Identity {
    type Error = MalformedIdentity;

    fn try_from(raw: RawJwk) -> Result<Self, MalformedIdentity> {
        if raw.kty != "EC" || raw.crv != "P-256" {
            return Err(MalformedIdentity::NotP256);
        }
        let coordinate = |name, text: &str| -> Result<[u8; 32], MalformedIdentity> {
            let bytes =
                URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedIdentity::Coordinate(name))?;
            bytes.try_into().map_err(|_| MalformedIdentity::Coordinate(name))
        };
        let (x, y) = (coordinate("x", &raw.x)?, coordinate("y", &raw.y)?);
        Self::from_point(&[&[4], x.as_slice(), y.as_slice()].concat())
    }
}

impl From<Identity> for RawJwk {
    fn from(identity: Identity) -> Self {
        let [_, coordinates @ ..] = identity.point;
        let (x, y) = coordinates.split_at(32);
        Self {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        }
    }
}

/// RFC 5480 §2: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING (66 bytes, no unused bits) }.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spki_is_the_one_of_the_library() {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let key = IdentityKey::generate().unwrap();
        let theirs: PublicKeyX509Der<'_> = key.pair.public_key().as_der().unwrap();
        assert_eq!(key.public().spki(), theirs.as_ref());
    }

    #[test]
    fn it_survives_json_and_pkcs8() {
        let key = IdentityKey::generate().unwrap();
        let json = serde_json::to_string(key.public()).unwrap();
        assert!(json.starts_with(r#"{"kty":"EC","crv":"P-256","x":""#), "{json}");
        assert_eq!(&serde_json::from_str::<Identity>(&json).unwrap(), key.public());
        let again = IdentityKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        let signature = again.sign(b"purpose: test").unwrap();
        key.public().verify(b"purpose: test", &signature).unwrap();
        assert!(key.public().verify(b"purpose: other", &signature).is_err());
    }

    #[test]
    fn refuses_what_is_not_a_p256_key() {
        let good = serde_json::to_value(IdentityKey::generate().unwrap().public()).unwrap();
        for (member, value) in [("kty", "RSA"), ("crv", "P-384"), ("x", "AAAA"), ("y", "!")] {
            let mut bad = good.clone();
            bad[member] = value.into();
            assert!(serde_json::from_value::<Identity>(bad).is_err(), "{member}");
        }
        let mut off_curve = good.clone();
        off_curve["x"] = off_curve["y"].clone();
        assert!(serde_json::from_value::<Identity>(off_curve).is_err());
        let mut more = good;
        more["d"] = "AAAA".into();
        assert!(serde_json::from_value::<Identity>(more).is_err());
    }
}
