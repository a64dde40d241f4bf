//! Why a call to Resource Manager failed.

use std::time::Duration;

use crate::call::{Answer, Call, Fault, Malformed, Unavailable};

/// Why a call to Resource Manager failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArmError {
    /// There is no such resource, resource group or subscription.
    #[error("the resource does not exist")]
    NotFound(#[source] Answer),
    /// The resource is in another state than the call needs, or its name is taken.
    #[error("the resource is in another state, or its name is taken")]
    Conflict(#[source] Answer),
    /// A role is missing.
    #[error("not authorized")]
    Denied(#[source] Answer),
    /// Too many requests, even after waiting.
    #[error("throttled")]
    Throttled(#[source] Answer),
    /// Any other refusal.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The operation was accepted, ran, and failed or was cancelled.
    #[error("the operation failed")]
    Failed(#[source] Answer),
    /// The operation was accepted and is not done after the longest wait.
    #[error("{call}: not done after {} minutes", waited.as_secs() / 60)]
    TimedOut {
        /// The call.
        call: Call,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer; the call may have taken effect.
    #[error("resource manager is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl ArmError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "check subscription, resource group and name in the manifest",
            Self::Conflict(answer) => match answer.code() {
                "RoleAssignmentExists" => {
                    "the assignment exists under another name; remove that one"
                }
                "VaultAlreadyExists" | "StorageAccountAlreadyTaken" | "AlreadyInUse" => {
                    "names are global: choose another in the manifest"
                }
                _ => "wait until the other operation on the resource is done, then run again",
            },
            Self::Denied(_) => {
                "assign Owner, or Contributor with Role Based Access Control Administrator, on the resource group"
            }
            Self::Throttled(_) => "wait a minute and run again",
            Self::Rejected(answer) if answer.code() == "MissingSubscriptionRegistration" => {
                "register the resource provider: az provider register --namespace NAME"
            }
            Self::Rejected(_) | Self::Failed(_) => "read Azure's message",
            Self::TimedOut { .. } => "look at the resource in the portal, then run again",
            Self::Malformed(_) => "run again; if it persists, this is a fault of ours",
            Self::Unavailable(_) => "check the network and Azure's status, then run again",
        }
    }
}

impl From<Fault> for ArmError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => match answer.status() {
                404 => Self::NotFound(answer),
                409 => Self::Conflict(answer),
                401 | 403 => Self::Denied(answer),
                429 => Self::Throttled(answer),
                _ => Self::Rejected(answer),
            },
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}
