//! Challenges: fresh values that a workload's evidence must bind.
//!
//! They live in the memory of this process, so one of another server, or of an earlier boot, is worth nothing here.
//! Any attempt consumes the challenge that it names, a failed one too.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::SecureRandom;
use jiff::{SignedDuration, Timestamp};
use protocol::attest::Challenge;

/// For how long a challenge is good.
pub const LIFETIME: SignedDuration = SignedDuration::from_secs(60);

/// The challenges that are open.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<BTreeMap<Challenge, Timestamp>>);

/// A challenge of this server that nobody has used before; whoever holds it may use it once.
#[derive(Debug)]
pub struct Fresh(Challenge);

impl Challenges {
    /// Makes one.
    ///
    /// # Errors
    /// Too many are open, or there is no randomness.
    pub fn issue(
        &self,
        rng: &dyn SecureRandom,
        now: Timestamp,
    ) -> Result<Challenge, ChallengeError> {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes).map_err(|_| ChallengeError::Randomness)?;
        let challenge = Challenge(bytes);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST {
            open.retain(|_, issued| is_current(*issued, now));
        }
        if open.len() >= MOST {
            return Err(ChallengeError::TooMany);
        }
        open.insert(challenge, now);
        Ok(challenge)
    }

    /// Takes one out, for good.
    ///
    /// # Errors
    /// Not issued here, used before, or too old.
    pub fn take(&self, challenge: Challenge, now: Timestamp) -> Result<Fresh, ChallengeError> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&challenge);
        match taken {
            Some(issued) if is_current(issued, now) => Ok(Fresh(challenge)),
            Some(_) => Err(ChallengeError::Expired),
            None => Err(ChallengeError::Unknown),
        }
    }
}

impl Fresh {
    /// The challenge.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.0
    }
}

fn is_current(issued: Timestamp, now: Timestamp) -> bool {
    now.duration_since(issued) <= LIFETIME
}

/// Why a challenge is not given, or not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Not of this server, or used before.
    #[error("the challenge was not issued here, or was used before")]
    Unknown,
    /// Too old.
    #[error("the challenge has expired")]
    Expired,
    /// No room for another.
    #[error("too many challenges are open")]
    TooMany,
    /// No randomness.
    #[error("no randomness")]
    Randomness,
}

/// The bound of the table: about 1 MB.
const MOST: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_challenge_is_good_once_and_for_a_minute_and_only_where_it_was_made() {
        let (here, there) = (Challenges::default(), Challenges::default());
        let rng = SystemRandom::new();
        let challenge = here.issue(&rng, at(0)).unwrap();
        assert_eq!(there.take(challenge, at(1)).err(), Some(ChallengeError::Unknown));
        assert!(here.take(challenge, at(60)).is_ok());
        assert_eq!(here.take(challenge, at(60)).err(), Some(ChallengeError::Unknown));
        let challenge = here.issue(&rng, at(0)).unwrap();
        assert_eq!(here.take(challenge, at(61)).err(), Some(ChallengeError::Expired));
        assert_eq!(here.take(challenge, at(1)).err(), Some(ChallengeError::Unknown));
    }

    #[test]
    fn a_full_table_drops_what_is_too_old_and_refuses_beyond() {
        let challenges = Challenges::default();
        let rng = SystemRandom::new();
        for _ in 0..MOST {
            challenges.issue(&rng, at(0)).unwrap();
        }
        assert_eq!(challenges.issue(&rng, at(60)), Err(ChallengeError::TooMany));
        assert!(challenges.issue(&rng, at(61)).is_ok());
    }
}
