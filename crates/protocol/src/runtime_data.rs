//! Runtime data: the keys that a server makes at start, as the JSON text whose SHA-256 is the
//! report's REPORT_DATA.
//!
//! MAA takes the same bytes as `runtimeData`, and secure key release wraps to the first RSA key
//! usable for encryption that it finds in them (so only the release key says `encrypt`). The boot
//! key signs what this boot of the server says to its clients.

use evidence::Binding;
use serde::{Deserialize, Serialize};

use crate::b64;
use crate::jwk::{Curve, EcPublicKey};

/// The runtime data of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeData {
    bytes: Vec<u8>,
    boot_key: EcPublicKey,
}

impl RuntimeData {
    /// Writes the runtime data of an RSA release key (modulus and exponent, big-endian) and a
    /// P-256 boot key.
    ///
    /// # Errors
    /// The boot key is on another curve.
    pub fn new(
        modulus: &[u8],
        exponent: &[u8],
        boot_key: &EcPublicKey,
    ) -> Result<Self, RuntimeDataError> {
        let raw = Raw {
            keys: (
                ReleaseKey {
                    e: b64::encode(exponent),
                    key_ops: vec!["encrypt".to_owned()],
                    kid: RELEASE_KID.to_owned(),
                    kty: "RSA".to_owned(),
                    n: b64::encode(modulus),
                },
                BootKey {
                    crv: boot_key.curve(),
                    key_ops: vec!["sign".to_owned(), "verify".to_owned()],
                    kid: BOOT_KID.to_owned(),
                    kty: "EC".to_owned(),
                    x: b64::encode(coordinates(boot_key).0),
                    y: b64::encode(coordinates(boot_key).1),
                },
            ),
        };
        let bytes = serde_json::to_vec(&raw).map_err(|_| RuntimeDataError::Malformed)?;
        Self::parse(&bytes)
    }

    /// Reads runtime data that a server sent.
    ///
    /// # Errors
    /// Too large, or not exactly the two keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, RuntimeDataError> {
        if bytes.len() > MAX_LEN {
            return Err(RuntimeDataError::Malformed);
        }
        let Raw { keys: (release, boot) } =
            serde_json::from_slice(bytes).map_err(|_| RuntimeDataError::Malformed)?;
        if release.kid != RELEASE_KID
            || release.kty != "RSA"
            || boot.kid != BOOT_KID
            || boot.kty != "EC"
        {
            return Err(RuntimeDataError::Malformed);
        }
        if boot.crv != Curve::P256 {
            return Err(RuntimeDataError::BootKey);
        }
        let coordinate = |text: &str| b64::decode(text).map_err(|_| RuntimeDataError::BootKey);
        let boot_key =
            EcPublicKey::from_coordinates(boot.crv, &coordinate(&boot.x)?, &coordinate(&boot.y)?)
                .map_err(|_| RuntimeDataError::BootKey)?;
        Ok(Self { bytes: bytes.to_vec(), boot_key })
    }

    /// The exact bytes that the report binds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The boot key, public half.
    #[must_use]
    pub const fn boot_key(&self) -> &EcPublicKey {
        &self.boot_key
    }

    /// REPORT_DATA of evidence for these keys.
    #[must_use]
    pub fn binding(&self) -> Binding {
        Binding::sha256(&self.bytes)
    }
}

/// Runtime data of another form than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeDataError {
    /// Not the JSON of a release key and a boot key.
    #[error("runtime data are not a release key and a boot key")]
    Malformed,
    /// The boot key is not a P-256 point.
    #[error("the boot key is not a P-256 key")]
    BootKey,
}

fn coordinates(key: &EcPublicKey) -> (&[u8], &[u8]) {
    key.point().get(1..).unwrap_or_default().split_at(key.curve().coordinate_len())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    keys: (ReleaseKey, BootKey),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseKey {
    e: String,
    key_ops: Vec<String>,
    kid: String,
    kty: String,
    n: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BootKey {
    crv: Curve,
    key_ops: Vec<String>,
    kid: String,
    kty: String,
    x: String,
    y: String,
}

const RELEASE_KID: &str = "vouchsafe-release";
const BOOT_KID: &str = "vouchsafe-boot";
const MAX_LEN: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_byte_for_byte() {
        let key = EcPublicKey::from_coordinates(Curve::P256, &[1; 32], &[2; 32]).unwrap();
        let data = RuntimeData::new(&[0xc5; 256], &[1, 0, 1], &key).unwrap();
        let again = RuntimeData::parse(data.bytes()).unwrap();
        assert_eq!(again, data);
        assert_eq!(again.boot_key(), &key);
        assert!(!format!("{:?}", data.binding()).is_empty());
    }

    #[test]
    fn rejects_a_third_key_and_a_boot_key_of_another_curve() {
        let key = EcPublicKey::from_coordinates(Curve::P256, &[1; 32], &[2; 32]).unwrap();
        let text = String::from_utf8(
            RuntimeData::new(&[0xc5; 256], &[1, 0, 1], &key).unwrap().bytes().to_vec(),
        )
        .unwrap();
        let third = text.replace(r#"{"keys":["#, r#"{"keys":[{"kid":"x"},"#);
        assert_eq!(RuntimeData::parse(third.as_bytes()), Err(RuntimeDataError::Malformed));
        let p384 = EcPublicKey::from_coordinates(Curve::P384, &[1; 48], &[2; 48]).unwrap();
        assert_eq!(
            RuntimeData::new(&[0xc5; 256], &[1, 0, 1], &p384),
            Err(RuntimeDataError::BootKey)
        );
    }
}
