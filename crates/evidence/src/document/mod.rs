//! Evidence in the many forms in which files and other people's protocols hold it, brought into parts.
//!
//! This is for people who look at a file, and for protocols that are not ours; nothing here is verified.
//! A file is recognised by what is in it, never by its name. A form that is not recognised is refused, and so is a member
//! that is not what its form says; members beyond are passed over, since all of these forms grow.

mod json;
mod rcar;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

pub use self::rcar::{Rcar, RcarError};
use crate::{RawEvidence, RawQuote, RawVmEvidence, Report};

/// What a file of evidence holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub format: Format,
    /// What is in it.
    pub parts: Parts,
}

/// The forms that are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// A report as the firmware made it.
    Report,
    /// What a paravisor of Azure keeps in the TPM.
    HclReport,
    /// The runtime claims out of such a report.
    RuntimeClaims,
    /// Certificates, as PEM or DER.
    Certificates,
    /// A revocation list of AMD, as DER.
    RevocationList,
    /// The answer of Azure's certificate service (THIM).
    Thim,
    /// An endorsement of a utility VM.
    Endorsement,
    /// A TPM's quote, with or without signature and registers.
    Quote,
    /// The body of a request to `/attest/SevSnpVm`, or the report within it.
    MaaRequest,
    /// Evidence of Confidential Containers (RCAR): a bare SNP guest's.
    RcarSnp,
    /// Evidence of Confidential Containers (RCAR): a virtual machine's of Azure.
    RcarVm,
    /// Evidence of Azure's clean rooms.
    CleanRoom,
    /// Our own evidence of a container.
    Container,
    /// Our own evidence of a virtual machine.
    VirtualMachine,
}

/// The parts of evidence that a document may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// The hardware's report.
    pub report: Option<Vec<u8>>,
    /// The paravisor's report.
    pub hcl_report: Option<Vec<u8>>,
    /// Runtime claims that stand alone.
    pub runtime_claims: Option<Vec<u8>>,
    /// Certificates as PEM.
    pub certificates: Option<String>,
    /// A revocation list as DER.
    pub revocation_list: Option<Vec<u8>>,
    /// Endorsements of the utility VM.
    pub endorsements: Vec<Vec<u8>>,
    /// A TPM's quote; its signature may be missing.
    pub quote: Option<RawQuote>,
    /// What REPORT_DATA should be the digest of.
    pub runtime_data: Option<Vec<u8>>,
    /// The nonce that the quote should carry.
    pub nonce: Option<Vec<u8>>,
}

/// A file that is not recognised, or is not what it seems.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Larger than any evidence.
    #[error("expected at most {MAX_DOCUMENT} bytes, found {0}")]
    TooLarge(usize),
    /// Nothing that we know.
    #[error("expected {KNOWN}, found other bytes")]
    Unknown,
    /// A member of a JSON document.
    #[error("{member}: expected {expected}")]
    Member {
        /// Which member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Evidence of Confidential Containers.
    #[error("evidence of confidential containers")]
    Rcar(#[from] RcarError),
}

impl Document {
    /// Recognises a file's content.
    ///
    /// # Errors
    /// When it is of no known form, or a part of it is not what its form says.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLarge(bytes.len()));
        }
        if let Some(document) = Self::binary(bytes) {
            return Ok(document);
        }
        // Some editors put a byte order mark in front of text.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
        if text.starts_with(b"{") {
            return json::read(text);
        }
        if let Some(document) = Self::pem(text) {
            return Ok(document);
        }
        // Files of a security context, and values copied out of JSON, are in base64.
        let decoded = std::str::from_utf8(text)
            .ok()
            .and_then(unbase64)
            .filter(|decoded| !decoded.is_empty())
            .ok_or(DocumentError::Unknown)?;
        if decoded.starts_with(b"{") {
            return json::read(&decoded);
        }
        Self::pem(&decoded).or_else(|| Self::binary(&decoded)).ok_or(DocumentError::Unknown)
    }

    fn binary(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts::default();
        let format = match bytes {
            [b'H', b'C', b'L', b'A', ..] => {
                parts.hcl_report = Some(bytes.to_vec());
                Format::HclReport
            }
            bytes if bytes.starts_with(QUOTE) => {
                parts.quote = Some(RawQuote {
                    message: bytes.to_vec(),
                    signature: Vec::new(),
                    pcrs: [].into(),
                });
                Format::Quote
            }
            // A COSE_Sign1 with its tag: an array of four.
            [0xd2, 0x84, ..] => {
                parts.endorsements = vec![bytes.to_vec()];
                Format::Endorsement
            }
            [0x30, 0x82, ..] if crate::inspect::revocation_list(bytes).is_ok() => {
                parts.revocation_list = Some(bytes.to_vec());
                Format::RevocationList
            }
            [0x30, 0x82, ..] => {
                parts.certificates = Some(split_der(bytes).iter().map(|der| to_pem(der)).collect());
                Format::Certificates
            }
            // Versions fit one byte for a long time.
            [_, 0, 0, 0, ..] if bytes.len() == Report::LEN => {
                parts.report = Some(bytes.to_vec());
                Format::Report
            }
            _ => {
                parts.quote = Some(counted_quote(bytes)?);
                Format::Quote
            }
        };
        Some(Self { format, parts })
    }

    /// Certificates, perhaps with words before and between them, as command-line tools write them.
    fn pem(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let first = text.find("-----BEGIN ")?;
        let certificates = text.get(first..).filter(|text| text.starts_with(BEGIN))?;
        let certificates = Some(certificates.to_owned());
        let parts = Parts { certificates, ..Parts::default() };
        Some(Self { format: Format::Certificates, parts })
    }
}

impl Parts {
    /// The evidence of a container, if these are its parts; of several endorsements the first.
    #[must_use]
    pub fn container(&self) -> Option<RawEvidence> {
        Some(RawEvidence {
            report: self.report.clone()?,
            certificates: self.certificates.clone().unwrap_or_default(),
            uvm_endorsement: self.endorsements.first()?.clone(),
        })
    }

    /// The evidence of a virtual machine, if these are its parts.
    #[must_use]
    pub fn virtual_machine(&self) -> Option<RawVmEvidence> {
        Some(RawVmEvidence {
            hcl_report: self.hcl_report.clone()?,
            certificates: self.certificates.clone().unwrap_or_default(),
            quote: self.quote.clone()?,
        })
    }
}

impl Format {
    /// The name for a reader.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "snp report",
            Self::HclReport => "hcl report",
            Self::RuntimeClaims => "runtime claims",
            Self::Certificates => "certificates",
            Self::RevocationList => "revocation list",
            Self::Thim => "platform certificates (thim)",
            Self::Endorsement => "utility vm endorsement",
            Self::Quote => "tpm quote",
            Self::MaaRequest => "attestation request (SevSnpVm)",
            Self::RcarSnp => "rcar evidence (snp)",
            Self::RcarVm => "rcar evidence (az-snp-vtpm)",
            Self::CleanRoom => "clean room evidence",
            Self::Container => "container evidence",
            Self::VirtualMachine => "virtual machine evidence",
        }
    }
}

/// Either alphabet, with padding or without: each of these forms has its own habit.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    // Some tools break lines.
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let text = text.as_str();
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}

/// A quote as the `az-cvm-vtpm` crate keeps it in files: signature, message and the values of registers from the first on,
/// each with its length or number in front, 8 bytes little-endian.
fn counted_quote(bytes: &[u8]) -> Option<RawQuote> {
    let counted = |bytes: &'_ [u8]| -> Option<usize> {
        usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()
    };
    let part = |bytes: &'_ [u8]| -> Option<(Vec<u8>, Vec<u8>)> {
        let (part, rest) = bytes.get(8..)?.split_at_checked(counted(bytes)?)?;
        Some((part.to_vec(), rest.to_vec()))
    };
    let (signature, rest) = part(bytes)?;
    let (message, rest) = part(&rest).filter(|(message, _)| message.starts_with(QUOTE))?;
    let (values, []) = rest.get(8..)?.as_chunks::<32>() else { return None };
    if values.len() != counted(&rest)? {
        return None;
    }
    json::quote(message, signature, values.iter().copied().map(crate::PcrValue::new).collect())
}

/// Certificates in DER, one after the other; what is none stays as it is, to be refused where it is read.
fn split_der(bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let [0x30, 0x82, high, low, ..] = rest {
        let len = 4 + usize::from(u16::from_be_bytes([*high, *low]));
        let Some((certificate, after)) = rest.split_at_checked(len) else { break };
        all.push(certificate);
        rest = after;
    }
    if !rest.is_empty() {
        all.push(rest);
    }
    all
}

/// A certificate's DER as PEM.
fn to_pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, character) in (1..).zip(text.chars()) {
        out.push(character);
        if at % 64 == 0 {
            out.push('\n');
        }
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

/// The largest real one, a request with two endorsements, has about 60 KB.
const MAX_DOCUMENT: usize = 512 << 10;

/// TPM_GENERATED_VALUE, with which every TPMS_ATTEST begins.
const QUOTE: &[u8] = &[0xff, 0x54, 0x43, 0x47];
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

const KNOWN: &str = "a report, an hcl report, certificates, a revocation list, an endorsement, a quote, an attestation \
                     request, or rcar, clean room or vouchsafe evidence";

#[cfg(test)]
mod tests;
