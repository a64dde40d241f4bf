//! Why a call about a secret failed.

use crate::call::{Answer, Fault, Malformed, Unavailable};
use crate::vault::Sort;

/// Why a call about a secret failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no such secret or version.
    #[error("the secret does not exist")]
    NotFound(#[source] Answer),
    /// The secret is soft-deleted and holds its name.
    #[error("the secret is deleted and its name is not free")]
    Deleted(#[source] Answer),
    /// The secret is just being deleted or recovered.
    #[error("the secret is being deleted or recovered")]
    Changing(#[source] Answer),
    /// The version is disabled.
    #[error("the secret is disabled")]
    Disabled(#[source] Answer),
    /// A role is missing, or the vault's firewall is in the way.
    #[error("not authorized")]
    Denied(#[source] Answer),
    /// Too many requests, even after waiting.
    #[error("throttled")]
    Throttled(#[source] Answer),
    /// Any other refusal, for example a value that is too long.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer; the call may have taken effect.
    #[error("the vault is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl SecretError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "check the vault, the secret's name and its version",
            Self::Deleted(_) => "recover the secret, or purge it where purge protection allows",
            Self::Changing(_) => "wait a minute and run again",
            Self::Disabled(_) => "enable the version, if it is meant to be used",
            Self::Denied(_) => {
                "assign the role on the secret or vault, and check the vault's firewall; a new role takes minutes to act"
            }
            Self::Throttled(_) => "wait a minute and run again",
            Self::Rejected(_) => "read Azure's message",
            Self::Malformed(_) => "check that the address is that of a key vault",
            Self::Unavailable(_) => "check the network and Azure's status, then run again",
        }
    }
}

impl From<Fault> for SecretError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => match Sort::of(&answer) {
                Sort::NotFound => Self::NotFound(answer),
                Sort::Deleted => Self::Deleted(answer),
                Sort::Changing => Self::Changing(answer),
                Sort::Disabled => Self::Disabled(answer),
                Sort::Denied => Self::Denied(answer),
                Sort::Throttled => Self::Throttled(answer),
                Sort::Rejected => Self::Rejected(answer),
            },
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}
