//! Refusals of strangers: recorded one by one up to a limit, counted beyond it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use protocol::attest::RefusalCode;
use serde::Serialize;
use store::{Store, Transaction};

use super::{AuditError, record};

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
