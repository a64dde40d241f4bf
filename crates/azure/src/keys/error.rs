//! Why a call about a key failed.

use crate::call::{Answer, Fault, Malformed, Unavailable};
use crate::vault::Sort;

/// Why a call about a key failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no such key or version.
    #[error("the key does not exist")]
    NotFound(#[source] Answer),
    /// The key is soft-deleted and holds its name.
    #[error("the key is deleted and its name is not free")]
    Deleted(#[source] Answer),
    /// The key is just being deleted or recovered.
    #[error("the key is being deleted or recovered")]
    Changing(#[source] Answer),
    /// The key is disabled.
    #[error("the key is disabled")]
    Disabled(#[source] Answer),
    /// A role is missing, or the vault's firewall is in the way.
    #[error("not authorized")]
    Denied(#[source] Answer),
    /// Too many requests, even after waiting.
    #[error("throttled")]
    Throttled(#[source] Answer),
    /// Any other refusal, for example an immutable policy that was to change.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer; the call may have taken effect.
    #[error("the vault is unavailable")]
    Unavailable(#[source] Unavailable),
}

/// Why a key was not released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The vault could not verify the attestation token.
    #[error("the vault does not accept the attestation token")]
    TokenRefused(#[source] Answer),
    /// The token is good and does not meet the key's release policy.
    #[error("the attestation does not meet the key's release policy")]
    PolicyNotMet(#[source] Answer),
    /// The call failed for a reason that has nothing to do with attestation.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeyError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "check the vault, the key's name and its version",
            Self::Deleted(_) => "recover the key, or purge it where purge protection allows",
            Self::Changing(_) => "wait a minute and run again",
            Self::Disabled(_) => "enable the version, if it is meant to be used",
            Self::Denied(_) => {
                "assign the role on the key or vault, and check the vault's firewall; a new role takes minutes to act"
            }
            Self::Throttled(_) => "wait a minute and run again",
            Self::Rejected(_) => "read Azure's message",
            Self::Malformed(_) => "check that the address is that of a key vault",
            Self::Unavailable(_) => "check the network and Azure's status, then run again",
        }
    }
}

impl ReleaseError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::TokenRefused(_) => {
                "check that the release policy's authority is the attestation provider's address"
            }
            Self::PolicyNotMet(_) => {
                "compare the token's claims with the release policy: policy hash, HOST_DATA, compliance"
            }
            Self::Key(error) => error.remedy(),
        }
    }
}

impl From<Fault> for KeyError {
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

/// Both refusals of a release are 403 with the inner code `AccessDenied`; only their texts differ.
impl From<Fault> for ReleaseError {
    fn from(fault: Fault) -> Self {
        let error = KeyError::from(fault);
        if let KeyError::Denied(answer) = error {
            if answer.message().contains(STATEMENT) {
                return Self::TokenRefused(answer);
            }
            if answer.message().contains(POLICY) {
                return Self::PolicyNotMet(answer);
            }
            return Self::Key(KeyError::Denied(answer));
        }
        Self::Key(error)
    }
}

const STATEMENT: &str = "attestation statement cannot be verified";
const POLICY: &str = "does not meet key release policy";
