//! What is suspicious about a policy that is otherwise sound.
//!
//! A finding is advice: it says what a reviewer should look at, and decides nothing.
//! The linter knows the claims of SEV-SNP evidence and reads rules to the letter; what is hidden
//! behind names and functions it does not see, and then it says nothing.

mod known;
mod policy;
mod release;
#[cfg(test)]
mod tests;

use std::fmt;

pub use policy::policy;
pub use release::{Mutability, ReleaseFinding, release};

use crate::policy::{Line, Section};

/// Something suspicious about a rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's section.
    pub section: Section,
    /// The rule's place in its section, from 0.
    pub rule: usize,
    /// Where the rule begins.
    pub line: Line,
    /// What is suspicious.
    pub kind: FindingKind,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, line {}: {}", self.section.as_str(), self.line.0, self.kind)
    }
}

/// What is suspicious about a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindingKind {
    /// A permit has no condition.
    #[error("permits everything that has sound evidence")]
    PermitsEverything,
    /// A guest that allows debugging can get a permit.
    #[error("a guest that allows debugging can meet this permit, and no rule denies it")]
    PermitsDebug,
    /// A permit asks for no TCB level of some components.
    #[error("the permit asks for no least {}", .0.join(", "))]
    NoFloor(Vec<&'static str>),
    /// A permit asks for no HOST_DATA.
    #[error("the permit does not say which HOST_DATA")]
    NoHostData,
    /// A condition cannot hold.
    #[error("`{condition}` can never match: {reason}")]
    NeverMatches {
        /// The condition.
        condition: String,
        /// Why not.
        reason: String,
    },
    /// A condition does not say which claim it means.
    #[error("`{0}` does not say which type of claim it means")]
    AnyClaim(String),
    /// The rule makes a claim of a service claim's name.
    #[error("makes a claim `{0}`, which is a claim of the service")]
    ServiceClaim(String),
    /// An authorization rule issues a claim.
    #[error(
        "issues a claim that reaches no token, since it is an authorization rule: `add` does the same"
    )]
    IssuedTooEarly,
    /// The rule adds nothing to an earlier one.
    #[error("adds nothing to the rule on line {}", .0.0)]
    Shadowed(Line),
    /// A deny applies wherever the permit does.
    #[error("permits nothing, since the rule on line {} denies whatever it permits", .0.0)]
    Overruled(Line),
    /// Another permit asks for the same but for a lower TCB level, so this level keeps nobody out.
    #[error(
        "the TCB level is not comparable across products: no claim names the product, and the permit on line {} is the same with a lower level", .0.0
    )]
    LevelWithoutEffect(Line),
}
