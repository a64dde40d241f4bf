//! The HCL report: what the paravisor keeps in the virtual TPM for the guest to show.
//!
//! Wire layout: Microsoft, "Azure confidential VMs: guest attestation design detail", section "Attestation report format"
//! (<https://learn.microsoft.com/azure/confidential-computing/guest-attestation-confidential-virtual-machines-design>),
//! little-endian throughout; found at the TPM's index 0x01400001:
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 32 | header: `HCLA`, version, report size, request type, status, three reserved words |
//! | 32 | 1184 | the hardware's report |
//! | 1216 | 20 | data size, version, report type, digest type, length of the claims |
//! | 1236 | | the claims, as JSON, and zeros up to the size of the index: 2048 or 2600 bytes |
//!
//! Nothing here is signed but the hardware's report; the claims count when their digest is in its REPORT_DATA.

use std::fmt;

use super::RuntimeClaims;
use crate::Report;

/// An HCL report, not yet verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HclReport<'a> {
    version: u32,
    kind: HclReportKind,
    report: &'a [u8],
    claims: &'a [u8],
}

/// Whose report an HCL report holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HclReportKind {
    /// None: virtualization-based security.
    Vbs,
    /// AMD SEV-SNP.
    Snp,
    /// None: trusted launch.
    TrustedLaunch,
    /// Intel TDX.
    Tdx,
    /// A kind without a meaning so far.
    Other(u32),
}

/// Bytes that are not an HCL report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HclError {
    /// Shorter than its fixed part or longer than any index.
    #[error("expected 1236 to {MAX_LEN} bytes, found {0}")]
    Length(usize),
    /// It does not begin with `HCLA`.
    #[error("expected HCLA at the front, found other bytes")]
    Magic,
    /// The version is neither 1 nor 2.
    #[error("expected version 1 or 2, found {0}")]
    Version(u32),
    /// The claims are said to be longer than there are bytes.
    #[error("expected at most {available} bytes of claims, found a length of {stated}")]
    Claims {
        /// How many bytes follow the fixed part.
        available: usize,
        /// How many there should be.
        stated: u32,
    },
    /// The claims are hashed in another way.
    #[error("expected digest type 1 (sha-256), found {0}")]
    Digest(u32),
}

impl<'a> HclReport<'a> {
    /// Takes an HCL report apart.
    ///
    /// # Errors
    /// When the bytes cannot be one; see [`HclError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HclError> {
        if bytes.len() > MAX_LEN {
            return Err(HclError::Length(bytes.len()));
        }
        let mut rest = Words { rest: bytes, len: bytes.len() };
        if rest.take::<4>()? != *b"HCLA" {
            return Err(HclError::Magic);
        }
        let version = rest.word()?;
        if !(1..=2).contains(&version) {
            return Err(HclError::Version(version));
        }
        // Report size, request type, status, and what is reserved: the host's to say, and of no consequence.
        let _header: [u8; 24] = rest.take()?;
        let report = rest.slice(Report::LEN)?;
        // Data size and version of the claims' frame: the length below is the one that counts.
        let _frame: [u8; 8] = rest.take()?;
        let kind = HclReportKind::from(rest.word()?);
        let digest = rest.word()?;
        let stated = rest.word()?;
        if digest != SHA256 {
            return Err(HclError::Digest(digest));
        }
        let claims = usize::try_from(stated)
            .ok()
            .and_then(|len| rest.rest.get(..len))
            .ok_or(HclError::Claims { available: rest.rest.len(), stated })?;
        Ok(Self { version, kind, report, claims })
    }

    /// The version of the header: 1 or 2.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whose report it holds, as the header says.
    #[must_use]
    pub fn kind(&self) -> HclReportKind {
        self.kind
    }

    /// The hardware's report: 1184 bytes.
    #[must_use]
    pub fn report(&self) -> &'a [u8] {
        self.report
    }

    /// The runtime claims, as the bytes that REPORT_DATA has the digest of.
    #[must_use]
    pub fn claims_bytes(&self) -> &'a [u8] {
        self.claims
    }

    /// The runtime claims.
    ///
    /// # Errors
    /// When they are not a JSON object; the text says what is wrong, in the words of the reader.
    pub fn claims(&self) -> Result<RuntimeClaims, serde_json::Error> {
        RuntimeClaims::parse(self.claims)
    }
}

impl From<u32> for HclReportKind {
    fn from(kind: u32) -> Self {
        match kind {
            1 => Self::Vbs,
            2 => Self::Snp,
            3 => Self::TrustedLaunch,
            4 => Self::Tdx,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for HclReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vbs => f.write_str("vbs"),
            Self::Snp => f.write_str("snp"),
            Self::TrustedLaunch => f.write_str("trusted launch"),
            Self::Tdx => f.write_str("tdx"),
            Self::Other(other) => write!(f, "kind {other}"),
        }
    }
}

/// What has not been read yet.
struct Words<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Words<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HclError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(HclError::Length(self.len))?;
        self.rest = rest;
        Ok(*head)
    }

    fn word(&mut self) -> Result<u32, HclError> {
        self.take().map(u32::from_le_bytes)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], HclError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(HclError::Length(self.len))?;
        self.rest = rest;
        Ok(head)
    }
}

/// Real ones have 2048 or 2600 bytes; a TPM's index cannot be much larger.
const MAX_LEN: usize = 8 << 10;
const SHA256: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(claims: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 2600];
        bytes[..8].copy_from_slice(b"HCLA\x01\0\0\0");
        bytes[32] = 7;
        bytes[1215] = 8;
        bytes[1224] = 2;
        bytes[1228] = 1;
        bytes[1232..1236].copy_from_slice(&u32::try_from(claims.len()).unwrap().to_le_bytes());
        bytes[1236..1236 + claims.len()].copy_from_slice(claims);
        bytes
    }

    #[test]
    fn reads_every_part_from_its_offset() {
        for (version, len) in [(1, 2048), (2, 2600), (1, 1239)] {
            let mut bytes = blank(b"{ }");
            bytes[4] = version;
            bytes.truncate(len);
            let hcl = HclReport::parse(&bytes).unwrap();
            assert_eq!((hcl.version(), hcl.kind()), (version.into(), HclReportKind::Snp));
            assert_eq!((hcl.report()[0], hcl.report()[1183]), (7, 8));
            assert_eq!(hcl.claims_bytes(), b"{ }");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        let with = |at: usize, value: u8| {
            let mut bytes = blank(b"{}");
            bytes[at] = value;
            HclReport::parse(&bytes).unwrap_err()
        };
        assert_eq!(HclReport::parse(&[]), Err(HclError::Length(0)));
        assert_eq!(HclReport::parse(&blank(b"{}")[..1235]), Err(HclError::Length(1235)));
        assert_eq!(HclReport::parse(&[0; MAX_LEN + 1]), Err(HclError::Length(MAX_LEN + 1)));
        assert_eq!(with(0, b'h'), HclError::Magic);
        assert_eq!(with(4, 0), HclError::Version(0));
        assert_eq!(with(4, 3), HclError::Version(3));
        assert_eq!(with(1228, 2), HclError::Digest(2));
        assert_eq!(with(1233, 6), HclError::Claims { available: 1364, stated: 0x602 });
        assert_eq!(with(1235, 0xff), HclError::Claims { available: 1364, stated: 0xff00_0002 });
    }

    #[test]
    fn other_kinds_are_values() {
        let mut bytes = blank(b"{}");
        for (number, name) in [(1, "vbs"), (3, "trusted launch"), (4, "tdx"), (9, "kind 9")] {
            bytes[1224] = number;
            assert_eq!(HclReport::parse(&bytes).unwrap().kind().to_string(), name);
        }
    }
}
