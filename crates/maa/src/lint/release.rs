//! Findings about release policies.

use std::collections::BTreeSet;

use super::known::{DEBUGGABLE, HOST_DATA};
use crate::release::{Condition, Group, Operator, ReleasePolicy};

/// Whether a key's release policy can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// It cannot.
    Immutable,
    /// Whoever may write the key can change it.
    Mutable,
}

/// Something suspicious about a release policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseFinding {
    /// It can be changed.
    #[error("the release policy is mutable: whoever may write the key decides who gets it")]
    Mutable,
    /// There are several authorities.
    #[error("{0} authorities may release the key; one is enough for an attacker")]
    SeveralAuthorities(usize),
    /// A guest that allows debugging may get the key.
    #[error("authority {0}: nothing keeps a guest that allows debugging out")]
    NoDebugCheck(String),
    /// Any policy of the provider will do.
    #[error(
        "authority {0}: the policy hash is not asked for, so whoever may set the provider's policy decides"
    )]
    NoPolicyHash(String),
    /// Any HOST_DATA will do.
    #[error("authority {0}: no HOST_DATA is asked for")]
    NoHostData(String),
    /// Nothing is asked for that only the service can say.
    #[error("authority {0}: only claims are asked for that a policy can issue")]
    OnlyIssuable(String),
}

/// Looks for what is suspicious in a key's release policy.
#[must_use]
pub fn release(policy: &ReleasePolicy, mutability: Mutability) -> Vec<ReleaseFinding> {
    let mut findings = Vec::new();
    if mutability == Mutability::Mutable {
        findings.push(ReleaseFinding::Mutable);
    }
    if policy.authorities().len() > 1 {
        findings.push(ReleaseFinding::SeveralAuthorities(policy.authorities().len()));
    }
    for authority in policy.authorities() {
        let name = || authority.authority.clone();
        let asked = demands(&authority.group);
        let named = |claim: &str| asked.iter().any(|demand| demand.claim == claim);
        let not_debuggable = |demand: &Demand| {
            demand.claim == DEBUGGABLE && demand.value.as_deref() == Some("false")
        };
        if !asked.iter().any(not_debuggable) {
            findings.push(ReleaseFinding::NoDebugCheck(name()));
        }
        if !named("x-ms-policy-hash") {
            findings.push(ReleaseFinding::NoPolicyHash(name()));
        }
        if !named(HOST_DATA) {
            findings.push(ReleaseFinding::NoHostData(name()));
        }
        if !asked.iter().any(|demand| crate::evaluate::is_service_name(&demand.claim)) {
            findings.push(ReleaseFinding::OnlyIssuable(name()));
        }
    }
    findings
}

/// A claim that must be equal to something for the key to be released.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Demand {
    /// The claim, without the object that holds the claims of a confidential VM.
    claim: String,
    /// The value, unless several will do.
    value: Option<String>,
}

/// What must hold in every case.
fn demands(group: &Group) -> BTreeSet<Demand> {
    match group {
        Group::AllOf(conditions) => conditions.iter().flat_map(of_condition).collect(),
        Group::AnyOf(conditions) => {
            let mut all = conditions.iter().map(of_condition);
            let first = all.next().unwrap_or_default();
            all.fold(first, |common, next| {
                common.into_iter().filter_map(|demand| either(demand, &next)).collect()
            })
        }
    }
}

fn of_condition(condition: &Condition) -> BTreeSet<Demand> {
    match condition {
        Condition::Group(group) => demands(group),
        Condition::Claim { claim, operator: Operator::Equals, value } => {
            let claim = claim.strip_prefix("x-ms-isolation-tee.").unwrap_or(claim).to_owned();
            BTreeSet::from([Demand { claim, value: Some(value.canonical()) }])
        }
        Condition::Claim { .. } => BTreeSet::new(),
    }
}

/// What is left of a demand if the others may hold in its place.
fn either(demand: Demand, others: &BTreeSet<Demand>) -> Option<Demand> {
    if others.contains(&demand) {
        return Some(demand);
    }
    let same_claim = others.iter().any(|other| other.claim == demand.claim);
    same_claim.then_some(Demand { value: None, ..demand })
}
