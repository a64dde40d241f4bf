//! The audit log: who asked for what through which door, and what came of it.
//!
//! Records are sealed into the store's log, so only this deployment's servers can read them, and their order and
//! completeness are the log's. They name paths, workloads and reasons in full and never hold a value or a token.
//! What a caller sees of a refusal is decided elsewhere; the reason stays here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::SecureRandom;
use evidence::{RawEvidence, Report, Sha256, VerifiedReport};
use jiff::Timestamp;
use protocol::attest::RefusalCode;
use serde::Serialize;
use store::{CommitError, Store, Transaction, Value};

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
    pub fn claimed(raw: &RawEvidence) -> Self {
        let text = serde_jcs::to_vec(raw).unwrap_or_default();
        let report = Report::parse(&raw.report).ok();
        let say = |field: fn(&Report) -> String| report.as_ref().map(field);
        Self {
            standing: Standing::Claimed,
            sha256: Sha256::of(&text),
            measurement: say(|report| report.measurement.to_string()),
            host_data: say(|report| report.host_data.to_string()),
            chip_id: say(|report| report.chip_id.to_string()),
            reported_tcb: None,
        }
    }

    /// The same evidence, verified.
    #[must_use]
    pub fn verified(self, report: &VerifiedReport) -> Self {
        Self {
            standing: Standing::Verified,
            sha256: self.sha256,
            measurement: Some(report.measurement().to_string()),
            host_data: Some(report.host_data().to_string()),
            chip_id: Some(report.chip_id().to_string()),
            reported_tcb: Some(format!("{} {}", report.product(), report.reported_tcb())),
        }
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

/// Refusals of callers that nobody knows: so many a minute are recorded one by one, more are counted, so that nobody
/// fills the log by being refused.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    minute: i64,
    recorded: u32,
    counted: BTreeMap<&'static str, u64>,
}

/// Whether a refusal gets a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It does.
    Recorded,
    /// It is counted for the summary.
    Counted,
}

/// Refusals without a record of their own.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    version: u8,
    /// Start of the minute.
    minute: Timestamp,
    operation: &'static str,
    /// How many, by code.
    counted: BTreeMap<&'static str, u64>,
}

impl Refusals {
    /// Takes note of a refusal; also answers the summary of an earlier minute, if one is due.
    pub fn notice(
        &self,
        now: Timestamp,
        most: u32,
        code: RefusalCode,
    ) -> (Notice, Option<Summary>) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = window.turn(minute_of(now));
        if window.recorded < most {
            window.recorded = window.recorded.saturating_add(1);
            return (Notice::Recorded, due);
        }
        let count = window.counted.entry(code.code()).or_default();
        *count = count.saturating_add(1);
        (Notice::Counted, due)
    }

    /// The summary of an earlier minute, if one is due.
    pub fn due(&self, now: Timestamp) -> Option<Summary> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).turn(minute_of(now))
    }

    /// Everything counted so far, for the end of the process.
    pub fn rest(&self) -> Option<Summary> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).turn(i64::MAX)
    }
}

impl Window {
    fn turn(&mut self, minute: i64) -> Option<Summary> {
        if minute == self.minute {
            return None;
        }
        let was = std::mem::replace(self, Self { minute, ..Self::default() });
        (!was.counted.is_empty()).then(|| Summary {
            version: 1,
            minute: Timestamp::from_second(was.minute.saturating_mul(60)).unwrap_or_default(),
            operation: "refusals-beyond-the-limit",
            counted: was.counted,
        })
    }
}

impl Summary {
    /// Appends the summary to the log.
    ///
    /// # Errors
    /// It is not durable.
    pub async fn append(&self, store: &Store, now: Timestamp) -> Result<(), AuditError> {
        store.commit(Transaction::new(now).audit(record(self)?)).await?;
        Ok(())
    }
}

fn minute_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(60)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_beyond_the_limit_are_counted_and_told_in_the_next_minute() {
        let refusals = Refusals::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(refusals.notice(at(600), 2, RefusalCode::Rejected).0);
        }
        assert_eq!(seen, [Notice::Recorded, Notice::Recorded, Notice::Counted, Notice::Counted]);
        assert_eq!(refusals.due(at(659)), None);
        let (notice, summary) = refusals.notice(at(660), 2, RefusalCode::Rejected);
        assert_eq!(notice, Notice::Recorded);
        assert_eq!(summary.unwrap().counted, [("rejected", 2)].into());
        assert_eq!(refusals.rest(), None);
    }
}
