//! What silicon and its vendors send.

use evidence::document::{Document, Rcar};
use evidence::{
    Anchors, HclReport, Measurement, Report, TpmQuote, TpmSignature, UvmPolicy,
    certificates_from_thim, inspect, verify_endorsement,
};

pub(crate) fn snp_report(data: &[u8]) {
    drop(Report::parse(data));
}

pub(crate) fn thim_json(data: &[u8]) {
    if let Ok(pem) = certificates_from_thim(data) {
        drop(inspect::certificates(&pem));
    }
}

/// COSE, CWT claims and the certificates within.
pub(crate) fn uvm_endorsement(data: &[u8]) {
    drop(inspect::endorsement(data));
    let policy = UvmPolicy::container_platform(0);
    let measurement = Measurement::new([0; Measurement::LEN]);
    // The roots of AMD and Microsoft signed none of what a fuzzer makes.
    assert!(verify_endorsement(&policy, &Anchors::amd(), data, &measurement).is_err());
}

pub(crate) fn hcl_report(data: &[u8]) {
    if let Ok(hcl) = HclReport::parse(data) {
        assert_eq!(hcl.report().len(), Report::LEN);
        drop(hcl.claims());
    }
}

pub(crate) fn tpms_attest(data: &[u8]) {
    if let Ok(quote) = TpmQuote::parse(data) {
        assert!(quote.extra_data.len() + quote.pcr_digest.len() < data.len());
    }
}

pub(crate) fn tpmt_signature(data: &[u8]) {
    if let Ok(signature) = TpmSignature::parse(data) {
        assert_eq!(signature.to_bytes(), data);
    }
}

/// A certificate, and AMD's extensions in it.
pub(crate) fn x509_extensions(data: &[u8]) {
    drop(inspect::certificate(data));
}

pub(crate) fn crl(data: &[u8]) {
    drop(inspect::revocation_list(data));
}

pub(crate) fn rcar_evidence(data: &[u8]) {
    if let Ok(Rcar::Snp { report, .. }) = Rcar::parse(data) {
        assert_eq!(report.len(), Report::LEN);
    }
}

/// Whatever a file of evidence may be.
pub(crate) fn evidence_document(data: &[u8]) {
    if let Ok(document) = Document::read(data) {
        drop(document.parts.container());
        drop(document.parts.virtual_machine());
    }
}
