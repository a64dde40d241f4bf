//! The registers of a TPM in which a boot is measured, and the nonce of a quote.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The value of a register of the SHA-256 bank.
pub type PcrValue = Sha256;

/// The number of a register: 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct PcrIndex(u8);

/// A number that is not a register's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the number of a register, 0 to 23, found {0}")]
pub struct NotARegister(u8);

/// A set of registers of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcrSelection {
    /// TPM_ALG_ID of the bank's hash.
    pub bank: u16,
    /// One bit a register, the first register's the lowest.
    pub registers: u32,
}

/// What a quote must carry to be fresh: the verifier's challenge, or a digest of it and of what it binds.
#[derive(Clone, PartialEq, Eq)]
pub struct QuoteNonce(Vec<u8>);

/// Bytes that a TPM does not take as a nonce, or that no challenge consists of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a nonce of 8 to 64 bytes, found {0}")]
pub struct WrongNonce(usize);

impl PcrIndex {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for PcrIndex {
    type Error = NotARegister;

    fn try_from(number: u8) -> Result<Self, NotARegister> {
        if number < COUNT { Ok(Self(number)) } else { Err(NotARegister(number)) }
    }
}

impl From<PcrIndex> for u8 {
    fn from(index: PcrIndex) -> Self {
        index.0
    }
}

impl fmt::Display for PcrIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PcrSelection {
    /// TPM_ALG_SHA256.
    pub const SHA256: u16 = 0x000b;

    /// Whether the register is in the set.
    #[must_use]
    pub const fn contains(self, register: PcrIndex) -> bool {
        self.registers & 1 << register.0 != 0
    }
}

impl fmt::Display for PcrSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bank {:#06x}, registers {:#08x}", self.bank, self.registers)
    }
}

impl QuoteNonce {
    /// A nonce of these bytes.
    ///
    /// # Errors
    /// When they are fewer than a challenge should have, or more than a TPM takes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, WrongNonce> {
        if (8..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(WrongNonce(bytes.len())) }
    }

    /// The digest of runtime data, which is what a report would carry in the first half of REPORT_DATA.
    #[must_use]
    pub fn sha256(runtime_data: &[u8]) -> Self {
        Self(Sha256::of(runtime_data).as_bytes().to_vec())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for QuoteNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuoteNonce(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

const COUNT: u8 = 24;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn registers_are_numbers_in_json() {
        let all: BTreeMap<PcrIndex, u8> = serde_json::from_str(r#"{"0":1,"23":2}"#).unwrap();
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"0":1,"23":2}"#);
        assert!(serde_json::from_str::<BTreeMap<PcrIndex, u8>>(r#"{"24":1}"#).is_err());
        assert_eq!(PcrIndex::try_from(24), Err(NotARegister(24)));
        assert_eq!(PcrIndex::all().count(), 24);
    }

    #[test]
    fn a_nonce_has_a_length() {
        assert_eq!(QuoteNonce::new(vec![0; 7]), Err(WrongNonce(7)));
        assert_eq!(QuoteNonce::new(vec![0; 65]), Err(WrongNonce(65)));
        assert!(QuoteNonce::new(vec![0; 8]).is_ok() && QuoteNonce::new(vec![0; 64]).is_ok());
        assert_eq!(QuoteNonce::sha256(b"").as_bytes(), Sha256::of(b"").as_bytes());
    }
}
