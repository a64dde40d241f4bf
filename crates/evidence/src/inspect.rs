//! What certificates and endorsements say, for people to read. Nothing here is verified.

use jiff::Timestamp;
use x509_parser::pem::Pem;

use crate::certificate::Certificate;
use crate::endorsement;
use crate::vek::{Vek, VekKind};
use crate::{ChipId, EndorsementForm, Measurement, Product, Sha256, Tcb, revocation};

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// The whole name of its subject.
    pub subject: String,
    /// The whole name of its issuer.
    pub issuer: String,
    /// The serial number, in hex.
    pub serial: String,
    /// From when and until when it is valid.
    pub valid: (String, String),
    /// The digest of its DER.
    pub sha256: Sha256,
    /// What AMD says in it, if it is of a key that signs reports.
    pub vek: Option<VekView>,
}

/// What AMD says in the certificate of a key that signs reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VekView {
    /// `vcek` or `vlek`.
    pub kind: &'static str,
    /// The product.
    pub product: Product,
    /// The TCB whose key it is.
    pub tcb: Tcb,
    /// The processor whose key it is; a VLEK's is its provider's.
    pub chip: Option<ChipId>,
}

/// What an endorsement of a utility VM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementView {
    /// The form.
    pub form: EndorsementForm,
    /// The issuer, as did:x509.
    pub issuer: String,
    /// The feed.
    pub feed: String,
    /// The security version.
    pub svn: u64,
    /// The endorsed measurement.
    pub measurement: Measurement,
    /// When it was signed, as the signer says.
    pub signing_time: Timestamp,
    /// The certificates that it carries, the signer's first.
    pub certificates: Vec<CertificateView>,
}

/// What a revocation list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationListView {
    /// The whole name of its issuer.
    pub issuer: String,
    /// Its number, if it has one.
    pub number: Option<String>,
    /// From when it is in force.
    pub from: String,
    /// Until when it is in force.
    pub until: Timestamp,
    /// The serial numbers that it names, in hex.
    pub revoked: Vec<String>,
}

/// Text that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct Unreadable {
    expected: String,
    found: String,
}

impl From<(String, String)> for Unreadable {
    fn from((expected, found): (String, String)) -> Self {
        Self { expected, found }
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// When one cannot be read.
pub fn certificates(pem: &str) -> Result<Vec<CertificateView>, Unreadable> {
    Pem::iter_from_buffer(pem.as_bytes())
        .take(MAX_CERTIFICATES)
        .map(|block| {
            let broken = |_| ("certificates in PEM".to_owned(), "a broken block".to_owned());
            view(&block.map_err(broken)?.contents)
        })
        .collect()
}

/// A certificate in DER.
///
/// # Errors
/// When it cannot be read.
pub fn certificate(der: &[u8]) -> Result<CertificateView, Unreadable> {
    view(der)
}

/// A revocation list in DER.
///
/// # Errors
/// When it cannot be read, or has what a list of AMD's must not have.
pub fn revocation_list(der: &[u8]) -> Result<RevocationListView, Unreadable> {
    let (issuer, list) = revocation::look(der)
        .map_err(|found| ("a revocation list".to_owned(), found.to_owned()))?;
    Ok(RevocationListView {
        issuer,
        number: list.number().map(ToString::to_string),
        from: list.from(),
        until: list.until(),
        revoked: list.revoked().map(|serial| serial.to_str_radix(16)).collect(),
    })
}

/// An endorsement of a utility VM.
///
/// # Errors
/// When it is of neither form, or its certificates cannot be read.
pub fn endorsement(message: &[u8]) -> Result<EndorsementView, Unreadable> {
    let parts = endorsement::look(message)?;
    let certificates = parts.chain.iter().map(|der| view(der)).collect::<Result<_, _>>()?;
    let claims = parts.claims;
    Ok(EndorsementView {
        form: parts.form,
        issuer: claims.issuer,
        feed: claims.feed,
        svn: claims.svn,
        measurement: claims.measurement,
        signing_time: claims.time,
        certificates,
    })
}

fn view(der: &[u8]) -> Result<CertificateView, Unreadable> {
    let certificate = Certificate::parse(der)?;
    let names_vek = certificate.common_name().is_some_and(|name| VEKS.contains(&name));
    let vek = if names_vek { Some(Vek::parse(der)?) } else { None };
    let (subject, issuer) = certificate.names();
    Ok(CertificateView {
        subject,
        issuer,
        serial: certificate.authority().serial().to_str_radix(16),
        valid: certificate.validity_text(),
        sha256: certificate.sha256(),
        vek: vek.map(|vek| VekView {
            kind: match vek.kind {
                VekKind::Vcek => "vcek",
                VekKind::Vlek => "vlek",
            },
            product: vek.product,
            tcb: vek.tcb.decode(vek.product),
            chip: vek.chip,
        }),
    })
}

const VEKS: [&str; 2] = ["SEV-VCEK", "SEV-VLEK"];
const MAX_CERTIFICATES: usize = 16;
