//! The root key, which opens the keyring and so the store, and its shares.
//!
//! A share is secret on its own account: a threshold of them is the key. Its bytes leave only to be wrapped. The share names the set it belongs
//! to, so that shares of two generations are refused and not combined to noise; and whoever combines more than the threshold learns
//! whether all of them agree. That the key really is the store's own is shown by opening the store and by nothing else.

use std::collections::BTreeSet;

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand::SecureRandom};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretSlice};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    seal::RandomnessUnavailable,
    shamir::{self, Point},
    wire::Reader,
};

/// The key that opens a store. It exists at birth, while shares are combined and in the running server, never at rest.
pub struct RootKey(SecretBox<[u8; 32]>);

/// One share of a root key.
pub struct Share(SecretSlice<u8>);

impl RootKey {
    /// A new root key.
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, SplitError> {
        let mut key = SecretBox::<[u8; 32]>::default();
        rng.fill(key.expose_secret_mut()).map_err(|_| RandomnessUnavailable)?;
        Ok(Self(key))
    }

    /// Splits the key into `count` shares, any `threshold` of which give it back. What is returned has been combined again and compared.
    pub fn split(
        &self,
        threshold: u8,
        count: u8,
        rng: &dyn SecureRandom,
    ) -> Result<Vec<Share>, SplitError> {
        if threshold == 0 || threshold > count {
            return Err(SplitError::Threshold { threshold, count });
        }
        let mut set = [0; SET_LENGTH];
        rng.fill(&mut set).map_err(|_| RandomnessUnavailable)?;
        let mut coefficients = Zeroizing::new(vec![[0; 32]; usize::from(threshold - 1)]);
        for row in coefficients.iter_mut() {
            rng.fill(row).map_err(|_| RandomnessUnavailable)?;
        }
        let shares: Vec<Share> = (1..=count)
            .map(|x| {
                Share::new(
                    set,
                    threshold,
                    &shamir::evaluate(self.0.expose_secret(), &coefficients, x),
                )
            })
            .collect();
        let again = Self::combine(&shares).map_err(|_| SplitError::Inconsistent)?;
        verify_slices_are_equal(again.0.expose_secret(), self.0.expose_secret())
            .map_err(|_| SplitError::Inconsistent)?;
        Ok(shares)
    }

    /// Puts a threshold of shares together. Shares beyond the threshold must agree with the others.
    pub fn combine(shares: &[Share]) -> Result<Self, CombineError> {
        let parts: Vec<Parts> = shares.iter().map(Share::parts).collect::<Result<_, _>>()?;
        let first = parts.first().ok_or(CombineError::TooFew { threshold: 1, found: 0 })?;
        let (set, threshold) = (first.set, first.threshold);
        if parts.iter().any(|part| part.set != set || part.threshold != threshold) {
            return Err(CombineError::MixedSets);
        }
        let mut seen = BTreeSet::new();
        let mut points: Vec<Point> = Vec::new();
        for part in parts {
            if seen.insert(part.point.x) {
                points.push(part.point);
            } else if points.iter().any(|one| one.x == part.point.x && *one.y != *part.point.y) {
                return Err(CombineError::Disagree);
            }
        }
        if points.len() < usize::from(threshold) {
            return Err(CombineError::TooFew { threshold, found: points.len() });
        }
        let extra = points.split_off(usize::from(threshold));
        for point in extra {
            verify_slices_are_equal(
                shamir::interpolate(&points, point.x).as_slice(),
                point.y.as_slice(),
            )
            .map_err(|_| CombineError::Disagree)?;
        }
        let value = shamir::interpolate(&points, 0);
        Ok(Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| {
            key.copy_from_slice(value.as_slice());
        })))
    }

    /// For the process that keeps the store open; a key has no copies elsewhere.
    pub(crate) fn copy(&self) -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(self.secret())))
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// What a share says.
struct Parts {
    set: [u8; SET_LENGTH],
    threshold: u8,
    point: Point,
}

impl Share {
    fn new(set: [u8; SET_LENGTH], threshold: u8, point: &Point) -> Self {
        let mut bytes = Vec::with_capacity(SHARE_LENGTH);
        bytes.push(SHARE_FORMAT);
        bytes.extend_from_slice(&set);
        bytes.extend_from_slice(&[threshold, point.x]);
        bytes.extend_from_slice(point.y.as_slice());
        Self(bytes.into())
    }

    /// Reads a share that was unwrapped.
    ///
    /// Layout, version 1, 51 bytes: version (1), set (16), threshold (1), x (1), y (32).
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedShare> {
        let share = Self(SecretSlice::new(bytes.into()));
        share.parts()?;
        Ok(share)
    }

    /// The bytes, for the one who wraps them.
    pub fn expose_secret(&self) -> &[u8] {
        self.0.expose_secret()
    }

    fn parts(&self) -> Result<Parts, MalformedShare> {
        let mut reader = Reader::new(self.0.expose_secret());
        let format = reader.u8().map_err(|_| MalformedShare)?;
        let set = *reader.array().map_err(|_| MalformedShare)?;
        let threshold = reader.u8().map_err(|_| MalformedShare)?;
        let x = reader.u8().map_err(|_| MalformedShare)?;
        let mut y = *reader.array::<{ shamir::LENGTH }>().map_err(|_| MalformedShare)?;
        let point = Point { x, y: Zeroizing::new(y) };
        y.zeroize();
        if !reader.is_empty() || format != SHARE_FORMAT || threshold == 0 || x == 0 {
            return Err(MalformedShare);
        }
        Ok(Parts { set, threshold, point })
    }
}

/// Why a root key could not be made or split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The threshold cannot be met.
    #[error("a threshold of {threshold} with {count} shares")]
    Threshold {
        /// As asked.
        threshold: u8,
        /// As asked.
        count: u8,
    },
    /// The shares did not combine to the key again: a fault of this machine.
    #[error("the shares do not combine to the key that was split")]
    Inconsistent,
    /// The random number generator refused.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
}

/// Why shares give no root key.
#[derive(Debug, thiserror::Error)]
pub enum CombineError {
    /// Not a share.
    #[error(transparent)]
    Malformed(#[from] MalformedShare),
    /// Shares of different splits, for example of two generations.
    #[error("the shares come from different sets")]
    MixedSets,
    /// More shares are needed.
    #[error("{threshold} different shares are needed, found {found}")]
    TooFew {
        /// How many are needed.
        threshold: u8,
        /// How many different ones there were.
        found: usize,
    },
    /// At least one share is not what was dealt.
    #[error("the shares disagree, at least one was changed")]
    Disagree,
}

/// The bytes are not a share of a known version.
#[derive(Debug, thiserror::Error)]
#[error("not a share of version 1")]
pub struct MalformedShare;

const SHARE_FORMAT: u8 = 1;
const SET_LENGTH: usize = 16;
const SHARE_LENGTH: usize = 1 + SET_LENGTH + 1 + 1 + shamir::LENGTH;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;

    fn split(threshold: u8, count: u8) -> (RootKey, Vec<Share>) {
        let key = RootKey::generate(&SystemRandom::new()).unwrap();
        let shares = key.split(threshold, count, &SystemRandom::new()).unwrap();
        (key, shares)
    }

    fn copy(share: &Share) -> Share {
        Share::parse(share.expose_secret()).unwrap()
    }

    fn changed(share: &Share, at: usize) -> Share {
        let mut bytes = share.expose_secret().to_vec();
        bytes[at] ^= 1;
        Share::parse(&bytes).unwrap()
    }

    #[test]
    fn every_pair_of_two_of_three_gives_the_key() {
        let (key, shares) = split(2, 3);
        for (one, other) in [(0, 1), (0, 2), (1, 2), (2, 0)] {
            let again = RootKey::combine(&[copy(&shares[one]), copy(&shares[other])]).unwrap();
            assert_eq!(again.secret(), key.secret());
        }
    }

    #[test]
    fn one_share_of_one_is_enough_and_255_are_possible() {
        let (key, shares) = split(1, 1);
        assert_eq!(RootKey::combine(&shares).unwrap().secret(), key.secret());
        let (key, shares) = split(200, 255);
        assert_eq!(RootKey::combine(&shares[55..]).unwrap().secret(), key.secret());
    }

    #[test]
    fn too_few_different_shares_are_refused() {
        let (_, shares) = split(2, 3);
        assert!(matches!(RootKey::combine(&[]), Err(CombineError::TooFew { .. })));
        let twice = [copy(&shares[0]), copy(&shares[0])];
        assert!(matches!(
            RootKey::combine(&twice),
            Err(CombineError::TooFew { threshold: 2, found: 1 })
        ));
    }

    #[test]
    fn shares_of_two_splits_are_refused() {
        let (key, shares) = split(2, 3);
        let others = key.split(2, 3, &SystemRandom::new()).unwrap();
        let mixed = [copy(&shares[0]), copy(&others[1])];
        assert!(matches!(RootKey::combine(&mixed), Err(CombineError::MixedSets)));
    }

    #[test]
    fn a_changed_share_among_more_than_the_threshold_is_noticed() {
        let (_, shares) = split(2, 3);
        let tampered = [changed(&shares[0], SHARE_LENGTH - 1), copy(&shares[1]), copy(&shares[2])];
        assert!(matches!(RootKey::combine(&tampered), Err(CombineError::Disagree)));
        let two_of_one_place =
            [copy(&shares[0]), changed(&shares[0], SHARE_LENGTH - 1), copy(&shares[1])];
        assert!(matches!(RootKey::combine(&two_of_one_place), Err(CombineError::Disagree)));
    }

    #[test]
    fn thresholds_that_cannot_be_met_are_refused() {
        let key = RootKey::generate(&SystemRandom::new()).unwrap();
        for (threshold, count) in [(0, 1), (2, 1)] {
            assert!(matches!(
                key.split(threshold, count, &SystemRandom::new()),
                Err(SplitError::Threshold { .. })
            ));
        }
    }

    #[test]
    fn what_is_not_a_share_is_refused() {
        let (_, shares) = split(2, 2);
        let good = shares[0].expose_secret();
        assert!(Share::parse(&good[..50]).is_err());
        assert!(Share::parse(&[good, &[0]].concat()).is_err());
        for (at, value) in [(0, 2), (17, 0), (18, 0)] {
            let mut bytes = good.to_vec();
            bytes[at] = value;
            assert!(Share::parse(&bytes).is_err(), "byte {at}");
        }
    }
}
