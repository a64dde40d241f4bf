//! Which tokens a release policy lets through, and why.

use std::{cmp::Ordering, fmt};

use serde_json::{Map, Value};

use super::{Authority, Condition, Group, Operator, ReleasePolicy, Scalar, trim_authority};

/// Evaluates a release policy on the claims of a token that the issuer signed.
///
/// The token must have been verified: see [`crate::token::verify`].
///
/// 1. The authority is the issuer; a slash at the end of the policy's authority does not count.
/// 2. All conditions of an `allOf`, or one of an `anyOf`, hold.
///
/// One authority for which both hold is enough.
///
/// # Errors
/// If there is none, with the trace of every authority.
pub fn evaluate(
    policy: &ReleasePolicy,
    issuer: &str,
    claims: &Map<String, Value>,
) -> Result<Permitted, Denied> {
    let mut traces = Vec::with_capacity(policy.any_of.len());
    for authority in &policy.any_of {
        let trace = judge(authority, issuer, claims);
        if trace.verdict == Verdict::Holds {
            return Ok(Permitted { authority: authority.authority.clone(), trace });
        }
        traces.push(trace);
    }
    Err(Denied { traces })
}

/// A release policy lets a token through.
#[derive(Debug)]
pub struct Permitted {
    authority: String,
    trace: Trace,
}

impl Permitted {
    /// The authority whose conditions hold, as the policy writes it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// How each condition came out.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A release policy does not let a token through.
#[derive(Debug, thiserror::Error)]
#[error("no authority of the release policy has all its conditions met")]
pub struct Denied {
    traces: Vec<Trace>,
}

impl Denied {
    /// How the conditions came out, authority by authority.
    #[must_use]
    pub fn traces(&self) -> &[Trace] {
        &self.traces
    }

    /// The traces as text, a line a condition.
    #[must_use]
    pub fn explain(&self) -> String {
        self.traces.iter().map(Trace::to_string).collect()
    }
}

/// How a condition came out, and those within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The condition as text: an authority, `allOf`, `anyOf`, or a comparison.
    pub condition: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What the claims have there; nothing for a group.
    pub found: Option<Found>,
    /// The conditions within.
    pub within: Vec<Self>,
}

/// How a condition came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
}

/// What a token's claims have where a condition looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A Boolean, a number or a string, in canonical text.
    Value(String),
    /// Nothing.
    Missing,
    /// An array, an object or null, which meets no comparison.
    NotAValue,
}

impl fmt::Display for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.indented(out, 0)
    }
}

impl Trace {
    fn indented(&self, out: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Holds => "+",
            Verdict::Fails => "-",
        };
        write!(out, "{:width$}{mark} {}", "", self.condition, width = 2 * depth)?;
        match &self.found {
            Some(Found::Value(value)) => write!(out, ", found {}", Value::from(value.as_str()))?,
            Some(Found::Missing) => write!(out, ", not there")?,
            Some(Found::NotAValue) => write!(out, ", found no simple value")?,
            None => {}
        }
        writeln!(out)?;
        self.within.iter().try_for_each(|within| within.indented(out, depth + 1))
    }
}

fn judge(authority: &Authority, issuer: &str, claims: &Map<String, Value>) -> Trace {
    let condition = format!("authority {}", authority.authority);
    let found = Some(Found::Value(issuer.to_owned()));
    if trim_authority(&authority.authority) != issuer {
        return Trace { condition, verdict: Verdict::Fails, found, within: Vec::new() };
    }
    let group = judge_group(&authority.group, claims);
    Trace { condition, verdict: group.verdict, found, within: vec![group] }
}

/// Judges every condition, also those after the one that decides: the trace shows them all.
fn judge_group(group: &Group, claims: &Map<String, Value>) -> Trace {
    let (name, conditions) = match group {
        Group::AnyOf(conditions) => ("anyOf", conditions),
        Group::AllOf(conditions) => ("allOf", conditions),
    };
    let within: Vec<Trace> =
        conditions.iter().map(|condition| judge_condition(condition, claims)).collect();
    let holds = |trace: &Trace| trace.verdict == Verdict::Holds;
    let verdict = match group {
        Group::AnyOf(_) => within.iter().any(holds),
        // The grammar has no empty group; if there were one it would hold for nobody.
        Group::AllOf(_) => !within.is_empty() && within.iter().all(holds),
    };
    Trace { condition: name.to_owned(), verdict: verdict_of(verdict), found: None, within }
}

fn judge_condition(condition: &Condition, claims: &Map<String, Value>) -> Trace {
    match condition {
        Condition::Group(group) => judge_group(group, claims),
        Condition::Claim { claim, operator, value } => {
            let found = find(claims, claim);
            let verdict = verdict_of(meets(&found, *operator, value));
            let condition = format!("{claim} {} {value}", operator.as_str());
            Trace { condition, verdict, found: Some(found), within: Vec::new() }
        }
    }
}

fn verdict_of(holds: bool) -> Verdict {
    if holds { Verdict::Holds } else { Verdict::Fails }
}

/// What the claims have at a path of names with dots between them.
fn find(claims: &Map<String, Value>, path: &str) -> Found {
    let mut names = path.split('.');
    let first = names.next().and_then(|name| claims.get(name));
    let found = names.fold(first, |found, name| found?.as_object()?.get(name));
    match found {
        None => Found::Missing,
        Some(Value::Bool(value)) => Found::Value(value.to_string()),
        Some(Value::Number(value)) => Found::Value(value.to_string()),
        Some(Value::String(value)) => Found::Value(value.clone()),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) => Found::NotAValue,
    }
}

fn meets(found: &Found, operator: Operator, value: &Scalar) -> bool {
    let value = value.canonical();
    let found = match (operator, found) {
        (Operator::Exists, Found::Missing) => return value == "false",
        (Operator::Exists, Found::Value(_) | Found::NotAValue) => return value == "true",
        (_, Found::Missing | Found::NotAValue) => return false,
        (_, Found::Value(found)) => found,
    };
    let order = match (found.parse::<i64>(), value.parse::<i64>()) {
        (Ok(found), Ok(value)) => Some(found.cmp(&value)),
        _ => None,
    };
    match operator {
        Operator::Equals => *found == value,
        Operator::NotEquals => *found != value,
        Operator::Less => order == Some(Ordering::Less),
        Operator::LessOrEquals => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::GreaterOrEquals => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Exists => false,
    }
}
