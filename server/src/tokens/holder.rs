//! Whom a token is for, and for how long.

use std::collections::BTreeMap;

use evidence::Sha256;
use jiff::{SignedDuration, Timestamp};
use manifest::{ClaimName, ExactText, HttpsUrl, Manifest, Name, Operator, Workload};
use serde::{Deserialize, Serialize};

use super::{Accessor, TokenError};
use crate::audit::Caller;

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Holder {
    /// An operator of the manifest.
    Operator(String),
    /// A workload of the manifest.
    Workload(String),
}

/// For how long a token holds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// At first.
    pub first: SignedDuration,
    /// With all renewals.
    pub most: SignedDuration,
}

impl Lifetime {
    /// Of an operator's token: as long as the manifest says a login lasts.
    #[must_use]
    pub fn operator(operator: &Operator) -> Self {
        let most = SignedDuration::from_mins(i64::from(operator.token_minutes));
        Self { first: most, most }
    }

    /// Of a workload's token: short, since its evidence is of one moment.
    #[must_use]
    pub const fn workload() -> Self {
        Self { first: SignedDuration::from_mins(15), most: SignedDuration::from_mins(60) }
    }
}

/// What may be said of a token.
#[derive(Debug, Clone)]
pub struct About {
    /// Whose it is.
    pub holder: Holder,
    /// Its public name.
    pub accessor: Accessor,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it ends with all renewals.
    pub latest: Timestamp,
}

impl About {
    /// Whole seconds that are left.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> u64 {
        seconds(self.expires.duration_since(now))
    }

    /// Whether a renewal could prolong it.
    #[must_use]
    pub fn renewable(&self) -> bool {
        self.expires < self.latest
    }
}

impl Holder {
    /// The name of its policy.
    #[must_use]
    pub fn policy(&self) -> String {
        match self {
            Self::Operator(name) => format!("operator-{name}"),
            Self::Workload(name) => format!("workload-{name}"),
        }
    }

    /// The name in the manifest.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operator(name) | Self::Workload(name) => name,
        }
    }

    /// As the audit log has it.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match self {
            Self::Operator(name) => Caller::Operator(name.clone()),
            Self::Workload(name) => Caller::Workload(name.clone()),
        }
    }
}

/// What a holder must meet to get a token; other conditions in a later manifest end the tokens given before.
pub(super) fn rules(manifest: &Manifest, holder: &Holder) -> Result<Sha256, TokenError> {
    #[derive(Serialize)]
    enum Rules<'a> {
        Operator(&'a HttpsUrl, &'a ExactText, &'a BTreeMap<ClaimName, ExactText>),
        Workload(&'a Workload),
    }
    let name: Name = holder.name().parse().map_err(|_| TokenError::NoHolder)?;
    let rules = match holder {
        Holder::Operator(_) => {
            let operator = manifest.operator().get(&name).ok_or(TokenError::NoHolder)?;
            Rules::Operator(&operator.issuer, &operator.audience, &operator.claims)
        }
        Holder::Workload(_) => {
            Rules::Workload(manifest.workload().get(&name).ok_or(TokenError::NoHolder)?)
        }
    };
    let text = serde_jcs::to_vec(&rules).map_err(|_| TokenError::Record)?;
    Ok(Sha256::of(&text))
}

/// Whole seconds of a span, none if it is past.
#[must_use]
pub fn seconds(span: SignedDuration) -> u64 {
    u64::try_from(span.as_secs()).unwrap_or(0)
}
