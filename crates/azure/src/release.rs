//! Opening what secure key release hands out.
//!
//! The vault answers with a JWS whose payload holds the key's public half, its attributes, its release policy and, wrapped
//! to the environment's RSA key, its private half. The signature and the certificates in its header are informative only:
//! whoever stands between could put another JWS there, signed by a certificate of its own. What authenticates a released
//! key is the comparison of its public half, its release policy, `immutable` and `exportable` with a signed document, and
//! that is why [`ReleasedKey`] shows these. What is checked here is that the private half belongs to the public half.

use std::fmt;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::SecretSlice;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::keys::{Curve, KeyPolicy, PublicEc};
use crate::vault::{Name, Version, parse_id};

mod raw;
mod transfer;

pub use transfer::TransferKey;

use raw::{RawHeader, RawHsm, RawPayload};

/// A release as the vault answered it: a compact JWS; and the wrapping that was asked for.
pub struct ReleaseJws {
    text: String,
    asked: Wrapping,
}

/// A released key.
///
/// Its fields are what the vault says. Only the relation between [`ReleasedKey::scalar`] and [`ReleasedKey::public`] is
/// proven.
#[derive(Debug)]
pub struct ReleasedKey {
    name: Name,
    version: Version,
    public: PublicEc,
    policy: KeyPolicy,
    exportable: bool,
    enabled: bool,
    wrapping: Wrapping,
    certificates: Vec<Vec<u8>>,
    scalar: SecretSlice<u8>,
}

/// How a released key is wrapped: AES-256 key wrap with padding (RFC 5649) under a key that is wrapped by RSA-OAEP with
/// this hash, for OAEP and MGF1 both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// `CKM_RSA_AES_KEY_WRAP`: SHA-1.
    Sha1,
    /// `RSA_AES_KEY_WRAP_256`: SHA-256.
    Sha256,
    /// `RSA_AES_KEY_WRAP_384`: SHA-384.
    Sha384,
}

/// Why a release could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The release is not shaped as documented.
    #[error("the release lacks {0}")]
    Malformed(&'static str),
    /// The key is of a type or curve that cannot be a master key.
    #[error("the released key is not EC-HSM on P-256 or P-384")]
    KeyType,
    /// The wrapping is not one that this crate knows.
    #[error("the release is wrapped in an unknown way")]
    Wrapping,
    /// The wrapped key was wrapped to another environment's key, or was changed.
    #[error("the release does not open with this environment's key")]
    NotForUs,
    /// What was wrapped is not a private key of the announced curve.
    #[error("the released private key does not parse")]
    PrivateKey,
    /// The private half belongs to another public half.
    #[error("the released private key does not belong to its public key")]
    Mismatch,
    /// A new transfer key could not be made.
    #[error("making a transfer key")]
    Transfer,
}

impl ReleaseJws {
    /// Takes a compact JWS, the answer to a request for this wrapping.
    #[must_use]
    pub fn new(text: String, asked: Wrapping) -> Self {
        Self { text, asked }
    }
}

impl fmt::Debug for ReleaseJws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReleaseJws").field("length", &self.text.len()).finish_non_exhaustive()
    }
}

/// Opens a release:
///
/// 1. the compact JWS parses, its `alg` is RS256 and it is not larger than a release can be;
/// 2. the payload names a key and a version, of type EC-HSM on P-256 or P-384, with a release policy in JSON;
/// 3. `key_hsm` has schema 1.0, `alg` `dir`, and a known `enc`, the one that was asked for;
/// 4. RSA-OAEP opens the AES-256 key, which opens the private key;
/// 5. the private key parses on that curve and its public half is the one announced.
pub fn unwrap(jws: &ReleaseJws, key: &TransferKey) -> Result<ReleasedKey, UnwrapError> {
    let (header, payload) = parse_jws(&jws.text)?;
    let bundle = payload.response.key;
    let jwk = bundle.key;
    let (name, version) = parse_id(&jwk.kid, "keys").ok_or(UnwrapError::Malformed("a key id"))?;
    let curve = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC-HSM", Some("P-256")) => Curve::P256,
        ("EC-HSM", Some("P-384")) => Curve::P384,
        _ => return Err(UnwrapError::KeyType),
    };
    let public = jwk
        .x
        .zip(jwk.y)
        .and_then(|(x, y)| Some((decode(&x)?, decode(&y)?)))
        .and_then(|(x, y)| PublicEc::parse(curve, &x, &y))
        .ok_or(UnwrapError::Malformed("coordinates of the curve's length"))?;
    let policy = KeyPolicy {
        document: json(&bundle.release_policy.data, "a release policy in JSON")?,
        immutable: bundle.release_policy.immutable,
    };

    let hsm: RawHsm = json(&jwk.key_hsm, "key_hsm")?;
    if hsm.schema_version != "1.0" || hsm.header.alg != "dir" {
        return Err(UnwrapError::Wrapping);
    }
    let wrapping = Wrapping::parse(&hsm.header.enc)?;
    if wrapping != jws.asked || Wrapping::parse(&payload.request.enc)? != jws.asked {
        return Err(UnwrapError::Malformed("the wrapping that was asked for"));
    }
    let ciphertext = decode(&hsm.ciphertext).ok_or(UnwrapError::Malformed("ciphertext"))?;
    let pkcs8 = open(key, wrapping, &ciphertext)?;
    let scalar = private_half(&public, &pkcs8)?;
    Ok(ReleasedKey {
        name,
        version,
        public,
        policy,
        exportable: bundle.attributes.exportable,
        enabled: bundle.attributes.enabled,
        wrapping,
        certificates: header
            .x5c
            .iter()
            .map(|certificate| STANDARD.decode(certificate))
            .collect::<Result<_, _>>()
            .map_err(|_| UnwrapError::Malformed("certificates in base64"))?,
        scalar,
    })
}

/// Opens `RSA-OAEP(k) ‖ AES-KWP(k, plaintext)`, the shape of PKCS #11 v3.0, section 2.1.21, `CKM_RSA_AES_KEY_WRAP`.
pub fn open(
    key: &TransferKey,
    wrapping: Wrapping,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    let (wrapped_key, wrapped) =
        ciphertext.split_at_checked(key.modulus.len()).ok_or(UnwrapError::NotForUs)?;
    let mut buffer = Zeroizing::new(vec![0; key.private.min_output_size()]);
    let aes = key
        .private
        .decrypt(wrapping.oaep(), wrapped_key, &mut buffer, None)
        .map_err(|_| UnwrapError::NotForUs)?;
    if aes.len() != 32 {
        return Err(UnwrapError::NotForUs);
    }
    let kek = AesKek::new(&AES_256, aes).map_err(|_| UnwrapError::NotForUs)?;
    let mut output = Zeroizing::new(vec![0; wrapped.len()]);
    let length =
        kek.unwrap_with_padding(wrapped, &mut output).map_err(|_| UnwrapError::NotForUs)?.len();
    output.truncate(length);
    Ok(output)
}

fn private_half(public: &PublicEc, pkcs8: &[u8]) -> Result<SecretSlice<u8>, UnwrapError> {
    let algorithm = match public.curve() {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
    };
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| UnwrapError::PrivateKey)?;
    if pair.public_key().as_ref() != public.uncompressed() {
        return Err(UnwrapError::Mismatch);
    }
    let scalar = pair.private_key().as_be_bytes().map_err(|_| UnwrapError::PrivateKey)?;
    // A vector of the exact length becomes a boxed slice without leaving a copy behind.
    let mut exact = Vec::with_capacity(scalar.as_ref().len());
    exact.extend_from_slice(scalar.as_ref());
    Ok(exact.into())
}

fn parse_jws(jws: &str) -> Result<(RawHeader, RawPayload), UnwrapError> {
    if jws.len() > LIMIT {
        return Err(UnwrapError::Malformed("a sensible size"));
    }
    let mut parts = jws.split('.');
    let (Some(header), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(UnwrapError::Malformed("three parts"));
    };
    let header: RawHeader = json(header, "a header")?;
    if header.alg != "RS256" {
        return Err(UnwrapError::Malformed("alg RS256"));
    }
    Ok((header, json(payload, "the documented payload")?))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

fn json<T: DeserializeOwned>(text: &str, expected: &'static str) -> Result<T, UnwrapError> {
    decode(text)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(UnwrapError::Malformed(expected))
}

impl ReleasedKey {
    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The version that was released.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicEc {
        &self.public
    }

    /// The release policy and whether it can change, as the vault says.
    #[must_use]
    pub fn policy(&self) -> &KeyPolicy {
        &self.policy
    }

    /// Whether the key is exportable, as the vault says.
    #[must_use]
    pub fn exportable(&self) -> bool {
        self.exportable
    }

    /// Whether the version is enabled, as the vault says.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// How it was wrapped.
    #[must_use]
    pub fn wrapping(&self) -> Wrapping {
        self.wrapping
    }

    /// The certificates of the JWS, leaf first, in DER. Informative: nothing was verified with them.
    #[must_use]
    pub fn unverified_certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The private scalar, big endian, of the curve's length.
    #[must_use]
    pub fn scalar(&self) -> &SecretSlice<u8> {
        &self.scalar
    }

    /// Gives the private scalar away.
    #[must_use]
    pub fn into_scalar(self) -> SecretSlice<u8> {
        self.scalar
    }
}

impl Wrapping {
    fn parse(enc: &str) -> Result<Self, UnwrapError> {
        match enc {
            "CKM_RSA_AES_KEY_WRAP" => Ok(Self::Sha1),
            "RSA_AES_KEY_WRAP_256" => Ok(Self::Sha256),
            "RSA_AES_KEY_WRAP_384" => Ok(Self::Sha384),
            _ => Err(UnwrapError::Wrapping),
        }
    }

    fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
        }
    }
}

/// A release with three certificates and a long policy is about 30 KB.
const LIMIT: usize = 256 << 10;

#[cfg(test)]
mod tests;
