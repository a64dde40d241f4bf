//! What the caller of the agent learns when the application is not started.

use std::error::Error;

use attester::AttesterError;
use protocol::attest::RefusalCode;
use server_client::{CallError, Refused};

use crate::audit::AuditError;
use crate::config::ConfigError;
use crate::evidence_file::EvidenceFault;
use crate::hand_over::HandOverError;
use crate::recovery::RecoveryFault;
use crate::release::{AskError, MeetingError, Outlook};
use crate::revocation::ListsError;

/// Why the application is not started.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The configuration.
    #[error("the configuration")]
    Config(#[source] ConfigError),
    /// A command that does not fit the configuration.
    #[error("the configuration delivers {variable} in the environment, which only `run` can")]
    NeedsRun {
        /// The variable.
        variable: String,
    },
    /// The revocation lists that the command names.
    #[error("the revocation list")]
    Lists(#[from] ListsError),
    /// The server.
    #[error(transparent)]
    Meeting(#[from] MeetingError),
    /// The release.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// This machine has no evidence.
    #[error("this machine's evidence")]
    Attester(#[source] AttesterError),
    /// The platform did not say where its files are.
    #[error("the variable {SECURITY_CONTEXT} is not set")]
    NoSecurityContext,
    /// The local cloud did not say where its machine is.
    #[error("the variable {INSECURE_MACHINE} is not set")]
    NoMachine,
    /// The application.
    #[error("handing the secrets over")]
    HandOver(#[from] HandOverError),
    /// An exported audit log.
    #[error("the audit log")]
    Audit(#[from] AuditError),
    /// A copy of a store.
    #[error("the copy of the store")]
    Recovery(#[from] RecoveryFault),
    /// A file of evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceFault),
    /// The agent itself.
    #[error("starting the agent")]
    Start(#[source] std::io::Error),
}

/// The exit statuses; they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// The server is not the expected one.
    NotTrusted,
    /// The server refused this workload.
    Refused,
    /// The server cannot be reached or cannot answer now.
    Unavailable,
    /// The configuration or the agent's memory.
    Config,
    /// This machine gives no evidence.
    NoEvidence,
    /// A file cannot be written or the program not started.
    HandOver,
    /// An audit log does not prove what it says.
    NotProved,
    /// A copy of a store does not open.
    NotOpened,
    /// A file of evidence does not pass.
    EvidenceRefused,
    /// A file of evidence, or one beside it, is not what it should be.
    EvidenceFile,
}

impl ExitStatus {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::NotTrusted => 10,
            Self::Refused => 11,
            Self::Unavailable => 12,
            Self::Config => 13,
            Self::NoEvidence => 14,
            Self::HandOver => 15,
            Self::NotProved => 16,
            Self::NotOpened => 17,
            Self::EvidenceRefused => 18,
            Self::EvidenceFile => 19,
        }
    }
}

impl Fault {
    /// With which status the agent ends.
    #[must_use]
    pub const fn status(&self) -> ExitStatus {
        match self {
            Self::Config(_)
            | Self::NeedsRun { .. }
            | Self::Lists(_)
            | Self::Meeting(MeetingError::Memory(_)) => ExitStatus::Config,
            Self::Meeting(MeetingError::Untrusted(_) | MeetingError::Rollback(_)) => {
                ExitStatus::NotTrusted
            }
            Self::Meeting(MeetingError::Evidence(call))
            | Self::Ask(AskError::Challenge(call) | AskError::Attest(call)) => of_call(call),
            Self::Meeting(
                MeetingError::Connect(_) | MeetingError::NoList(_) | MeetingError::NoRandomness,
            )
            | Self::Ask(AskError::Sealed(_) | AskError::Answer(_) | AskError::Missing { .. })
            | Self::Start(_) => ExitStatus::Unavailable,
            Self::Ask(AskError::Evidence(_))
            | Self::Attester(_)
            | Self::NoSecurityContext
            | Self::NoMachine => ExitStatus::NoEvidence,
            Self::HandOver(_) => ExitStatus::HandOver,
            Self::Audit(_) => ExitStatus::NotProved,
            Self::Recovery(_) => ExitStatus::NotOpened,
            Self::Evidence(fault) if fault.is_refusal() => ExitStatus::EvidenceRefused,
            Self::Evidence(_) => ExitStatus::EvidenceFile,
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub const fn outlook(&self) -> Outlook {
        match self {
            Self::Meeting(error) => error.outlook(),
            Self::Ask(error) => error.outlook(),
            Self::Config(_)
            | Self::NeedsRun { .. }
            | Self::Lists(_)
            | Self::Attester(_)
            | Self::NoSecurityContext
            | Self::NoMachine
            | Self::HandOver(_)
            | Self::Audit(_)
            | Self::Recovery(_)
            | Self::Evidence(_)
            | Self::Start(_) => Outlook::Lasting,
        }
    }

    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Meeting(MeetingError::Memory(_)) => {
                "move the state file away if this deployment was made anew, and only then"
            }
            Self::Meeting(MeetingError::NoList(_)) => {
                "permit connections to kdsintf.amd.com, or give a list with --crl"
            }
            Self::Lists(_) => {
                "give AMD's list in DER, as https://kdsintf.amd.com/vcek/v1/Milan/crl has it"
            }
            Self::NeedsRun { .. } => "use `vouchsafe-agent run`, or deliver into a file",
            Self::Ask(AskError::Evidence(error)) | Self::Attester(error) => error.remedy(),
            Self::NoSecurityContext => {
                "run in a confidential container group, or with `cargo xtask local enclave`"
            }
            Self::Audit(_) => "export the log again; if it is refused again, believe the refusal",
            Self::Recovery(_) => "bring more holders, or another copy",
            Self::NoMachine => "run with `cargo xtask local enclave --vm`",
            Self::Evidence(fault) => fault.remedy(),
            Self::HandOver(_) => "check the folder of the file and the command",
            Self::Config(_) | Self::Meeting(_) | Self::Ask(_) | Self::Start(_) => {
                match self.status() {
                    ExitStatus::NotTrusted => {
                        "compare deployment, signers, minima and roots with the deployment's lock"
                    }
                    ExitStatus::Refused => {
                        "ask an operator what the audit log says of this request"
                    }
                    ExitStatus::Unavailable => "check the address, and that the server serves",
                    ExitStatus::Config
                    | ExitStatus::NoEvidence
                    | ExitStatus::HandOver
                    | ExitStatus::NotProved
                    | ExitStatus::NotOpened
                    | ExitStatus::EvidenceRefused
                    | ExitStatus::EvidenceFile => "correct the configuration",
                }
            }
        }
    }
}

const fn of_call(error: &CallError) -> ExitStatus {
    match error {
        CallError::Refused(Refused {
            code: RefusalCode::RateLimited | RefusalCode::Unavailable | RefusalCode::Sealed,
            ..
        }) => ExitStatus::Unavailable,
        CallError::Refused(_) => ExitStatus::Refused,
        CallError::Broken(_)
        | CallError::TimedOut
        | CallError::TooLarge
        | CallError::NotAnAnswer { .. }
        | CallError::Question => ExitStatus::Unavailable,
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The variable by which the guest agent of the platform says where its files are.
pub const SECURITY_CONTEXT: &str = "UVM_SECURITY_CONTEXT_DIR";
/// The variable by which the local cloud says where its virtual machine is.
pub const INSECURE_MACHINE: &str = "VOUCHSAFE_INSECURE_MACHINE";
