//! What a vault says about a key, parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use azure_security_keyvault_keys::models as sdk;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::{Call, Fault, Malformed};
use crate::vault::{Name, Version, parse_id, timestamp};

/// A version of a key: its public half and what the vault keeps about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key's name.
    pub name: Name,
    /// The version.
    pub version: Version,
    /// What kind of key it is.
    pub kind: KeyKind,
    /// Whether it can be used and released.
    pub enabled: bool,
    /// Whether it can be released at all.
    pub exportable: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// What the vault may do with it.
    pub operations: BTreeSet<String>,
    /// Under which conditions it can be released.
    pub policy: Option<KeyPolicy>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A release policy and whether it can change.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPolicy {
    /// The policy. Azure stores it re-serialised: compare what it means, never its text.
    pub document: Value,
    /// Whether the vault refuses to change it for ever.
    pub immutable: bool,
}

/// One line of a list of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// The version.
    pub version: Version,
    /// Whether it can be used and released.
    pub enabled: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// A soft-deleted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedKey {
    /// The version that was the newest.
    pub version: Version,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
    /// When Azure destroys it.
    pub purged: Option<Timestamp>,
}

/// What kind of key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// Elliptic curve, in an HSM.
    EcHsm(PublicEc),
    /// Any other type, by the vault's name for it.
    Other(String),
}

/// A curve that a master key may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

/// A public point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicEc {
    curve: Curve,
    uncompressed: Vec<u8>,
}

impl Curve {
    /// The length of a coordinate, and of a private scalar.
    #[must_use]
    pub fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    /// Its name as in a JWK.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PublicEc {
    /// From coordinates of exactly the curve's length; whether the point is on the curve is for whoever uses it.
    #[must_use]
    pub fn parse(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        let length = curve.coordinate_len();
        (x.len() == length && y.len() == length)
            .then(|| Self { curve, uncompressed: [&[4], x, y].concat() })
    }

    /// The curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The point as `0x04 ‖ x ‖ y` (SEC 1, section 2.3.3).
    #[must_use]
    pub fn uncompressed(&self) -> &[u8] {
        &self.uncompressed
    }

    /// The first coordinate.
    #[must_use]
    pub fn x(&self) -> &[u8] {
        self.coordinates().0
    }

    /// The second coordinate.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        self.coordinates().1
    }

    fn coordinates(&self) -> (&[u8], &[u8]) {
        self.uncompressed
            .get(1..)
            .and_then(|both| both.split_at_checked(self.curve.coordinate_len()))
            .unwrap_or_default()
    }
}

impl Key {
    pub(super) fn parse(call: &Call, key: sdk::Key) -> Result<Self, Fault> {
        let lacks = |what| Fault::Malformed(Malformed::new(call, what));
        let jwk = key.key.ok_or_else(|| lacks("key"))?;
        let attributes = key.attributes.ok_or_else(|| lacks("attributes"))?;
        let kid = jwk.kid.as_deref().ok_or_else(|| lacks("kid"))?;
        let (name, version) = parse_id(kid, "keys").ok_or_else(|| lacks("a key id"))?;
        let kty = jwk.kty.ok_or_else(|| lacks("kty"))?;
        let kind = if kty == sdk::KeyType::EcHsm {
            let curve = match jwk.crv.as_ref() {
                Some(sdk::CurveName::P256) => Curve::P256,
                Some(sdk::CurveName::P384) => Curve::P384,
                _ => return Err(lacks("a curve P-256 or P-384")),
            };
            KeyKind::EcHsm(
                jwk.x
                    .as_deref()
                    .zip(jwk.y.as_deref())
                    .and_then(|(x, y)| PublicEc::parse(curve, x, y))
                    .ok_or_else(|| lacks("coordinates of the curve's length"))?,
            )
        } else {
            KeyKind::Other(kty.to_string())
        };
        let policy = key
            .release_policy
            .map(|policy| {
                let document = policy
                    .encoded_policy
                    .as_deref()
                    .and_then(|text| serde_json::from_slice(text).ok())
                    .ok_or_else(|| lacks("a release policy in JSON"))?;
                Ok(KeyPolicy { document, immutable: policy.immutable.unwrap_or(false) })
            })
            .transpose()?;
        Ok(Self {
            name,
            version,
            kind,
            enabled: attributes.enabled.unwrap_or(false),
            exportable: attributes.exportable.unwrap_or(false),
            created: timestamp(attributes.created),
            operations: jwk.key_ops.unwrap_or_default().into_iter().collect(),
            policy,
            tags: key.tags.unwrap_or_default().into_iter().collect(),
        })
    }
}

impl KeyVersion {
    pub(super) fn parse(call: &Call, item: sdk::KeyProperties) -> Result<Self, Fault> {
        let lacks = |what| Fault::Malformed(Malformed::new(call, what));
        let (_, version) = item
            .kid
            .as_deref()
            .and_then(|kid| parse_id(kid, "keys"))
            .ok_or_else(|| lacks("a key id"))?;
        let attributes = item.attributes.ok_or_else(|| lacks("attributes"))?;
        Ok(Self {
            version,
            enabled: attributes.enabled.unwrap_or(false),
            created: timestamp(attributes.created),
        })
    }
}

impl DeletedKey {
    pub(super) fn parse(call: &Call, deleted: sdk::DeletedKey) -> Result<Self, Fault> {
        let (_, version) = deleted
            .key
            .and_then(|jwk| jwk.kid)
            .and_then(|kid| parse_id(&kid, "keys"))
            .ok_or_else(|| Fault::Malformed(Malformed::new(call, "a key id")))?;
        Ok(Self {
            version,
            deleted: timestamp(deleted.deleted_date),
            purged: timestamp(deleted.scheduled_purge_date),
        })
    }
}
