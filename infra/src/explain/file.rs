//! Files that people have: evidence in the forms in which it travels, and tokens.
//!
//! Evidence is taken as the 1184 bytes of a report, as our own programs send it (alone, or in a request or an answer), or
//! as it goes to the attestation service ("POST /attest/SevSnpVm": the whole body, or the document inside it).
//! Whatever is in it is hostile until verified; sizes are bounded before anything is decoded.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use evidence::{RawEvidence, Report};
use serde_json::{Map, Value};

/// Evidence, as far as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// The report.
    pub report: Vec<u8>,
    /// The certificates of its key as PEM, unless the file has the report alone.
    pub certificates: Option<String>,
    /// The endorsement of the utility VM, if there is one.
    pub endorsement: Option<Vec<u8>>,
}

/// A file that is no evidence in any of the forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEvidence {
    /// It is larger than any evidence.
    #[error("the file has more than {LARGEST} bytes")]
    TooLarge,
    /// It is neither a report nor JSON of a known form.
    #[error(
        "neither a report of 1184 bytes, nor JSON with `evidence`, with `report` and `certificates`, with `report` for the attestation service, or with `SnpReport`"
    )]
    Form,
    /// A part cannot be decoded.
    #[error("`{0}` is not base64url of what it should be")]
    Part(&'static str),
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
    if bytes.len() > LARGEST {
        return Err(NotEvidence::TooLarge);
    }
    if bytes.len() == Report::LEN && !bytes.trim_ascii_start().starts_with(b"{") {
        let report = bytes.to_vec();
        return Ok(Material { report, certificates: None, endorsement: None });
    }
    let json: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| NotEvidence::Form)?;
    if let Some(inner) = json.get("evidence") {
        let raw = serde_json::from_value::<RawEvidence>(inner.clone());
        let raw = raw.map_err(|_| NotEvidence::Part("evidence"))?;
        return Ok(raw.into());
    }
    if json.contains_key("certificates") {
        let raw = serde_json::from_value::<RawEvidence>(Value::Object(json));
        return raw.map(Material::from).map_err(|_| NotEvidence::Part("report"));
    }
    if json.contains_key("SnpReport") {
        return for_service(&json);
    }
    let body = json.get("report").and_then(Value::as_str).ok_or(NotEvidence::Form)?;
    let body = decode(body).ok_or(NotEvidence::Part("report"))?;
    let body = serde_json::from_slice(&body).map_err(|_| NotEvidence::Part("report"))?;
    for_service(&body)
}

/// The document for the attestation service: `SnpReport`, `VcekCertChain`, `Endorsements`.
fn for_service(json: &Map<String, Value>) -> Result<Material, NotEvidence> {
    let part = |name: &'static str| -> Result<Option<Vec<u8>>, NotEvidence> {
        let Some(value) = json.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or(NotEvidence::Part(name))?;
        decode(text).map(Some).ok_or(NotEvidence::Part(name))
    };
    let report = part("SnpReport")?.ok_or(NotEvidence::Part("SnpReport"))?;
    let chain = part("VcekCertChain")?.map(String::from_utf8).transpose();
    let certificates = chain.map_err(|_| NotEvidence::Part("VcekCertChain"))?;
    let endorsement = match part("Endorsements")?.filter(|bytes| !bytes.is_empty()) {
        None => None,
        Some(bytes) => {
            let wrong = || NotEvidence::Part("Endorsements");
            let json: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
            let first = json.pointer("/Uvm/0").and_then(Value::as_str).ok_or_else(wrong)?;
            Some(decode(first).ok_or_else(wrong)?)
        }
    };
    Ok(Material { report, certificates, endorsement })
}

impl From<RawEvidence> for Material {
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

/// Real evidence has about 40 KB.
const LARGEST: usize = 1 << 20;
