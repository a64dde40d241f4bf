//! What a policy makes of the claims of some evidence: a token's claims, or a refusal.
//!
//! The semantics are those of Microsoft's public documentation ("claim and claim rules", "policy
//! version 1.0" to "1.2", "claim rule functions"):
//!
//! - configuration, authorization and issuance rules apply in this order, each in text order;
//! - a condition holds if at least one claim of the incoming set passes all its tests, a negated
//!   one if none does; all claims that pass are what the condition's name means;
//! - `add` adds to the incoming set, `issue` to the incoming and the outgoing set (in an authorization
//!   rule to the incoming set only: "no claims can be issued from this section to the response
//!   token"), `issueproperty` to the incoming and the property set; claims that a policy makes have the
//!   issuer `AttestationPolicy`; a name that means several claims makes several;
//! - after the authorization rules, a deny refuses, whatever else happened, and so does a missing
//!   permit.
//!
//! Public text leaves gaps. Where the answer could matter the evaluation is refused as
//! [`Refusal::NotSupported`]: `JmesPath`, of which public text says neither the dialect nor how its
//! answer is spelt (a string with quotation marks in one place, without in another); `!=` between
//! unlike types; a name that means several different values where one is needed; an escape of
//! unknown meaning; a function's error.
//! Two choices are ours: `claim=c` passes the claim on as it is, issuer included, and a policy may
//! not issue a claim of a service claim's name with a value that the service did not give
//! ([`Refusal::ServiceClaim`]).

mod claims;
mod expression;
#[cfg(test)]
mod naive;
mod run;
#[cfg(test)]
mod tests;
mod trace;

pub(crate) use claims::is_service_name;
pub use claims::{Claim, ClaimSet, Issuer, Value};
pub use run::evaluate;
pub(crate) use trace::wanted_type;
pub use trace::{Outcome, Step, Trace};

/// The claims and properties that a policy issued. It stands for a permit without a deny.
#[derive(Debug)]
pub struct Outgoing {
    issued: Vec<Claim>,
    properties: Vec<Claim>,
    trace: Trace,
}

impl Outgoing {
    /// The issued claims, in order. A claim may be there more than once.
    #[must_use]
    pub fn issued(&self) -> &[Claim] {
        &self.issued
    }

    /// The properties that were set, in order.
    #[must_use]
    pub fn properties(&self) -> &[Claim] {
        &self.properties
    }

    /// What each rule did.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The issued claims as a token carries them, at top level and in `x-ms-policy`.
    ///
    /// Several claims of one type become an array of their values; that form is inferred.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut json = serde_json::Map::new();
        for claim in &self.issued {
            let value = claim.value.to_json();
            match json.get_mut(&claim.kind) {
                Some(serde_json::Value::Array(values)) => values.push(value),
                Some(first) => *first = serde_json::Value::Array(vec![first.take(), value]),
                None => drop(json.insert(claim.kind.clone(), value)),
            }
        }
        json
    }
}

/// A policy refused the claims.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Denied {
    refusal: Refusal,
    trace: Trace,
}

impl Denied {
    /// Why.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// What each rule did, up to the one that could not be evaluated, if that is the reason.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// Why a policy refused the claims. The first two texts are the service's, the others are ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A deny rule applied.
    #[error("Policy Engine Exception: A Deny claim was issued, authorization failed.")]
    Deny,
    /// No permit rule applied.
    #[error(
        "Policy Engine Exception: No Permit claim was issued in the authorizationrules section, authorization failed."
    )]
    NoPermit,
    /// The policy issues a claim that only the service may issue.
    #[error("the policy issues `{0}`, a claim of the service, with a value of its own")]
    ServiceClaim(String),
    /// Public text does not say what the service does here.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
    /// The rules make too many or too long claims.
    #[error("the policy makes more claims than are evaluated here")]
    TooLarge,
}

/// The most claims that an evaluation holds.
pub const MAX_CLAIMS: usize = 4096;

/// The most bytes that the strings of claims made by a policy may have together.
pub const MAX_STRINGS: usize = 1024 * 1024;
