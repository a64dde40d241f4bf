//! The two policy languages: what was accepted prints to text that means the same, and evaluating it ends.
//!
//! An input of the evaluators is a policy, a zero byte, and the claims of a token as JSON.

use maa::evaluate::{ClaimSet, evaluate};
use maa::policy;
use maa::release::{self, ReleasePolicy};
use serde_json::{Map, Value};

pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parsed) = policy::parse(text) {
        let printed = parsed.to_string();
        assert_eq!(policy::parse(&printed).as_ref(), Ok(&parsed), "printed as {printed:?}");
    }
}

pub(crate) fn release_policy(data: &[u8]) {
    if let Ok(parsed) = ReleasePolicy::parse(data) {
        let again = ReleasePolicy::from_data(&parsed.to_data());
        assert!(again.is_ok_and(|again| again == parsed), "printed as {}", parsed.to_data());
    }
}

/// The policy and the claims of an input.
fn parts(data: &[u8]) -> Option<(&[u8], Map<String, Value>)> {
    let zero = data.iter().position(|byte| *byte == 0)?;
    let (policy, claims) = data.split_at_checked(zero)?;
    Some((policy, serde_json::from_slice(claims.get(1..)?).ok()?))
}

pub(crate) fn policy_evaluation(data: &[u8]) {
    let Some((text, claims)) = parts(data) else { return };
    let Ok(Ok(parsed)) = std::str::from_utf8(text).map(policy::parse) else { return };
    drop(maa::lint::policy(&parsed));
    match evaluate(&parsed, &ClaimSet::from_token(&claims)) {
        Ok(outgoing) => drop((outgoing.to_json(), outgoing.trace().explain(&parsed))),
        Err(denied) => drop((denied.to_string(), denied.trace().explain(&parsed))),
    }
}

pub(crate) fn release_evaluation(data: &[u8]) {
    let Some((text, claims)) = parts(data) else { return };
    let Ok(parsed) = ReleasePolicy::parse(text) else { return };
    drop(maa::lint::release(&parsed, maa::lint::Mutability::Immutable));
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    match release::evaluate(&parsed, issuer, &claims) {
        Ok(permitted) => drop(permitted.trace().to_string()),
        Err(denied) => drop(denied.explain()),
    }
}
