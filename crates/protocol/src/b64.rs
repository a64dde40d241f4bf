//! Base64url without padding (RFC 4648 §5), the one form in which our documents carry bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Encodes bytes as base64url without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding; white space and padding are refused.
///
/// # Errors
/// The text is not base64url.
pub fn decode(text: &str) -> Result<Vec<u8>, NotBase64> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64 { length: text.len() })
}

/// A text that should have been base64url without padding; only its length is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{length} characters that are not base64url without padding")]
pub struct NotBase64 {
    /// Length of the text, in characters.
    pub length: usize,
}

/// For `#[serde(serialize_with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&encode(bytes))
}

/// For `#[serde(deserialize_with)]`, into a vector or an array of a fixed length.
///
/// # Errors
/// Not base64url, or another length than the target's.
pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = decode(&text).map_err(serde::de::Error::custom)?;
    let length = bytes.len();
    T::try_from(bytes).map_err(|_| {
        serde::de::Error::custom(format!("{length} bytes, which is not the expected length"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_padding_and_the_standard_alphabet() {
        assert_eq!(decode("-_8").unwrap(), vec![0xfb, 0xff]);
        assert!(decode("-_8=").is_err());
        assert!(decode("+/8").is_err());
    }
}
