//! Evidence of Confidential Containers, as their guests send it to a key broker (RCAR, protocol version 0.4.0).
//!
//! Wire layout: the `primary_evidence` of confidential-containers/guest-components, for the two kinds of guests that have
//! an SNP report: `snp` has the report's fields one by one, and `az-snp-vtpm` an HCL report and a quote, in versions 0 to
//! 2 of which only the last binds the caller's data into the report, too.
//! The report is put together again from its fields, so its signature shows whether that was done right.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{json, to_pem, unbase64};
use crate::bytes::unhex;
use crate::{PcrValue, Product, RawQuote, RawVmEvidence, Report};

/// Evidence of a guest of Confidential Containers, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rcar {
    /// A guest that talks to the firmware itself.
    Snp {
        /// The report: 1184 bytes.
        report: Vec<u8>,
        /// Its certificates as PEM, the signing key's first; a guest may leave them to the verifier.
        certificates: Option<String>,
    },
    /// A virtual machine of Azure. Of the certificates only the signing key's is there; its authorities are AMD's, which
    /// the verifier has.
    AzSnpVtpm {
        /// 0, 1 or 2.
        version: u64,
        /// The evidence.
        evidence: RawVmEvidence,
    },
    /// The quote of such evidence alone.
    Quote(RawQuote),
}

/// Evidence that is out of shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RcarError {
    /// It is not JSON, or neither of the two kinds.
    #[error("expected evidence of kind snp or az-snp-vtpm, found other json")]
    Kind,
    /// A version that does not exist.
    #[error("expected version 0, 1 or 2, found {0}")]
    Version(u64),
    /// A part of it.
    #[error("expected {0}, found something else")]
    Part(&'static str),
}

impl Rcar {
    /// Reads evidence: the `primary_evidence`, or the whole body of an attestation.
    ///
    /// # Errors
    /// When it is out of shape.
    pub fn parse(text: &[u8]) -> Result<Self, RcarError> {
        if text.len() > MAX_EVIDENCE {
            return Err(RcarError::Kind);
        }
        Self::from_value(serde_json::from_slice(text).map_err(|_| RcarError::Kind)?)
    }

    pub(super) fn looks_like(members: &Map<String, Value>) -> bool {
        ["tee-evidence", "primary_evidence", "attestation_report", "hcl_report", "quote", "pcrs"]
            .iter()
            .any(|name| members.contains_key(*name))
    }

    pub(super) fn from_value(value: Value) -> Result<Self, RcarError> {
        let Value::Object(mut members) = value else { return Err(RcarError::Kind) };
        for outer in ["tee-evidence", "primary_evidence"] {
            if let Some(inner) = members.remove(outer) {
                let Value::Object(inner) = inner else { return Err(RcarError::Kind) };
                members = inner;
            }
        }
        let has = |name: &str| members.contains_key(name);
        if has("attestation_report") {
            return snp(members);
        }
        if has("hcl_report") {
            return az_snp_vtpm(members);
        }
        if has("quote") {
            return az_snp_vtpm_0(members);
        }
        if has("pcrs") {
            let quote = part::<HexQuote>(Value::Object(members), "a quote in hex")?;
            return Ok(Self::Quote(quote.raw()?));
        }
        Err(RcarError::Kind)
    }
}

#[derive(Deserialize)]
struct RawSnp {
    attestation_report: RawReport,
    cert_chain: Option<Vec<RawCertificate>>,
}

#[derive(Deserialize)]
struct RawCertificate {
    /// A name, or for a kind without one an object.
    cert_type: Value,
    data: Vec<u8>,
}

/// The report's fields by the names of the `sev` crate: the current ones, and those of its versions before 4, which have the
/// firmware's versions flat, one flag's name for all flags, and as reserved bytes what later report versions added.
#[derive(Deserialize)]
struct RawReport {
    version: u32,
    guest_svn: u32,
    policy: u64,
    family_id: Vec<u8>,
    image_id: Vec<u8>,
    vmpl: u32,
    sig_algo: u32,
    current_tcb: RawTcb,
    plat_info: u64,
    #[serde(alias = "_author_key_en")]
    key_info: u32,
    report_data: Vec<u8>,
    measurement: Vec<u8>,
    host_data: Vec<u8>,
    id_key_digest: Vec<u8>,
    author_key_digest: Vec<u8>,
    report_id: Vec<u8>,
    report_id_ma: Vec<u8>,
    reported_tcb: RawTcb,
    cpuid_fam_id: Option<u8>,
    cpuid_mod_id: Option<u8>,
    cpuid_step: Option<u8>,
    #[serde(rename = "_reserved_1")]
    older_cpuid: Option<Vec<u8>>,
    chip_id: Vec<u8>,
    committed_tcb: RawTcb,
    current: Option<RawFirmware>,
    committed: Option<RawFirmware>,
    current_major: Option<u8>,
    current_minor: Option<u8>,
    current_build: Option<u8>,
    committed_major: Option<u8>,
    committed_minor: Option<u8>,
    committed_build: Option<u8>,
    launch_tcb: RawTcb,
    launch_mit_vector: Option<u64>,
    current_mit_vector: Option<u64>,
    #[serde(rename = "_reserved_4")]
    older_mitigations: Option<Vec<u8>>,
    signature: RawSignature,
}

#[derive(Deserialize)]
struct RawTcb {
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

#[derive(Deserialize)]
struct RawFirmware {
    major: u8,
    minor: u8,
    build: u8,
}

#[derive(Deserialize)]
struct RawSignature {
    r: Vec<u8>,
    s: Vec<u8>,
}

fn snp(members: Map<String, Value>) -> Result<Rcar, RcarError> {
    let raw: RawSnp = part(Value::Object(members), "the fields of a report")?;
    let report = raw.attestation_report.bytes()?;
    let Some(chain) = raw.cert_chain else {
        return Ok(Rcar::Snp { report, certificates: None });
    };
    let of = |kinds: &[&str]| -> String {
        chain
            .iter()
            .filter(|certificate| {
                certificate.cert_type.as_str().is_some_and(|kind| kinds.contains(&kind))
            })
            .map(|certificate| to_pem(&certificate.data))
            .collect()
    };
    let certificates = of(&["VCEK", "VLEK"]) + &of(&["ASK", "ASVK", "ARK"]);
    Ok(Rcar::Snp { report, certificates: Some(certificates) })
}

impl RawReport {
    /// The report as the firmware made it (AMD 56860, revision 1.58, table 23): what is reserved is zero.
    fn bytes(&self) -> Result<Vec<u8>, RcarError> {
        let older = self.older_cpuid.as_deref().and_then(<[u8]>::first_chunk).unwrap_or(&[0; 3]);
        let cpuid = [self.cpuid_fam_id, self.cpuid_mod_id, self.cpuid_step];
        let [family, model, step] = match cpuid {
            [None, None, None] => *older,
            named => named.map(|part| part.unwrap_or(0)),
        };
        let turin = Product::of_cpuid(family, model) == Some(Product::Turin);
        let tcb = |tcb: &RawTcb| {
            let RawTcb { fmc, bootloader, tee, snp, microcode } = *tcb;
            match (turin, fmc) {
                (true, Some(fmc)) => Ok([fmc, bootloader, tee, snp, 0, 0, 0, microcode]),
                (false, None) => Ok([bootloader, tee, 0, 0, 0, 0, snp, microcode]),
                (true, None) | (false, Some(_)) => {
                    Err(RcarError::Part("a tcb of the report's processor"))
                }
            }
        };
        let mut out = Writer(Vec::with_capacity(Report::LEN));
        out.put(&self.version.to_le_bytes());
        out.put(&self.guest_svn.to_le_bytes());
        out.put(&self.policy.to_le_bytes());
        out.exactly(&self.family_id, 16)?;
        out.exactly(&self.image_id, 16)?;
        out.put(&self.vmpl.to_le_bytes());
        out.put(&self.sig_algo.to_le_bytes());
        out.put(&tcb(&self.current_tcb)?);
        out.put(&self.plat_info.to_le_bytes());
        out.put(&self.key_info.to_le_bytes());
        out.put(&[0; 4]);
        out.exactly(&self.report_data, 64)?;
        out.exactly(&self.measurement, 48)?;
        out.exactly(&self.host_data, 32)?;
        out.exactly(&self.id_key_digest, 48)?;
        out.exactly(&self.author_key_digest, 48)?;
        out.exactly(&self.report_id, 32)?;
        out.exactly(&self.report_id_ma, 32)?;
        out.put(&tcb(&self.reported_tcb)?);
        out.put(&[family, model, step]);
        out.put(&[0; 21]);
        out.exactly(&self.chip_id, 64)?;
        out.put(&tcb(&self.committed_tcb)?);
        let flat = [
            (&self.current, [self.current_build, self.current_minor, self.current_major]),
            (&self.committed, [self.committed_build, self.committed_minor, self.committed_major]),
        ];
        for (version, flat) in flat {
            let [build, minor, major] = match (version, flat) {
                (Some(RawFirmware { major, minor, build }), _) => [*build, *minor, *major],
                (None, [Some(build), Some(minor), Some(major)]) => [build, minor, major],
                (None, _) => return Err(RcarError::Part("the versions of the firmware")),
            };
            out.put(&[build, minor, major, 0]);
        }
        out.put(&tcb(&self.launch_tcb)?);
        let older = self.older_mitigations.as_deref().and_then(<[u8]>::first_chunk);
        match (self.launch_mit_vector, self.current_mit_vector, older) {
            (None, None, Some(older)) => out.put::<16>(older),
            (launch, current, _) => {
                out.put(&launch.unwrap_or(0).to_le_bytes());
                out.put(&current.unwrap_or(0).to_le_bytes());
            }
        }
        out.put(&[0; 152]);
        out.exactly(&self.signature.r, 72)?;
        out.exactly(&self.signature.s, 72)?;
        out.0.resize(Report::LEN, 0);
        Ok(out.0)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.0.extend_from_slice(bytes);
    }

    fn exactly(&mut self, bytes: &[u8], len: usize) -> Result<(), RcarError> {
        if bytes.len() != len {
            return Err(RcarError::Part("fields of a report's lengths"));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[derive(Deserialize)]
struct RawVm {
    version: u64,
    tpm_quote: HexQuote,
    hcl_report: String,
    vcek: String,
}

#[derive(Deserialize)]
struct HexQuote {
    signature: String,
    message: String,
    pcrs: Vec<PcrValue>,
}

impl HexQuote {
    fn raw(self) -> Result<RawQuote, RcarError> {
        let Self { signature, message, pcrs } = self;
        unhex(&message)
            .zip(unhex(&signature))
            .and_then(|(message, signature)| json::quote(message, signature, pcrs))
            .ok_or(RcarError::Part("a quote in hex, with at most 24 registers"))
    }
}

fn az_snp_vtpm(members: Map<String, Value>) -> Result<Rcar, RcarError> {
    let raw: RawVm = part(Value::Object(members), "an hcl report, a quote and a vcek")?;
    if !(1..=2).contains(&raw.version) {
        return Err(RcarError::Version(raw.version));
    }
    let hcl_report = unbase64(&raw.hcl_report).ok_or(RcarError::Part("an hcl report in base64"))?;
    let certificates = json::certificate(&raw.vcek).ok_or(RcarError::Part("a vcek in base64"))?;
    let quote = raw.tpm_quote.raw()?;
    let evidence = RawVmEvidence { hcl_report, certificates, quote };
    Ok(Rcar::AzSnpVtpm { version: raw.version, evidence })
}

#[derive(Deserialize)]
struct RawVm0 {
    quote: ByteQuote,
    report: Vec<u8>,
    vcek: String,
}

#[derive(Deserialize)]
struct ByteQuote {
    signature: Vec<u8>,
    message: Vec<u8>,
    pcrs: Vec<Vec<u8>>,
}

fn az_snp_vtpm_0(members: Map<String, Value>) -> Result<Rcar, RcarError> {
    let raw: RawVm0 = part(Value::Object(members), "a report, a quote and a vcek")?;
    let ByteQuote { signature, message, pcrs } = raw.quote;
    let pcrs = pcrs
        .into_iter()
        .map(|value| value.try_into().ok().map(PcrValue::new))
        .collect::<Option<_>>();
    let quote = pcrs
        .and_then(|pcrs| json::quote(message, signature, pcrs))
        .ok_or(RcarError::Part("a quote with at most 24 registers of 32 bytes"))?;
    let certificates = json::certificate(&raw.vcek).ok_or(RcarError::Part("a vcek as pem"))?;
    let evidence = RawVmEvidence { hcl_report: raw.report, certificates, quote };
    Ok(Rcar::AzSnpVtpm { version: 0, evidence })
}

fn part<T: serde::de::DeserializeOwned>(
    value: Value,
    expected: &'static str,
) -> Result<T, RcarError> {
    serde_json::from_value(value).map_err(|_| RcarError::Part(expected))
}

/// A report and three certificates as arrays of numbers have about 30 KB.
const MAX_EVIDENCE: usize = 128 << 10;
