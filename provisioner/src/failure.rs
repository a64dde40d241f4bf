//! Why a command ended without what was asked for: what was being done, the cause, and one line saying what to try.

use std::error::Error;
use std::fmt;

/// The exit codes, which are listed in the help and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error: the answer of a service, a file, the network.
    Error = 1,
    /// `plan`: Azure differs from the manifest; `verify`: there are faults; `explain`: no; `lint`: there are findings.
    Drift = 2,
    /// Something would have to be done that is never done silently; `diff`: something is weakened.
    Refused = 3,
    /// Somebody else is deploying.
    Busy = 4,
    /// The attestation policy has to be signed elsewhere before this goes on.
    Unsigned = 5,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Drift => 2,
            Self::Refused => 3,
            Self::Busy => 4,
            Self::Unsigned => 5,
        }
    }
}

/// An end without the result.
#[derive(Debug)]
pub struct Failure {
    doing: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    remedy: String,
    exit: Exit,
}

impl Failure {
    /// What failed, and what to try.
    pub fn new(doing: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { doing: doing.into(), cause: None, remedy: remedy.into(), exit: Exit::Error }
    }

    /// What failed because of what, and what to try.
    pub fn of(
        doing: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(doing, remedy) }
    }

    /// Something that is refused until the remedy is chosen.
    pub fn refused(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(what, remedy) }
    }

    /// With another exit code.
    #[must_use]
    pub fn exiting(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// One line saying what to try.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| -> &(dyn Error + 'static) { cause })
    }
}

/// Adds to a library's error what was being done.
pub trait While<T> {
    /// Says what was being done when it failed; the remedy is the library's.
    fn during(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

macro_rules! with_remedy {
    ($($error:ty),+ $(,)?) => {
        $(impl<T> While<T> for Result<T, $error> {
            fn during(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
                self.map_err(|error| {
                    let remedy = error.remedy();
                    Failure::of(doing(), error, remedy)
                })
            }
        })+
    };
}

with_remedy!(
    azure::AuthError,
    azure::arm::ArmError,
    azure::blob::LeaseError,
    azure::blob::StoreSetupError,
    azure::keys::KeyError,
    azure::maa::MaaError,
    azure::registry::RegistryError,
    azure::secrets::SecretError,
);

/// Something that can only be a fault of ours, or of the machine.
pub fn ours(doing: &'static str) -> impl Fn() -> Failure {
    move || Failure::new(doing, "this is a fault of ours; please report it")
}
