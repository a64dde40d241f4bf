//! The forms that are JSON, recognised by their members.

use serde_json::{Map, Value};

use super::{Document, DocumentError, Format, Parts, Rcar, to_pem, unbase64};
use crate::{RawEvidence, RawQuote, RawVmEvidence, TpmSignature, certificates_from_thim};

pub(super) fn read(text: &[u8]) -> Result<Document, DocumentError> {
    let value: Value = serde_json::from_slice(text).map_err(|_| DocumentError::Unknown)?;
    let Value::Object(members) = &value else { return Err(DocumentError::Unknown) };
    let has = |name: &str| members.contains_key(name);
    if has("vcekCert") {
        let certificates = certificates_from_thim(text).ok();
        let certificates =
            certificates.ok_or(member("vcekCert", "the certificate service's answer"))?;
        let parts = Parts { certificates: Some(certificates), ..Parts::default() };
        return Ok(Document { format: Format::Thim, parts });
    }
    if has("uvm_endorsement") {
        let evidence: RawEvidence = serde_json::from_value(value)
            .map_err(|_| member("uvm_endorsement", "the evidence of a container"))?;
        return Ok(container(evidence));
    }
    if has("SnpReport") {
        return Ok(Document { format: Format::MaaRequest, parts: maa_report(members)? });
    }
    if let Some(request) = members.get("report").and_then(Value::as_str) {
        return maa_request(members, request);
    }
    if let Some(Value::Object(report)) = members.get("report") {
        return clean_room(report);
    }
    if has("certificates") && has("hcl_report") {
        let evidence: RawVmEvidence = serde_json::from_value(value)
            .map_err(|_| member("hcl_report", "the evidence of a virtual machine"))?;
        return Ok(virtual_machine(evidence));
    }
    // A request of ours, with the evidence inside.
    if let Some(inner @ Value::Object(_)) = members.get("evidence") {
        return read(inner.to_string().as_bytes());
    }
    if has("vm-configuration") {
        let parts = Parts { runtime_claims: Some(text.to_vec()), ..Parts::default() };
        return Ok(Document { format: Format::RuntimeClaims, parts });
    }
    if Rcar::looks_like(members) {
        let (format, parts) = match Rcar::from_value(value)? {
            Rcar::Snp { report, certificates } => {
                let report = Some(report);
                (Format::RcarSnp, Parts { report, certificates, ..Parts::default() })
            }
            Rcar::AzSnpVtpm { evidence, .. } => (Format::RcarVm, virtual_machine(evidence).parts),
            Rcar::Quote(quote) => (Format::Quote, Parts { quote: Some(quote), ..Parts::default() }),
        };
        return Ok(Document { format, parts });
    }
    Err(DocumentError::Unknown)
}

fn container(evidence: RawEvidence) -> Document {
    let parts = Parts {
        report: Some(evidence.report),
        certificates: Some(evidence.certificates),
        endorsements: vec![evidence.uvm_endorsement],
        ..Parts::default()
    };
    Document { format: Format::Container, parts }
}

fn virtual_machine(evidence: RawVmEvidence) -> Document {
    let parts = Parts {
        hcl_report: Some(evidence.hcl_report),
        certificates: Some(evidence.certificates),
        quote: Some(evidence.quote),
        ..Parts::default()
    };
    Document { format: Format::VirtualMachine, parts }
}

/// The body of POST /attest/SevSnpVm: the report is JSON in base64url.
fn maa_request(members: &Map<String, Value>, report: &str) -> Result<Document, DocumentError> {
    let expected = || member("report", "base64url of json with SnpReport");
    let inner = unbase64(report).ok_or_else(expected)?;
    let inner: Map<String, Value> = serde_json::from_slice(&inner).map_err(|_| expected())?;
    let mut parts = maa_report(&inner)?;
    let data = members.get("runtimeData").and_then(|data| data.get("data"));
    if let Some(data) = data.filter(|data| !data.is_null()) {
        parts.runtime_data = Some(bytes(Some(data), "runtimeData.data")?);
    }
    Ok(Document { format: Format::MaaRequest, parts })
}

fn maa_report(members: &Map<String, Value>) -> Result<Parts, DocumentError> {
    let mut parts =
        Parts { report: Some(bytes(members.get("SnpReport"), "SnpReport")?), ..Parts::default() };
    if let Some(chain) = members.get("VcekCertChain").filter(|chain| !chain.is_null()) {
        let chain = bytes(Some(chain), "VcekCertChain")?;
        let chain = String::from_utf8(chain).map_err(|_| member("VcekCertChain", "pem"))?;
        parts.certificates = Some(chain);
    }
    if let Some(endorsements) = members.get("Endorsements").filter(|all| !all.is_null()) {
        let expected = || member("Endorsements", "base64url of json with Uvm");
        let inner = bytes(Some(endorsements), "Endorsements")?;
        let inner: Value = serde_json::from_slice(&inner).map_err(|_| expected())?;
        let messages = inner.get("Uvm").and_then(Value::as_array).ok_or_else(expected)?;
        parts.endorsements = messages
            .iter()
            .map(|message| bytes(Some(message), "Endorsements.Uvm"))
            .collect::<Result<_, _>>()?;
    }
    Ok(parts)
}

/// The attestation document of Azure's clean rooms: everything in base64 with the standard alphabet.
fn clean_room(report: &Map<String, Value>) -> Result<Document, DocumentError> {
    let parts = match (report.get("snpCACI"), report.get("snpCvm")) {
        (Some(container), None) => {
            let part = |name| bytes(container.get(name), name);
            let certificates = String::from_utf8(part("platformCertificates")?)
                .map_err(|_| member("platformCertificates", "pem"))?;
            Parts {
                report: Some(part("attestation")?),
                certificates: Some(certificates),
                endorsements: vec![part("uvmEndorsements")?],
                ..Parts::default()
            }
        }
        (None, Some(machine)) => clean_room_vm(machine)?,
        _ => return Err(DocumentError::Unknown),
    };
    Ok(Document { format: Format::CleanRoom, parts })
}

fn clean_room_vm(machine: &Value) -> Result<Parts, DocumentError> {
    let part = |name| machine.get("evidence").and_then(|all| all.get(name));
    // The quote is a TPM2B_ATTEST with a TPMT_SIGNATURE behind it.
    let quote = bytes(part("tpmQuote"), "tpmQuote")?;
    let (message, signature) = quote
        .split_first_chunk()
        .and_then(|(len, rest)| rest.split_at_checked(u16::from_be_bytes(*len).into()))
        .ok_or(member("tpmQuote", "a quote and its signature"))?;
    let expected = || member("pcrs", "registers by number, in base64");
    let pcrs = part("pcrs")
        .and_then(Value::as_object)
        .ok_or_else(expected)?
        .iter()
        .map(|(index, value)| {
            let index = index.parse::<u8>().ok().and_then(|index| index.try_into().ok());
            let value = bytes(Some(value), "pcrs")?;
            let value = value.try_into().ok().map(crate::Sha256::new);
            index.zip(value).ok_or_else(expected)
        })
        .collect::<Result<_, _>>()?;
    let certificates = machine.get("platformCertificates").and_then(Value::as_str);
    Ok(Parts {
        hcl_report: Some(bytes(part("hclReport"), "hclReport")?),
        certificates: certificates.map(str::to_owned),
        quote: Some(RawQuote { message: message.to_vec(), signature: signature.to_vec(), pcrs }),
        nonce: machine.get("nonce").and_then(Value::as_str).and_then(unbase64),
        ..Parts::default()
    })
}

fn bytes(value: Option<&Value>, name: &'static str) -> Result<Vec<u8>, DocumentError> {
    value.and_then(Value::as_str).and_then(unbase64).ok_or(member(name, "base64"))
}

const fn member(member: &'static str, expected: &'static str) -> DocumentError {
    DocumentError::Member { member, expected }
}

/// The quote of one TPM and the frame that it lacks in this form.
pub(super) fn quote(
    message: Vec<u8>,
    signature: Vec<u8>,
    pcrs: Vec<crate::PcrValue>,
) -> Option<RawQuote> {
    let pcrs = pcrs
        .into_iter()
        .enumerate()
        .map(|(index, value)| Some((u8::try_from(index).ok()?.try_into().ok()?, value)))
        .collect::<Option<_>>()?;
    let signature = TpmSignature::rsassa_sha256(signature).ok()?.to_bytes();
    Some(RawQuote { message, signature, pcrs })
}

/// A certificate, in whichever way it is written.
pub(super) fn certificate(text: &str) -> Option<String> {
    if text.starts_with("-----BEGIN") {
        Some(text.to_owned())
    } else {
        Some(to_pem(&unbase64(text)?))
    }
}
