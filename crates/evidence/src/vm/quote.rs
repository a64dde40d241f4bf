//! A TPM's quote: what it signed, and the signature.
//!
//! Wire layouts: TCG, "Trusted Platform Module Library, Part 2: Structures", family 2.0, revision 1.59, big-endian:
//! TPMS_ATTEST and TPMS_QUOTE_INFO (section 10.12), TPMS_CLOCK_INFO (10.11), TPML_PCR_SELECTION (10.9),
//! TPMT_SIGNATURE (11.3).
//! A restricted key signs nothing that begins with the magic number but what the TPM made itself, so magic and type are
//! what keeps a guest from having its own words signed.

use super::Bytes;
use super::registers::PcrSelection;

/// A TPMS_ATTEST of a quote, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmQuote {
    /// The qualified name of the key that signs, as the TPM says it.
    pub signer: Vec<u8>,
    /// What the caller had the TPM put in.
    pub extra_data: Vec<u8>,
    /// Milliseconds that the TPM has been powered.
    pub clock: u64,
    /// How often it was reset, which is how often the machine booted.
    pub reset_count: u32,
    /// How often it was restarted since, as on waking up.
    pub restart_count: u32,
    /// Whether the clock has never been higher than it says.
    pub clock_is_safe: bool,
    /// The version of the TPM's firmware.
    pub firmware_version: u64,
    /// Which registers are quoted.
    pub selections: Vec<PcrSelection>,
    /// The digest of their values.
    pub pcr_digest: Vec<u8>,
}

/// A TPMT_SIGNATURE of the only scheme that the attestation keys of Azure have: RSASSA (PKCS#1 v1.5) with SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmSignature(Vec<u8>);

/// Bytes that are not a quote or its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The TPM did not make this.
    #[error("expected the tpm's magic number ff544347, found {0:08x}")]
    Magic(u32),
    /// The TPM made it, but it is something else.
    #[error("expected a quote (type 8018), found type {0:04x}")]
    Type(u16),
    /// Too few bytes, too many, or a part of an impossible length.
    #[error("expected a {0}, found other bytes")]
    Malformed(&'static str),
    /// A signature of another scheme.
    #[error(
        "expected scheme 0014 (rsassa) with hash 000b (sha-256), found {scheme:04x} with {hash:04x}"
    )]
    Scheme {
        /// TPM_ALG_ID of the scheme.
        scheme: u16,
        /// TPM_ALG_ID of the hash.
        hash: u16,
    },
}

impl TpmQuote {
    /// Takes a TPMS_ATTEST apart.
    ///
    /// # Errors
    /// When the TPM did not make it, it is not a quote, or its bytes are out of shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        let malformed = || QuoteError::Malformed("quote");
        let mut rest = Bytes(bytes);
        let magic = rest.u32().ok_or_else(malformed)?;
        if magic != GENERATED {
            return Err(QuoteError::Magic(magic));
        }
        let kind = rest.u16().ok_or_else(malformed)?;
        if kind != QUOTE {
            return Err(QuoteError::Type(kind));
        }
        Self::read(&mut rest).filter(|_| rest.0.is_empty()).ok_or_else(malformed)
    }

    fn read(rest: &mut Bytes<'_>) -> Option<Self> {
        Some(Self {
            signer: rest.sized()?.to_vec(),
            extra_data: rest.sized()?.to_vec(),
            clock: rest.u64()?,
            reset_count: rest.u32()?,
            restart_count: rest.u32()?,
            clock_is_safe: match rest.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
            firmware_version: rest.u64()?,
            selections: selections(rest)?,
            pcr_digest: rest.sized()?.to_vec(),
        })
    }
}

fn selections(rest: &mut Bytes<'_>) -> Option<Vec<PcrSelection>> {
    let count = rest.u32().filter(|count| *count <= MAX_BANKS)?;
    (0..count)
        .map(|_| {
            let bank = rest.u16()?;
            let len = rest.u8().filter(|len| *len <= MAX_SELECT)?;
            let registers = rest.slice(len.into())?;
            let registers = registers.iter().rev().fold(0, |set, byte| set << 8 | u32::from(*byte));
            Some(PcrSelection { bank, registers })
        })
        .collect()
}

impl TpmSignature {
    /// Takes a TPMT_SIGNATURE apart.
    ///
    /// # Errors
    /// When it is of another scheme, or its bytes are out of shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        let malformed = || QuoteError::Malformed("tpm signature");
        let mut rest = Bytes(bytes);
        let (scheme, hash) = rest.u16().zip(rest.u16()).ok_or_else(malformed)?;
        if (scheme, hash) != (RSASSA, PcrSelection::SHA256) {
            return Err(QuoteError::Scheme { scheme, hash });
        }
        let signature = rest.sized().filter(|_| rest.0.is_empty()).ok_or_else(malformed)?;
        if signature.len() > MAX_SIGNATURE {
            return Err(malformed());
        }
        Ok(Self(signature.to_vec()))
    }

    /// A signature that comes without its frame, as in the evidence of Confidential Containers.
    ///
    /// # Errors
    /// When it is longer than one of RSA.
    pub fn rsassa_sha256(signature: Vec<u8>) -> Result<Self, QuoteError> {
        if signature.len() > MAX_SIGNATURE {
            return Err(QuoteError::Malformed("tpm signature"));
        }
        Ok(Self(signature))
    }

    /// The TPMT_SIGNATURE.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // The length was checked when this was made.
        let len = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        let head = [RSASSA, PcrSelection::SHA256, len].into_iter().flat_map(u16::to_be_bytes);
        head.chain(self.0.iter().copied()).collect()
    }

    /// The signature proper.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// TPM_GENERATED_VALUE.
const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: u16 = 0x8018;
/// TPM_ALG_RSASSA.
const RSASSA: u16 = 0x0014;
/// One a hash that a TPM might know.
const MAX_BANKS: u32 = 16;
/// One bit a register, of which a TPM of a PC has 24.
const MAX_SELECT: u8 = 3;
/// RSA-8192.
const MAX_SIGNATURE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A quote as a virtual TPM of Azure makes it.
    fn good() -> Vec<u8> {
        let mut bytes = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18];
        bytes.extend([0, 2, 0xa, 0xb]);
        bytes.extend([0, 3, 1, 2, 3]);
        bytes.extend(7u64.to_be_bytes());
        bytes.extend(8u32.to_be_bytes());
        bytes.extend(9u32.to_be_bytes());
        bytes.push(1);
        bytes.extend(10u64.to_be_bytes());
        bytes.extend([0, 0, 0, 2, 0, 0x0b, 3, 0xff, 0x40, 0x01, 0, 4, 2, 1, 2]);
        bytes.extend([0, 2, 0xc, 0xd]);
        bytes
    }

    #[test]
    fn reads_every_field() {
        let quote = TpmQuote {
            signer: vec![10, 11],
            extra_data: vec![1, 2, 3],
            clock: 7,
            reset_count: 8,
            restart_count: 9,
            clock_is_safe: true,
            firmware_version: 10,
            selections: vec![
                PcrSelection { bank: 0x0b, registers: 0x1_40ff },
                PcrSelection { bank: 4, registers: 0x201 },
            ],
            pcr_digest: vec![12, 13],
        };
        assert_eq!(TpmQuote::parse(&good()), Ok(quote));
    }

    #[test]
    fn refuses_every_other_length() {
        let good = good();
        for len in 0..good.len() {
            assert!(TpmQuote::parse(&good[..len]).is_err(), "{len}");
        }
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(TpmQuote::parse(&longer), Err(QuoteError::Malformed("quote")));
    }

    #[test]
    fn refuses_what_is_no_quote() {
        let with = |at: usize, value: u8| {
            let mut bytes = good();
            bytes[at] = value;
            TpmQuote::parse(&bytes).unwrap_err()
        };
        assert_eq!(with(3, 0x48), QuoteError::Magic(0xff54_4348));
        assert_eq!(with(5, 0x17), QuoteError::Type(0x8017));
        assert_eq!(with(31, 2), QuoteError::Malformed("quote"));
        // Too many banks, and more registers than there are.
        assert_eq!(with(43, 17), QuoteError::Malformed("quote"));
        assert_eq!(with(46, 4), QuoteError::Malformed("quote"));
    }

    #[test]
    fn a_signature_has_one_scheme() {
        let good = [0, 0x14, 0, 0x0b, 0, 2, 7, 8];
        let signature = TpmSignature::parse(&good).unwrap();
        assert_eq!((signature.as_bytes(), signature.to_bytes()), (&[7, 8][..], good.to_vec()));
        assert_eq!(TpmSignature::rsassa_sha256(vec![7, 8]), Ok(signature));
        for scheme in [[0, 0x16, 0, 0x0b], [0, 0x14, 0, 0x0c], [0, 0x18, 0, 0x0b]] {
            let bytes = [&scheme, &good[4..]].concat();
            assert!(matches!(TpmSignature::parse(&bytes), Err(QuoteError::Scheme { .. })));
        }
        let malformed = Err(QuoteError::Malformed("tpm signature"));
        assert_eq!(TpmSignature::parse(&good[..7]), malformed);
        assert_eq!(TpmSignature::parse(&[&good[..], &[0]].concat()), malformed);
        assert_eq!(TpmSignature::parse(&good[..3]), malformed);
        assert_eq!(TpmSignature::rsassa_sha256(vec![0; 1025]), malformed);
    }
}
