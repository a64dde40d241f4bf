//! Byte strings of fixed length that mean something, each a type of its own.
//!
//! All are written as lower-case hex, and read only so: one value has one spelling, so a comparison of text is a
//! comparison of values.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not the lower-case hex of a value of the right length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lower-case hex digits, found {found}")]
pub struct HexError {
    /// How many digits the type has.
    expected: usize,
    /// What was there instead; lengths and offsets only, since the text is not ours to repeat.
    found: String,
}

macro_rules! byte_string {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                decode(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

byte_string!(
    /// HOST_DATA: what the host said at launch, which for a container is the SHA-256 of its CCE policy.
    HostData, 32
);
byte_string!(
    /// MEASUREMENT: the launch digest of the guest.
    Measurement, 48
);
byte_string!(
    /// CHIP_ID: the identity of the processor; Turin uses the first 8 bytes, the rest is zero.
    ChipId, 64
);
byte_string!(
    /// A SHA-256 digest, mostly of a certificate's DER.
    Sha256, 32
);
byte_string!(
    /// REPORT_DATA: what the guest bound into the report when it asked for it.
    Binding, 64
);
byte_string!(
    /// FAMILY_ID of the ID block.
    FamilyId, 16
);
byte_string!(
    /// IMAGE_ID of the ID block.
    ImageId, 16
);
byte_string!(
    /// SHA-384 of the key that signed the ID block, or of that key's author; zeros where there was none.
    KeyDigest, 48
);
byte_string!(
    /// REPORT_ID: the identity of this run of the guest, or of its migration agent.
    ReportId, 32
);

impl Sha256 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// A digest of two digests, in this order.
    pub(crate) fn and(&self, other: Self) -> Self {
        Self::of([self.0, other.0].as_flattened())
    }
}

impl Binding {
    /// The binding of `runtime_data` as Azure does it: its SHA-256, then 32 zero bytes.
    #[must_use]
    pub fn sha256(runtime_data: &[u8]) -> Self {
        let mut out = [0; 64];
        out[..32].copy_from_slice(Sha256::of(runtime_data).as_bytes());
        Self(out)
    }
}

impl HostData {
    /// HOST_DATA of a container group that is launched with this CCE policy (the decoded Rego).
    #[must_use]
    pub fn of_policy(rego: &[u8]) -> Self {
        Self(*Sha256::of(rego).as_bytes())
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let wrong = |found: String| HexError { expected: N * 2, found };
    if text.len() != N * 2 {
        return Err(wrong(format!("{} bytes of text", text.len())));
    }
    let mut out = [0; N];
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (at, (byte, [high, low])) in out.iter_mut().zip(pairs).enumerate() {
        match (nibble(*high), nibble(*low)) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return Err(wrong(format!("another character near offset {}", at * 2))),
        }
    }
    Ok(out)
}

/// Hex of any length and either case, as other people write it.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs
        .iter()
        .map(|[high, low]| {
            let nibble = |character: &u8| nibble(character.to_ascii_lowercase());
            Some(nibble(high)? << 4 | nibble(low)?)
        })
        .collect()
}

fn nibble(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let digest = Sha256::of(b"");
        assert_eq!(
            digest.to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), digest);
    }

    #[test]
    fn refuses_another_length_and_another_spelling() {
        let text = Sha256::of(b"").to_string();
        for bad in [&text[2..], &text.to_uppercase(), &text.replace('e', "g"), ""] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
        assert!("é".repeat(32).parse::<Sha256>().is_err());
    }

    #[test]
    fn binds_the_digest_and_zeros() {
        let binding = Binding::sha256(b"runtime data");
        assert_eq!(binding.as_bytes()[..32], *Sha256::of(b"runtime data").as_bytes());
        assert_eq!(binding.as_bytes()[32..], [0; 32]);
    }
}
