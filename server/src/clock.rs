//! Time comes from a host that may lie, so it is believed only between what has certainly passed and
//! a day more.
//!
//! The lower bound keeps old tokens, challenges and certificates from living on; the upper one keeps
//! a wrong clock from ruining the store, whose last commit is a lower bound for every later boot.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// The host's clock within bounds.
///
/// What has certainly passed is the issue time of the MAA token, which is not this host's word, and
/// what the process has run since; the last commit of the store; and whatever time was told before.
#[derive(Debug)]
pub struct Clock {
    issued: Timestamp,
    started: Instant,
    floor_seconds: AtomicI64,
}

impl Clock {
    /// A clock that is never earlier than `issued` and what passes from now on.
    #[must_use]
    pub fn new(issued: Timestamp) -> Self {
        let floor_seconds = AtomicI64::new(issued.as_second());
        Self { issued, started: Instant::now(), floor_seconds }
    }

    /// Raises the floor; a lower one changes nothing.
    pub fn raise(&self, floor: Timestamp) {
        self.floor_seconds.fetch_max(floor.as_second(), Ordering::Relaxed);
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let ran = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.tell(Timestamp::now(), ran)
    }

    /// What to make of the host's word after the process has run for so long.
    fn tell(&self, host: Timestamp, ran: SignedDuration) -> Timestamp {
        let least = self.issued.saturating_add(ran).unwrap_or(self.issued);
        let most = least.saturating_add(AHEAD).unwrap_or(least);
        let told = host.clamp(least, most);
        let floor = self.floor_seconds.fetch_max(told.as_second(), Ordering::Relaxed);
        told.max(Timestamp::from_second(floor).unwrap_or(Timestamp::MIN))
    }
}

/// A guest that was paused lags behind by as much; a day is more than any pause that a group survives.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::constant(1_790_000_000, 0);
    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn check(host: i64, ran: i64, expected: i64) {
        let at = |hours: i64| START + SignedDuration::from_hours(hours);
        let told = Clock::new(START).tell(at(host), SignedDuration::from_hours(ran));
        assert_eq!(told, at(expected), "host {host}, ran {ran}");
    }

    #[test]
    fn the_host_is_believed_between_what_has_passed_and_a_day_more() {
        check(2, 2, 2);
        check(5, 2, 5);
        check(-1000, 2, 2);
        check(1000, 2, 26);
    }

    #[test]
    fn is_never_earlier_than_the_floor_and_the_floor_never_falls() {
        let far = Timestamp::constant(32_503_680_000, 0);
        let clock = Clock::new(START);
        clock.raise(far);
        clock.raise(START);
        assert_eq!(clock.now(), far);
    }

    #[test]
    fn a_host_that_sets_its_clock_back_is_not_followed() {
        let clock = Clock::new(START);
        assert_eq!(clock.tell(START + HOUR, SignedDuration::ZERO), START + HOUR);
        assert_eq!(clock.tell(START, SignedDuration::ZERO), START + HOUR);
    }
}
