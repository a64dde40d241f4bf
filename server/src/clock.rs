//! Time comes from a host that may lie, so it is taken as never earlier than what is known.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// The host's clock, held up by a floor that only rises.
///
/// The floor is the last commit of the store and the issue time of the MAA token: both were signed
/// or sealed by somebody who is not this host.
#[derive(Debug)]
pub struct Clock {
    floor_seconds: AtomicI64,
}

impl Clock {
    /// A clock that is never earlier than `floor`.
    #[must_use]
    pub fn new(floor: Timestamp) -> Self {
        Self { floor_seconds: AtomicI64::new(floor.as_second()) }
    }

    /// Raises the floor; a lower one changes nothing.
    pub fn raise(&self, floor: Timestamp) {
        self.floor_seconds.fetch_max(floor.as_second(), Ordering::Relaxed);
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let floor = Timestamp::from_second(self.floor_seconds.load(Ordering::Relaxed))
            .unwrap_or(Timestamp::MIN);
        Timestamp::now().max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_earlier_than_the_floor_and_the_floor_never_falls() {
        let far = Timestamp::constant(32_503_680_000, 0);
        let clock = Clock::new(Timestamp::UNIX_EPOCH);
        assert!(clock.now() < far);
        clock.raise(far);
        clock.raise(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), far);
    }
}
