//! Public EC keys in JWK form (RFC 7517, RFC 7518 §6.2), the two curves that we use.

use evidence::Sha256;
use serde::{Deserialize, Serialize};

/// The curve of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Curve {
    /// NIST P-256: coordinates of 32 bytes.
    #[serde(rename = "P-256")]
    P256,
    /// NIST P-384: coordinates of 48 bytes.
    #[serde(rename = "P-384")]
    P384,
}

impl Curve {
    /// Bytes of one coordinate, and of the private scalar.
    #[must_use]
    pub const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    /// The name in JWK and in Key Vault (`crv`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }
}

/// A public EC key: its uncompressed point, 0x04 ‖ x ‖ y (SEC 1 §2.3.3).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "RawEcKey", into = "RawEcKey")]
pub struct EcPublicKey {
    curve: Curve,
    point: Vec<u8>,
}

impl EcPublicKey {
    /// Takes an uncompressed point.
    ///
    /// Only its form is checked here; that it lies on the curve is checked by whatever uses it.
    ///
    /// # Errors
    /// Another length or another first byte than an uncompressed point of `curve` has.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, NotAPoint> {
        if point.len() != 1 + 2 * curve.coordinate_len() || point.first() != Some(&4) {
            return Err(NotAPoint { curve: curve.name(), length: point.len() });
        }
        Ok(Self { curve, point: point.to_vec() })
    }

    /// Takes the two coordinates, as a JWK or Key Vault has them.
    ///
    /// # Errors
    /// A coordinate is longer than the curve's.
    pub fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, NotAPoint> {
        let len = curve.coordinate_len();
        let mut point = vec![4];
        for coordinate in [x, y] {
            let padding = len
                .checked_sub(coordinate.len())
                .ok_or(NotAPoint { curve: curve.name(), length: coordinate.len() })?;
            point.extend(std::iter::repeat_n(0, padding));
            point.extend_from_slice(coordinate);
        }
        Self::from_point(curve, &point)
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed point.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// SHA-256 of the uncompressed point: how documents and locks name the key.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        sha256(&self.point)
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::of(bytes)
}

/// A point of another form than the curve's uncompressed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes that are no uncompressed point of {curve}")]
pub struct NotAPoint {
    curve: &'static str,
    length: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEcKey {
    kty: KeyType,
    crv: Curve,
    #[serde(with = "crate::b64")]
    x: Vec<u8>,
    #[serde(with = "crate::b64")]
    y: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum KeyType {
    #[serde(rename = "EC")]
    Ec,
}

impl TryFrom<RawEcKey> for EcPublicKey {
    type Error = NotAPoint;
    fn try_from(raw: RawEcKey) -> Result<Self, NotAPoint> {
        let RawEcKey { kty: KeyType::Ec, crv, x, y } = raw;
        // RFC 7518 §6.2.1.2: a coordinate has the full length of the curve's field.
        if x.len() != crv.coordinate_len() || y.len() != crv.coordinate_len() {
            return Err(NotAPoint { curve: crv.name(), length: x.len() });
        }
        Self::from_coordinates(crv, &x, &y)
    }
}

impl From<EcPublicKey> for RawEcKey {
    fn from(key: EcPublicKey) -> Self {
        let (x, y) = key.point.get(1..).unwrap_or_default().split_at(key.curve.coordinate_len());
        Self { kty: KeyType::Ec, crv: key.curve, x: x.to_vec(), y: y.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwk_comes_back_as_it_went() {
        let key = EcPublicKey::from_coordinates(Curve::P256, &[1; 32], &[2; 31]).unwrap();
        let json = serde_json::to_string(&key).unwrap();
        assert!(json.contains(r#""kty":"EC","crv":"P-256""#), "{json}");
        assert_eq!(serde_json::from_str::<EcPublicKey>(&json).unwrap(), key);
    }

    #[test]
    fn refuses_a_short_coordinate_and_unknown_members() {
        let short = format!(
            r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"AAAA"}}"#,
            crate::b64::encode(&[1; 32])
        );
        assert!(serde_json::from_str::<EcPublicKey>(&short).is_err());
        let d = format!(
            r#"{{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}","d":"AA"}}"#,
            crate::b64::encode(&[1; 32])
        );
        assert!(serde_json::from_str::<EcPublicKey>(&d).is_err());
        assert!(EcPublicKey::from_point(Curve::P384, &[4; 65]).is_err());
    }
}
