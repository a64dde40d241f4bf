//! The audit log: who asked for what through which door, and what came of it.
//!
//! Records are sealed into the store's log, so only this deployment's servers can read them, and their order and
//! completeness are the log's. They name paths, workloads and reasons in full and never hold a value or a token.
//! What a caller sees of a refusal is decided elsewhere; the reason stays here.

mod refusals;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::rand::SecureRandom;
use evidence::{
    HclReport, PcrIndex, PcrValue, Report, RevocationStatus, Sha256, VerifiedHardware, VerifiedVm,
};
use jiff::Timestamp;
use protocol::attest::WorkloadEvidence;
use serde::{Deserialize, Serialize};
use store::{CommitError, Store, Value};

pub use refusals::{Notice, Refusals, Summary};

/// Names one request, to its caller and in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    /// A fresh one. Without randomness it is the nil id: an id is no secret, and the refusal still needs one.
    #[must_use]
    pub fn fresh(rng: &dyn SecureRandom) -> Self {
        let mut bytes = [0; 16];
        match rng.fill(&mut bytes) {
            Ok(()) => Self(uuid::Builder::from_random_bytes(bytes).into_uuid()),
            Err(_) => Self(uuid::Uuid::nil()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which protocol the caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// `/vouchsafe/v1/`.
    Vouchsafe,
    /// `/v1/`.
    Vault,
}

/// Whom a token or evidence was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// An operator of the manifest.
    Operator(String),
    /// A workload of the manifest.
    Workload(String),
}

/// What is known of a request so far; facts are added as they become known.
#[derive(Debug, Clone, Serialize)]
pub struct Draft {
    version: u8,
    time: Timestamp,
    request_id: RequestId,
    door: Door,
    /// What was asked for.
    pub operation: &'static str,
    /// Who asked, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// The accessor of the token that was used or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessor: Option<String>,
    /// The secrets that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The evidence that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceNote>,
}

/// What evidence says, and how far that can be believed.
#[derive(Debug, Clone, Serialize)]
pub struct EvidenceNote {
    standing: Standing,
    /// SHA-256 of the canonical JSON of the evidence.
    sha256: Sha256,
    #[serde(skip_serializing_if = "Option::is_none")]
    measurement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chip_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_tcb: Option<String>,
    /// What was known about revoked authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<RevocationStatus>,
    /// Of a virtual machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<VmNote>,
}

/// What a virtual machine shows besides; verified.
#[derive(Debug, Clone, Serialize)]
struct VmNote {
    /// As Azure names it.
    id: Option<String>,
    secure_boot: Option<bool>,
    /// How often it was booted, and woken since.
    boots: [u32; 2],
    pcrs: BTreeMap<PcrIndex, PcrValue>,
}

/// Whether the hardware vouches for what is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    /// The caller says so.
    Claimed,
    /// It was verified.
    Verified,
}

impl EvidenceNote {
    /// What a caller claims, before any check.
    #[must_use]
    pub fn claimed(raw: &WorkloadEvidence) -> Self {
        let text = serde_jcs::to_vec(raw).unwrap_or_default();
        let report = match raw {
            WorkloadEvidence::Container(raw) => Report::parse(&raw.report).ok(),
            WorkloadEvidence::Vm(raw) => {
                let hcl = HclReport::parse(&raw.hcl_report).ok();
                hcl.and_then(|hcl| Report::parse(hcl.report()).ok())
            }
        };
        let say = |field: fn(&Report) -> String| report.as_ref().map(field);
        Self {
            standing: Standing::Claimed,
            sha256: Sha256::of(&text),
            measurement: say(|report| report.measurement.to_string()),
            host_data: say(|report| report.host_data.to_string()),
            chip_id: say(|report| report.chip_id.to_string()),
            reported_tcb: None,
            revocation: None,
            vm: None,
        }
    }

    /// The same evidence, verified.
    #[must_use]
    pub fn verified(self, hardware: &VerifiedHardware) -> Self {
        let report = hardware.report();
        Self {
            standing: Standing::Verified,
            sha256: self.sha256,
            measurement: Some(report.measurement.to_string()),
            host_data: Some(report.host_data.to_string()),
            chip_id: Some(report.chip_id.to_string()),
            reported_tcb: Some(format!("{} {}", hardware.product(), hardware.reported_tcb())),
            revocation: Some(hardware.revocation()),
            vm: None,
        }
    }

    /// The same evidence, which is that of a virtual machine.
    #[must_use]
    pub fn of_vm(self, vm: &VerifiedVm) -> Self {
        let (claims, quote) = (vm.claims(), vm.quote());
        let note = VmNote {
            id: claims.vm_id().map(str::to_owned),
            secure_boot: claims.secure_boot(),
            boots: [quote.reset_count, quote.restart_count],
            pcrs: vm.pcrs().clone(),
        };
        Self { vm: Some(note), ..self }
    }
}

/// Why a request was refused, in full.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    /// What the caller was told.
    pub code: &'static str,
    /// What went wrong, with its causes.
    pub text: String,
    /// The step of the verification that refused the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<evidence::Refusal>,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "request")]
    draft: &'a Draft,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Reason>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Granted,
    Refused,
}

impl Draft {
    /// What is known when a request arrives.
    #[must_use]
    pub fn new(time: Timestamp, request_id: RequestId, door: Door) -> Self {
        Self {
            version: 1,
            time,
            request_id,
            door,
            operation: "unknown",
            caller: None,
            accessor: None,
            paths: Vec::new(),
            evidence: None,
        }
    }

    /// When the request arrived.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Its id.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Its door.
    #[must_use]
    pub const fn door(&self) -> Door {
        self.door
    }

    /// The record that the request was granted, to be committed before or with its effect.
    ///
    /// # Errors
    /// The record does not fit.
    pub fn granted(&self) -> Result<Value, AuditError> {
        record(&Record { draft: self, outcome: Outcome::Granted, reason: None })
    }

    /// Appends that the request was refused.
    ///
    /// # Errors
    /// It is not durable.
    pub async fn refused(&self, store: &Store, reason: &Reason) -> Result<(), AuditError> {
        let record =
            record(&Record { draft: self, outcome: Outcome::Refused, reason: Some(reason) })?;
        store.append_audit(self.time, record).await?;
        Ok(())
    }
}

fn record<T: Serialize>(content: &T) -> Result<Value, AuditError> {
    let bytes = serde_json::to_vec(content).map_err(|_| AuditError::Record)?;
    Value::new(bytes).map_err(|_| AuditError::Record)
}

/// Whether a record is of the request of this id.
#[must_use]
pub fn is_of(record: &Value, id: &str) -> bool {
    #[derive(Deserialize)]
    struct Of {
        request: Id,
    }
    #[derive(Deserialize)]
    struct Id {
        request_id: String,
    }
    serde_json::from_slice::<Of>(record.expose_secret()).is_ok_and(|of| of.request.request_id == id)
}

/// A request is not on record.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It is too large, or cannot be written.
    #[error("the audit record does not fit")]
    Record,
    /// The store did not take it.
    #[error("writing the audit record")]
    Store(#[from] CommitError),
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
