//! From a caller to a secret: `Challenge → VerifiedReport → Appraised → Grant → Sealed`.
//!
//! Each step takes the proof that the one before it made. [`decide`] is the one place that makes a [`Grant`], from an
//! appraisal or from an authenticated token, and [`release()`] the only function that consumes one and reads values
//! for a caller; it returns them when the audit record is durable, never before.

mod attest;
mod challenge;
pub mod decide;
mod release;

pub use attest::{AttestError, attest};
pub use challenge::{ChallengeError, Challenges, LIFETIME};
pub use decide::{Denied, Everywhere, Grant, MayDelete, MayList, MayWrite, Which};
pub use release::{ReleaseError, Released, Secret, SecretContent, release};
