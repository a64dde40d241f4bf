//! What one address may take: attempts, by a token bucket, and shares of what is there for everyone.
//!
//! Who has one IPv6 address has a /64 of them, so these count as one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What addresses have left.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<BTreeMap<IpAddr, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it will be full again; as far in the future as attempts were made.
    full: Instant,
}

/// The address tries too often.
#[derive(Debug, thiserror::Error)]
#[error("too many attempts from this address")]
pub(crate) struct TooMany;

impl Attempts {
    /// Takes an attempt out of the address's bucket.
    pub(crate) fn take(&self, address: SocketAddr, now: Instant) -> Result<(), TooMany> {
        let address = counted(address);
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
        Ok(())
    }
}

/// So many of one thing for each address.
#[derive(Debug)]
pub(crate) struct Shares {
    each: usize,
    taken: Mutex<BTreeMap<IpAddr, Arc<Semaphore>>>,
}

impl Shares {
    /// Nothing is taken yet.
    pub(crate) const fn new(each: usize) -> Self {
        Self { each, taken: Mutex::new(BTreeMap::new()) }
    }

    /// The address's share. Those that nobody uses are forgotten; connections bound how many are used.
    pub(crate) fn of(&self, address: SocketAddr) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= MOST {
            taken.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let fresh = || Arc::new(Semaphore::new(self.each));
        Arc::clone(taken.entry(counted(address)).or_insert_with(fresh))
    }
}

/// The address that counts.
fn counted(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
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

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_bucket_empties_and_fills_again_and_is_one_address_s_own() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (at("192.0.2.1:1"), at("192.0.2.2:1"));
        for _ in 0..BURST {
            attempts.take(one, start).unwrap();
        }
        assert!(attempts.take(one, start).is_err());
        assert!(attempts.take(other, start).is_ok());
        assert!(attempts.take(one, start + REFILL).is_ok());
        assert!(attempts.take(one, start + REFILL).is_err());
    }

    #[test]
    fn a_share_is_one_address_s_own_and_is_forgotten_when_nobody_holds_it() {
        let shares = Shares::new(1);
        let held = shares.of(at("192.0.2.1:1")).try_acquire_owned().unwrap();
        for port in 0..MOST {
            let [high, low] = u16::try_from(port).unwrap().to_be_bytes();
            let other = SocketAddr::new([10, 0, high, low].into(), 1);
            drop(shares.of(other).try_acquire_owned().unwrap());
        }
        assert!(shares.of(at("192.0.2.1:2")).try_acquire_owned().is_err());
        assert!(shares.taken.lock().unwrap().len() < MOST);
        drop(held);
        assert!(shares.of(at("192.0.2.1:2")).try_acquire_owned().is_ok());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_address_as_itself() {
        assert_eq!(counted(at("[2001:db8:0:1::5]:1")), counted(at("[2001:db8:0:1:ff::6]:1")));
        assert_ne!(counted(at("[2001:db8:0:1::5]:1")), counted(at("[2001:db8:0:2::5]:1")));
        assert_eq!(counted(at("[::ffff:192.0.2.1]:1")), counted(at("192.0.2.1:1")));
    }
}
