//! What can go wrong between us and a TPM.

use std::path::PathBuf;

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// The device or socket could not be opened, or broke off.
    #[error("speaking to the tpm at {}", .0.display())]
    Device(PathBuf, #[source] std::io::Error),
    /// The TPM refused, with its response code.
    #[error("the tpm refused {command} with code {code:#05x}")]
    Refused {
        /// Which command.
        command: &'static str,
        /// TPM_RC, as part 2 of the specification lists them (section 6.6).
        code: u32,
    },
    /// The answer is not one.
    #[error("malformed {0} in the tpm's answer")]
    Answer(&'static str),
    /// The question is none.
    #[error("{0} does not fit into a command")]
    Command(&'static str),
}

impl TpmError {
    /// Whether the TPM says that there is no such thing: TPM_RC_HANDLE for the first handle.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Refused { code: 0x18b, .. })
    }
}
