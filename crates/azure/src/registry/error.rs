//! Why a call to the registry failed.

use crate::call::{Answer, Fault, Malformed, Unavailable};

/// Why a call to the registry failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no such registry, repository, manifest or blob.
    #[error("the registry does not have it")]
    NotFound(#[source] Answer),
    /// A role is missing.
    #[error("not authorized")]
    Denied(#[source] Answer),
    /// Too many requests, even after waiting.
    #[error("throttled")]
    Throttled(#[source] Answer),
    /// Any other refusal.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The answer was not understood, or is not the content that its digest names.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer.
    #[error("the registry is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl RegistryError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "check registry, repository, tag and digest",
            Self::Denied(_) => {
                "say who you are with --auth; pulling needs AcrPull on the registry, pushing AcrPush, and a new role takes minutes"
            }
            Self::Throttled(_) => "wait a minute and run again",
            Self::Rejected(_) => "read the registry's message",
            Self::Malformed(_) => "check that the address is that of a container registry",
            Self::Unavailable(_) => "check the registry's address and the network, then run again",
        }
    }
}

impl From<Fault> for RegistryError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => match answer.status() {
                404 => Self::NotFound(answer),
                401 | 403 => Self::Denied(answer),
                429 => Self::Throttled(answer),
                _ => Self::Rejected(answer),
            },
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}
