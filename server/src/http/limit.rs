//! How often a stranger may try: a token bucket for each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What addresses have left.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<BTreeMap<IpAddr, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it will be full again; as far in the future as attempts were made.
    full: Instant,
}

/// An attempt that the address may make.
#[derive(Debug)]
pub(crate) struct Attempt(());

/// The address tries too often.
#[derive(Debug, thiserror::Error)]
#[error("too many attempts from this address")]
pub(crate) struct TooMany;

impl Attempts {
    /// Takes an attempt out of the address's bucket.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<Attempt, TooMany> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| bucket.full > now);
        }
        if buckets.len() >= MOST && !buckets.contains_key(&address) {
            return Err(TooMany);
        }
        let bucket = buckets.entry(address).or_insert(Bucket { full: now });
        let full = bucket.full.max(now) + REFILL;
        if full.duration_since(now) > REFILL.saturating_mul(BURST) {
            return Err(TooMany);
        }
        bucket.full = full;
        Ok(Attempt(()))
    }
}

/// One attempt more.
const REFILL: Duration = Duration::from_millis(50);
/// So many at once.
const BURST: u32 = 100;
const MOST: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again_and_is_one_address_s_own() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..BURST {
            attempts.take(one, start).unwrap();
        }
        assert!(attempts.take(one, start).is_err());
        assert!(attempts.take(other, start).is_ok());
        assert!(attempts.take(one, start + REFILL).is_ok());
        assert!(attempts.take(one, start + REFILL).is_err());
    }
}
