//! Why a call to the attestation provider failed.

use crate::call::{Answer, Fault, Malformed, Unavailable};

/// Why a call to the provider failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaaError {
    /// The provider's policy denied, or did not permit, the evidence.
    #[error("the attestation policy does not permit the evidence")]
    PolicyDenied(#[source] Answer),
    /// The policy is not in the policy language.
    #[error("the attestation policy is not valid")]
    PolicyInvalid(#[source] Answer),
    /// The evidence or another parameter is not acceptable.
    #[error("the evidence or a parameter is not acceptable")]
    ParameterInvalid(#[source] Answer),
    /// The provider does not allow the change: on an isolated provider, only its signers may change policies.
    #[error("the provider disallows the change")]
    Disallowed(#[source] Answer),
    /// There is no such provider or route.
    #[error("the provider does not exist")]
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
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer.
    #[error("the attestation service is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl MaaError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::PolicyDenied(_) => {
                "compare the evidence with the provider's policy: HOST_DATA, debug, TCB floor"
            }
            Self::PolicyInvalid(_) => "check the policy's syntax",
            Self::ParameterInvalid(_) => {
                "check that report, certificates and endorsement belong together"
            }
            Self::Disallowed(_) => {
                "sign the policy with one of the provider's policy-signing certificates"
            }
            Self::NotFound(_) => "check the provider's name and region in the manifest",
            Self::Denied(_) => {
                "assign Attestation Contributor on the provider; a new role takes minutes to act"
            }
            Self::Throttled(_) => "wait a minute and run again",
            Self::Rejected(_) => "read Azure's message",
            Self::Malformed(_) => "check that the address is that of an attestation provider",
            Self::Unavailable(_) => "check the network and Azure's status, then run again",
        }
    }
}

impl From<Fault> for MaaError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => match (answer.status(), answer.code()) {
                (400, "PolicyEvaluationError") => Self::PolicyDenied(answer),
                (400, "PolicyParsingError") => Self::PolicyInvalid(answer),
                (400, "InvalidParameter") => Self::ParameterInvalid(answer),
                (400, "InvalidOperation") => Self::Disallowed(answer),
                (401 | 403, _) => Self::Denied(answer),
                (404, _) => Self::NotFound(answer),
                (429, _) => Self::Throttled(answer),
                _ => Self::Rejected(answer),
            },
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}
