//! Would this get the master key, or that secret? And if not, what is in the way?
//!
//! [`master_key()`] walks the attestation policy and the release policy that a manifest means, [`secret()`] the verification
//! of evidence and the appraisal that a server performs. Both say the same as the services and the server would, because
//! they evaluate the same texts with the same code; both decide nothing.
//!
//! The server is a container group, so evidence of a virtual machine gets the master key from no manifest; what the two
//! policies say to it is shown all the same. A workload may be either.
//!
//! Nothing is trusted here. A token's signature is not checked, since that needs the provider's keys of its day; a report
//! may come without certificates, and then the answer says that the hardware was not verified. Freshness is never judged:
//! evidence in a file is old.

mod claims;
mod file;
mod master_key;
mod secret;
mod show;

use std::fmt;

pub use claims::Subject;
pub use file::{Container, Machine, Material, NotEvidence, NotToken, evidence_file, token_file};
pub use master_key::{Own, master_key};
pub use secret::{NoSuchSecret, secret};
pub use show::{json, text};

/// Whether it would get what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Yes,
    /// No: the first step that fails says why.
    No,
    /// It depends on what is not known here.
    Unknown(String),
}

/// How a step came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It passes.
    Passes,
    /// It refuses.
    Refuses,
    /// It was not performed.
    Unseen,
}

/// One step on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is asked.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// Why, a line each: the first failing rule with the actual value, or the rule that applied.
    pub why: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What was asked for.
    pub wanted: String,
    /// The answer.
    pub verdict: Verdict,
    /// The way to it.
    pub steps: Vec<Step>,
    /// What was not looked at.
    pub notes: Vec<String>,
}

impl Outcome {
    /// The outcome's name for programs, which does not change.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Refuses => "refuses",
            Self::Unseen => "unseen",
        }
    }
}

impl Verdict {
    /// The verdict's name for programs, which does not change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes | Self::No => f.write_str(self.code()),
            Self::Unknown(why) => write!(f, "it depends: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
