//! Leases on blobs and containers ("Lease Blob" and "Lease Container" in the Storage reference: the tables of states and outcomes).
//!
//! A lease is a value and a time; its state is computed, never stored, so a lease ends without anyone ending it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::BlobError;

/// A lease as kept: who has it and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lease {
    id: String,
    /// Seconds; absent for an infinite lease.
    seconds: Option<i64>,
    expires: Option<Timestamp>,
    /// When a break takes or took effect.
    broken: Option<Timestamp>,
}

/// The states of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No lease.
    Available,
    /// Held.
    Leased,
    /// Ran out; the holder may still renew.
    Expired,
    /// Being broken.
    Breaking,
    /// Broken.
    Broken,
}

impl State {
    /// `x-ms-lease-state`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Leased => "leased",
            Self::Expired => "expired",
            Self::Breaking => "breaking",
            Self::Broken => "broken",
        }
    }

    /// `x-ms-lease-status`: locked as long as writes need the id.
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Leased | Self::Breaking => "locked",
            Self::Available | Self::Expired | Self::Broken => "unlocked",
        }
    }
}

/// What is leased: texts and codes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A blob.
    Blob,
    /// A container.
    Container,
}

/// One request of the lease operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Take it, for so many seconds or without end.
    Acquire {
        /// None is infinite.
        seconds: Option<i64>,
        /// `x-ms-proposed-lease-id`.
        id: String,
    },
    /// Begin its time again.
    Renew {
        /// `x-ms-lease-id`.
        id: String,
    },
    /// Give it up.
    Release {
        /// `x-ms-lease-id`.
        id: String,
    },
    /// Give it another id.
    Change {
        /// `x-ms-lease-id`.
        id: String,
        /// `x-ms-proposed-lease-id`.
        proposed: String,
    },
    /// End it without knowing the id.
    Break {
        /// `x-ms-lease-break-period`.
        period: Option<i64>,
    },
}

/// What the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// The status: 201, 200 or 202.
    pub status: u16,
    /// `x-ms-lease-id`.
    pub id: Option<String>,
    /// `x-ms-lease-time`.
    pub seconds: Option<i64>,
}

/// The state at `now`.
pub(super) fn state(lease: Option<&Lease>, now: Timestamp) -> State {
    let Some(lease) = lease else { return State::Available };
    match (lease.broken, lease.expires) {
        (Some(broken), _) if now < broken => State::Breaking,
        (Some(_), _) => State::Broken,
        (None, Some(expires)) if now >= expires => State::Expired,
        (None, _) => State::Leased,
    }
}

/// `x-ms-lease-duration`: `fixed` or `infinite` while held.
pub(super) fn duration(lease: Option<&Lease>, now: Timestamp) -> Option<&'static str> {
    match (state(lease, now), lease) {
        (State::Leased, Some(lease)) => {
            Some(if lease.seconds.is_some() { "fixed" } else { "infinite" })
        }
        _ => None,
    }
}

/// Apply one action to the lease.
pub(super) fn apply(
    lease: &mut Option<Lease>,
    action: Action,
    subject: Subject,
    now: Timestamp,
) -> Result<Done, BlobError> {
    let current = state(lease.as_ref(), now);
    match action {
        Action::Acquire { seconds, id } => acquire(lease, current, seconds, id, now),
        Action::Renew { id } => {
            let held = held(lease, &id, subject)?;
            if matches!(current, State::Breaking | State::Broken) {
                return Err(conflict(
                    "LeaseIsBrokenAndCannotBeRenewed",
                    "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.",
                ));
            }
            held.expires = ends(held.seconds, now);
            Ok(Done { status: 200, id: Some(id), seconds: None })
        }
        Action::Release { id } => {
            held(lease, &id, subject)?;
            *lease = None;
            Ok(Done { status: 200, id: None, seconds: None })
        }
        Action::Change { id, proposed } => {
            let held = match lease {
                Some(held) if held.id == proposed => held,
                _ => held(lease, &id, subject)?,
            };
            if current == State::Breaking {
                return Err(conflict(
                    "LeaseIsBreakingAndCannotBeChanged",
                    "The lease ID matched, but the lease is currently in breaking state and cannot be changed.",
                ));
            }
            if current != State::Leased {
                return Err(mismatch(subject));
            }
            held.id.clone_from(&proposed);
            Ok(Done { status: 200, id: Some(proposed), seconds: None })
        }
        Action::Break { period } => break_it(lease, current, period, subject, now),
    }
}

/// A write needs the id of an active lease, and an id that is given must be the right one.
pub(super) fn check_write(
    lease: Option<&Lease>,
    given: Option<&str>,
    subject: Subject,
    now: Timestamp,
) -> Result<(), BlobError> {
    let current = state(lease, now);
    match (given, lease, current) {
        (None, _, State::Leased | State::Breaking) => Err(failed(
            "LeaseIdMissing",
            format!(
                "There is currently a lease on the {} and no lease ID was specified in the request.",
                subject.name()
            ),
        )),
        (None, ..) => Ok(()),
        (Some(_), ..) => check_read(lease, given, subject, now),
    }
}

/// A read needs no id, but an id that is given must be the right one.
pub(super) fn check_read(
    lease: Option<&Lease>,
    given: Option<&str>,
    subject: Subject,
    now: Timestamp,
) -> Result<(), BlobError> {
    let Some(given) = given else { return Ok(()) };
    let absent = match subject {
        Subject::Blob => "LeaseNotPresentWithBlobOperation",
        Subject::Container => "LeaseNotPresentWithContainerOperation",
    };
    let other = match subject {
        Subject::Blob => "LeaseIdMismatchWithBlobOperation",
        Subject::Container => "LeaseIdMismatchWithContainerOperation",
    };
    match (lease, state(lease, now)) {
        (None, _) | (_, State::Available) => {
            Err(failed(absent, format!("There is currently no lease on the {}.", subject.name())))
        }
        (Some(lease), _) if !lease.id.eq_ignore_ascii_case(given) => Err(failed(
            other,
            format!(
                "The lease ID specified did not match the lease ID for the {}.",
                subject.name()
            ),
        )),
        (Some(_), State::Expired | State::Broken) => Err(failed(
            "LeaseLost",
            format!(
                "A lease ID was specified, but the lease for the {} has expired.",
                subject.name()
            ),
        )),
        (Some(_), State::Leased | State::Breaking) => Ok(()),
    }
}

/// A write to a blob whose lease ran out or was broken ends that lease for good.
pub(super) fn settle_after_write(lease: &mut Option<Lease>, now: Timestamp) {
    if matches!(state(lease.as_ref(), now), State::Expired | State::Broken) {
        *lease = None;
    }
}

fn acquire(
    lease: &mut Option<Lease>,
    current: State,
    seconds: Option<i64>,
    id: String,
    now: Timestamp,
) -> Result<Done, BlobError> {
    let same = lease.as_ref().is_some_and(|held| held.id == id);
    match current {
        State::Available | State::Expired | State::Broken => {}
        State::Leased if same => {}
        State::Breaking if same => {
            return Err(conflict(
                "LeaseIsBreakingAndCannotBeAcquired",
                "The lease ID matched, but the lease is currently in breaking state and cannot be acquired until it is broken.",
            ));
        }
        State::Leased | State::Breaking => {
            return Err(conflict("LeaseAlreadyPresent", "There is already a lease present."));
        }
    }
    *lease = Some(Lease { id: id.clone(), seconds, expires: ends(seconds, now), broken: None });
    Ok(Done { status: 201, id: Some(id), seconds: None })
}

fn break_it(
    lease: &mut Option<Lease>,
    current: State,
    period: Option<i64>,
    subject: Subject,
    now: Timestamp,
) -> Result<Done, BlobError> {
    let Some(held) = lease else {
        return Err(conflict(
            "LeaseNotPresentWithLeaseOperation",
            format!("There is currently no lease on the {}.", subject.name()),
        ));
    };
    let left =
        |until: Option<Timestamp>| until.map(|until| until.duration_since(now).as_secs().max(0));
    let seconds = match current {
        State::Available | State::Expired | State::Broken => 0,
        State::Leased => match (period, left(held.expires)) {
            (Some(period), Some(left)) => period.min(left),
            (Some(period), None) => period,
            (None, Some(left)) => left,
            (None, None) => 0,
        },
        State::Breaking => {
            let left = left(held.broken).unwrap_or(0);
            period.map_or(left, |period| period.min(left))
        }
    };
    held.broken = Some(now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now));
    Ok(Done { status: 202, id: None, seconds: Some(seconds) })
}

fn held<'a>(
    lease: &'a mut Option<Lease>,
    id: &str,
    subject: Subject,
) -> Result<&'a mut Lease, BlobError> {
    match lease {
        None => Err(conflict(
            "LeaseNotPresentWithLeaseOperation",
            format!("There is currently no lease on the {}.", subject.name()),
        )),
        Some(held) if held.id.eq_ignore_ascii_case(id) => Ok(held),
        Some(_) => Err(mismatch(subject)),
    }
}

fn ends(seconds: Option<i64>, now: Timestamp) -> Option<Timestamp> {
    seconds.map(|seconds| {
        now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
    })
}

fn mismatch(subject: Subject) -> BlobError {
    conflict(
        "LeaseIdMismatchWithLeaseOperation",
        format!("The lease ID specified did not match the lease ID for the {}.", subject.name()),
    )
}

fn conflict(code: &'static str, message: impl Into<String>) -> BlobError {
    BlobError::new(409, code, message)
}

fn failed(code: &'static str, message: String) -> BlobError {
    BlobError::new(412, code, message)
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Container => "container",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn acquire(
        lease: &mut Option<Lease>,
        id: &str,
        seconds: Option<i64>,
        when: i64,
    ) -> Result<Done, BlobError> {
        apply(lease, Action::Acquire { seconds, id: id.to_owned() }, Subject::Blob, at(when))
    }

    #[test]
    fn is_exclusive_while_it_lasts_and_free_after() {
        let mut lease = None;
        acquire(&mut lease, "a", Some(15), 0).unwrap();
        assert_eq!(acquire(&mut lease, "b", Some(15), 14).unwrap_err().code, "LeaseAlreadyPresent");
        assert_eq!(state(lease.as_ref(), at(15)), State::Expired);
        acquire(&mut lease, "b", Some(15), 15).unwrap();
    }

    #[test]
    fn renews_for_its_holder_only() {
        let mut lease = None;
        acquire(&mut lease, "a", Some(15), 0).unwrap();
        let renew = |lease: &mut Option<Lease>, id: &str, when| {
            apply(lease, Action::Renew { id: id.to_owned() }, Subject::Blob, at(when))
        };
        assert_eq!(
            renew(&mut lease, "b", 1).unwrap_err().code,
            "LeaseIdMismatchWithLeaseOperation"
        );
        renew(&mut lease, "a", 10).unwrap();
        assert_eq!(state(lease.as_ref(), at(24)), State::Leased);
    }

    #[test]
    fn a_write_needs_the_id_of_an_active_lease() {
        let mut lease = None;
        let check = |lease: &Option<Lease>, given, when| {
            check_write(lease.as_ref(), given, Subject::Blob, at(when))
                .map_err(|refused| refused.code)
        };
        assert_eq!(check(&lease, Some("a"), 0), Err("LeaseNotPresentWithBlobOperation"));
        acquire(&mut lease, "a", Some(15), 0).unwrap();
        assert_eq!(check(&lease, None, 1), Err("LeaseIdMissing"));
        assert_eq!(check(&lease, Some("b"), 1), Err("LeaseIdMismatchWithBlobOperation"));
        assert_eq!(check(&lease, Some("a"), 1), Ok(()));
        assert_eq!(check(&lease, Some("a"), 15), Err("LeaseLost"));
        assert_eq!(check(&lease, None, 15), Ok(()));
    }

    #[test]
    fn breaks_at_once_or_after_a_period() {
        let mut lease = None;
        acquire(&mut lease, "a", None, 0).unwrap();
        let break_it = |lease: &mut Option<Lease>, period, when| {
            apply(lease, Action::Break { period }, Subject::Blob, at(when))
        };
        assert_eq!(break_it(&mut lease, Some(10), 0).unwrap().seconds, Some(10));
        assert_eq!(state(lease.as_ref(), at(5)), State::Breaking);
        assert_eq!(acquire(&mut lease, "b", None, 5).unwrap_err().code, "LeaseAlreadyPresent");
        assert_eq!(state(lease.as_ref(), at(10)), State::Broken);
        acquire(&mut lease, "b", None, 10).unwrap();
        assert_eq!(break_it(&mut lease, None, 11).unwrap().seconds, Some(0));
    }

    #[test]
    fn changes_and_releases() {
        let mut lease = None;
        acquire(&mut lease, "a", None, 0).unwrap();
        let change = Action::Change { id: "a".to_owned(), proposed: "b".to_owned() };
        apply(&mut lease, change.clone(), Subject::Blob, at(1)).unwrap();
        apply(&mut lease, change, Subject::Blob, at(1)).unwrap();
        let release = |lease: &mut Option<Lease>, id: &str| {
            apply(lease, Action::Release { id: id.to_owned() }, Subject::Blob, at(2))
        };
        assert_eq!(release(&mut lease, "a").unwrap_err().code, "LeaseIdMismatchWithLeaseOperation");
        release(&mut lease, "b").unwrap();
        assert_eq!(release(&mut lease, "b").unwrap_err().code, "LeaseNotPresentWithLeaseOperation");
    }
}
