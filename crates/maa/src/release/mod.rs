//! Release policies: which tokens make Key Vault hand a key out.
//!
//! The language is that of Key Vault's "Secure key release policy grammar": `anyOf` over
//! authorities, in each `anyOf` or `allOf` over conditions, nestable; a condition names a claim
//! (`a.b` reaches into objects), an operator and a value.
//!
//! A vault stores the policy re-serialised, so texts are never compared: `==` here compares
//! meaning. Order, repetition, white space, an authority's slash at the end, the version and the
//! spelling of a value (`true` or `"true"`) do not count.
//!
//! Values are compared by their canonical text, as published policies need (`"equals":"false"`
//! matches a Boolean claim). A missing claim, an array and an object meet no condition but
//! `exists`. An ordering operator holds for integers only. What is not in the grammar is refused,
//! and so are fractions and integers of more than 64 bits, which it has: no public text says how a
//! vault spells them, and no claim of the attestation service is one.

mod evaluate;
mod grammar;
#[cfg(test)]
mod naive;
mod print;
#[cfg(test)]
mod tests;

pub use evaluate::{Denied, Found, Permitted, Trace, Verdict, evaluate};
pub use grammar::ReleaseError;

/// A release policy.
#[derive(Clone, Debug)]
pub struct ReleasePolicy {
    version: Version,
    any_of: Vec<Authority>,
}

impl ReleasePolicy {
    /// Reads a release policy from JSON.
    ///
    /// # Errors
    /// If it does not follow the grammar, or is larger than [`MAX_POLICY`] bytes.
    pub fn parse(json: &[u8]) -> Result<Self, ReleaseError> {
        grammar::parse(json)
    }

    /// Reads a release policy from the `data` of a key's `release_policy`: base64url of JSON.
    ///
    /// # Errors
    /// If it is not base64url (padding or not), or as [`Self::parse`].
    pub fn from_data(data: &str) -> Result<Self, ReleaseError> {
        let json = crate::encoding::from_base64url(data.trim_end())
            .map_err(|_| ReleaseError::Base64url)?;
        grammar::parse(&json)
    }

    /// The `data` of a key's `release_policy`: base64url of the canonical JSON.
    #[must_use]
    pub fn to_data(&self) -> String {
        crate::encoding::to_base64url(self.to_string().as_bytes())
    }

    /// The version of the language.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The authorities, any of which will do; at least one.
    #[must_use]
    pub fn authorities(&self) -> &[Authority] {
        &self.any_of
    }
}

/// A version of the release-policy language. Both mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `1.0.0`
    V1_0_0,
    /// `0.2`, the old form.
    V0_2,
}

/// An issuer of tokens, and what its tokens must say.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The issuer: an address.
    pub authority: String,
    /// What must hold.
    pub group: Group,
}

/// Conditions that belong together; at least one.
#[derive(Clone, Debug)]
pub enum Group {
    /// One must hold.
    AnyOf(Vec<Condition>),
    /// All must hold.
    AllOf(Vec<Condition>),
}

/// A condition on a token's claims.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Conditions within.
    Group(Group),
    /// A comparison of one claim.
    Claim {
        /// The claim's name; dots reach into objects.
        claim: String,
        /// How it is compared.
        operator: Operator,
        /// What it is compared with.
        value: Scalar,
    },
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `equals`
    Equals,
    /// `notEquals`
    NotEquals,
    /// `less`, integers only.
    Less,
    /// `lessOrEquals`, integers only.
    LessOrEquals,
    /// `greater`, integers only.
    Greater,
    /// `greaterOrEquals`, integers only.
    GreaterOrEquals,
    /// `exists`: whether the claim is there.
    Exists,
}

impl Operator {
    /// The operator's name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "notEquals",
            Self::Less => "less",
            Self::LessOrEquals => "lessOrEquals",
            Self::Greater => "greater",
            Self::GreaterOrEquals => "greaterOrEquals",
            Self::Exists => "exists",
        }
    }
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A Boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A string.
    Text(String),
}

impl Scalar {
    /// The canonical text by which values are compared.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

impl PartialEq for ReleasePolicy {
    /// Whether both let the same tokens through, by the rules of this module.
    fn eq(&self, other: &Self) -> bool {
        Meaning::of(self) == Meaning::of(other)
    }
}

impl Eq for ReleasePolicy {}

/// What a policy means: sorted, without repetition, flat where nesting says nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Claim(String, Operator, String),
    Authority(String, Box<Self>),
    AnyOf(Vec<Self>),
    AllOf(Vec<Self>),
}

impl Meaning {
    fn of(policy: &ReleasePolicy) -> Self {
        let authority = |authority: &Authority| {
            let name = trim_authority(&authority.authority).to_owned();
            Self::Authority(name, Box::new(Self::of_group(&authority.group)))
        };
        Self::any(policy.any_of.iter().map(authority).collect())
    }

    fn of_group(group: &Group) -> Self {
        match group {
            Group::AnyOf(conditions) => {
                Self::any(conditions.iter().map(Self::of_condition).collect())
            }
            Group::AllOf(conditions) => {
                Self::all(conditions.iter().map(Self::of_condition).collect())
            }
        }
    }

    fn of_condition(condition: &Condition) -> Self {
        match condition {
            Condition::Group(group) => Self::of_group(group),
            Condition::Claim { claim, operator, value } => {
                Self::Claim(claim.clone(), *operator, value.canonical())
            }
        }
    }

    fn any(members: Vec<Self>) -> Self {
        let flat = members.into_iter().flat_map(|member| match member {
            Self::AnyOf(inner) => inner,
            other @ (Self::Claim(..) | Self::Authority(..) | Self::AllOf(_)) => vec![other],
        });
        Self::sorted(flat.collect(), Self::AnyOf)
    }

    fn all(members: Vec<Self>) -> Self {
        let flat = members.into_iter().flat_map(|member| match member {
            Self::AllOf(inner) => inner,
            other @ (Self::Claim(..) | Self::Authority(..) | Self::AnyOf(_)) => vec![other],
        });
        Self::sorted(flat.collect(), Self::AllOf)
    }

    fn sorted(mut members: Vec<Self>, group: fn(Vec<Self>) -> Self) -> Self {
        members.sort();
        members.dedup();
        match members.pop() {
            Some(only) if members.is_empty() => only,
            Some(last) => {
                members.push(last);
                group(members)
            }
            None => group(members),
        }
    }
}

/// An issuer without the slash that published policies put at its end.
fn trim_authority(authority: &str) -> &str {
    authority.strip_suffix('/').unwrap_or(authority)
}

/// The largest release policy that is read, in bytes.
pub const MAX_POLICY: usize = 256 * 1024;

/// How deep conditions may nest.
pub const MAX_DEPTH: usize = 16;
