//! Files that people have: evidence in the forms in which it travels, and tokens.
//!
//! Evidence is taken in every form that [`evidence::document`] knows and that holds a report: of a container the 1184 bytes
//! alone, what our own programs send, or what goes to the attestation service; of a virtual machine the paravisor's report
//! alone, what our own programs send, or the evidence of Confidential Containers.
//! Whatever is in it is hostile until verified; sizes are bounded before anything is decoded.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use evidence::document::{Document, DocumentError};
use evidence::{RawEvidence, RawQuote};
use serde_json::{Map, Value};

/// Evidence, as far as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// Of a confidential container.
    Container(Container),
    /// Of a confidential virtual machine.
    Machine(Machine),
}

/// Evidence of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The report.
    pub report: Vec<u8>,
    /// The certificates of its key as PEM, unless the file has the report alone.
    pub certificates: Option<String>,
    /// The endorsement of the utility VM, if there is one.
    pub endorsement: Option<Vec<u8>>,
}

/// Evidence of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The paravisor's report.
    pub hcl_report: Vec<u8>,
    /// The certificates of its key as PEM, unless the file has the report alone.
    pub certificates: Option<String>,
    /// The TPM's quote, if there is one.
    pub quote: Option<RawQuote>,
}

/// A file that is no evidence in any of the forms.
#[derive(Debug, thiserror::Error)]
pub enum NotEvidence {
    /// It is in none of the forms.
    #[error(transparent)]
    Form(#[from] DocumentError),
    /// It is a part of evidence, but not the report.
    #[error("expected evidence with a report, found {0} alone")]
    NoReport(&'static str),
}

/// A file that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotToken {
    /// It is larger than any token.
    #[error("the file has more than {LARGEST} bytes")]
    TooLarge,
    /// It is neither a JWT nor a JSON object of claims.
    #[error("neither a JWT of three parts nor a JSON object of claims")]
    Form,
}

/// Reads evidence.
///
/// # Errors
/// The file is none, see [`NotEvidence`].
pub fn evidence_file(bytes: &[u8]) -> Result<Material, NotEvidence> {
    let Document { format, parts } = Document::read(bytes)?;
    let certificates = parts.certificates.filter(|pem| !pem.trim().is_empty());
    match (parts.hcl_report, parts.report) {
        (Some(hcl_report), _) => {
            Ok(Material::Machine(Machine { hcl_report, certificates, quote: parts.quote }))
        }
        (None, Some(report)) => {
            let endorsement = parts.endorsements.into_iter().find(|message| !message.is_empty());
            Ok(Material::Container(Container { report, certificates, endorsement }))
        }
        (None, None) => Err(NotEvidence::NoReport(format.name())),
    }
}

impl From<RawEvidence> for Container {
    fn from(raw: RawEvidence) -> Self {
        let RawEvidence { report, certificates, uvm_endorsement } = raw;
        let certificates = Some(certificates).filter(|pem| !pem.trim().is_empty());
        let endorsement = Some(uvm_endorsement).filter(|bytes| !bytes.is_empty());
        Self { report, certificates, endorsement }
    }
}

/// Reads the claims of a token, or of a decoded one. The signature is not looked at.
///
/// # Errors
/// The file is none, see [`NotToken`].
pub fn token_file(bytes: &[u8]) -> Result<Map<String, Value>, NotToken> {
    if bytes.len() > LARGEST {
        return Err(NotToken::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotToken::Form)?.trim();
    if text.starts_with('{') {
        let claims: Map<String, Value> = serde_json::from_str(text).map_err(|_| NotToken::Form)?;
        // The service answers with the token inside an object.
        return match claims.get("token").and_then(Value::as_str) {
            Some(token) => of_jwt(token),
            None => Ok(claims),
        };
    }
    of_jwt(text)
}

fn of_jwt(token: &str) -> Result<Map<String, Value>, NotToken> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NotToken::Form);
    };
    let payload = decode(payload).ok_or(NotToken::Form)?;
    serde_json::from_slice(&payload).map_err(|_| NotToken::Form)
}

/// Base64url, with padding or without.
fn decode(text: &str) -> Option<Vec<u8>> {
    let either =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet::URL_SAFE, either).decode(text).ok()
}

/// A real token has about 10 KB.
const LARGEST: usize = 1 << 20;
