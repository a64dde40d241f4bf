//! Would this get the master key: the attestation policy first, then the release policy.

use std::collections::BTreeSet;

use evidence::HostData;
use jiff::Timestamp;
use jiff::civil::Date;
use maa::evaluate::{ClaimSet, Denied, Outcome as RuleOutcome, Refusal, Trace, evaluate};
use maa::policy::{Action, Condition, Policy, Section, parse};
use maa::release;
use manifest::Manifest;
use serde_json::{Map, Value, json};

use super::claims::Origin;
use super::{Explained, Outcome, Step, Subject, Verdict};
use crate::{AttestationPolicy, MasterKey, RenderError};

/// HOST_DATA of the deployment's own server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// It was measured, or stated.
    Known(HostData),
    /// It is not known, and why.
    Unknown(String),
}

/// Says whether these claims would get the master key.
///
/// Where the own server's HOST_DATA is not known, the claims' own value is taken for it: if even that does not help, the
/// answer is no, and else it depends.
///
/// # Errors
/// A policy that cannot be rendered.
pub fn master_key(
    manifest: &Manifest,
    own: &Own,
    subject: &Subject,
    now: Timestamp,
    today: Date,
) -> Result<Explained, RenderError> {
    let shown = subject.claims.get(HOST_DATA).and_then(Value::as_str);
    let assumed = shown.and_then(|text| text.parse::<HostData>().ok());
    let mut permitted: BTreeSet<HostData> = manifest.permitted(today).collect();
    permitted.extend(match own {
        Own::Known(host_data) => Some(*host_data),
        // Claims without one get nothing, whatever the server's is.
        Own::Unknown(_) => Some(assumed.unwrap_or(HostData::new([0; 32]))),
    });
    let attestation = AttestationPolicy::new(manifest, &permitted)?;
    let key = MasterKey::new(manifest, &attestation, &permitted)?;
    let mut claims = subject.claims.clone();
    let ours = json!(attestation.hash().as_str());
    match (subject.origin, own) {
        (Origin::Evidence, _) => {
            claims.insert("iss".to_owned(), json!(manifest.attestation().address.as_str()));
            claims.insert(POLICY_HASH.to_owned(), ours);
        }
        // The policy is not known to the letter, so neither is its hash.
        (Origin::Token, Own::Unknown(_)) => drop(claims.insert(POLICY_HASH.to_owned(), ours)),
        (Origin::Token, Own::Known(_)) => {}
    }
    let mut steps = subject.steps.clone();
    steps.push(attested(&attestation, &claims)?);
    steps.push(released(&key, &claims));
    if subject.origin == Origin::Token {
        steps.push(in_time(&claims, now));
    }
    let refuses = |steps: &[Step]| steps.iter().any(|step| step.outcome == Outcome::Refuses);
    let mut refused = refuses(&steps);
    if let Some(guest) = &subject.guest {
        let ways = machine(&key, manifest, guest);
        refused = refused && refuses(&ways);
        steps.extend(ways);
    }
    let verdict = match (refused, own) {
        (true, _) => Verdict::No,
        (false, Own::Known(_)) => Verdict::Yes,
        (false, Own::Unknown(why)) => {
            let shown = shown.unwrap_or_default();
            Verdict::Unknown(format!(
                "only if {shown} is the HOST_DATA of the server, which is not known here: {why}"
            ))
        }
    };
    let mut notes = Vec::new();
    if subject.origin == Origin::Token {
        notes.push("the token's signature was not checked".to_owned());
    }
    if subject.guest.is_some() {
        notes.push("a deployment's server is a container group, never a virtual machine: this can be a workload's evidence only, and --secret asks what it would get".to_owned());
        notes.push("runtime claims and quote were not looked at".to_owned());
    }
    notes.push("the attestation policy sees neither the processor's product nor the utility VM's security version; the server's own verifiers check both".to_owned());
    Ok(Explained { wanted: "the master key".to_owned(), verdict, steps, notes })
}

/// Whether there would be a token.
fn attested(
    rendered: &AttestationPolicy,
    claims: &Map<String, Value>,
) -> Result<Step, RenderError> {
    let policy = parse(rendered.text()).map_err(RenderError::AttestationPolicy)?;
    let claims = ClaimSet::from_token(claims);
    let (outcome, why) = match evaluate(&policy, &claims) {
        Ok(outgoing) => (Outcome::Passes, vec![permitted_by(&policy, outgoing.trace())]),
        Err(denied) => (Outcome::Refuses, refused_by(&policy, &denied)),
    };
    Ok(Step { name: "attestation policy", outcome, why })
}

fn permitted_by(policy: &Policy, trace: &Trace) -> String {
    let rules = policy.rules(Section::Authorization);
    let permit = trace.steps().iter().find_map(|step| match (&step.outcome, step.section) {
        (RuleOutcome::Applied { .. }, Section::Authorization) => {
            rules.get(step.rule).filter(|rule| rule.action == Action::Permit)
        }
        _ => None,
    });
    let line = permit.map_or(0, |rule| rule.line.0);
    format!("the permit on line {line} applies: a token is issued")
}

/// The other way for a virtual machine: a token for its own kind of evidence.
fn machine(key: &MasterKey, manifest: &Manifest, guest: &Map<String, Value>) -> [Step; 2] {
    let mut claims = guest.clone();
    claims.insert("iss".to_owned(), json!(manifest.attestation().address.as_str()));
    let why = "a virtual machine's own kind of evidence is judged by the provider's policy for AzureGuest: a deployment sets none, and the text of the default is not public";
    let policy = Step {
        name: "attestation policy for AzureGuest",
        outcome: Outcome::Unseen,
        why: vec![why.to_owned()],
    };
    [policy, Step { name: "release policy for AzureGuest", ..released(key, &claims) }]
}

/// The rule that denied; or of the permits the one that came nearest, and what it failed at.
fn refused_by(policy: &Policy, denied: &Denied) -> Vec<String> {
    let trace = denied.trace();
    let rules = policy.rules(Section::Authorization);
    let mut lines = vec![denied.refusal().to_string()];
    let claims = |places: &[usize]| -> Vec<String> {
        let found = places.iter().filter_map(|place| trace.claims().get(*place));
        found.map(|claim| format!("found {claim}")).collect()
    };
    let steps = trace.steps().iter().filter(|step| step.section == Section::Authorization);
    let steps = steps.filter_map(|step| Some((rules.get(step.rule)?, &step.outcome)));
    match denied.refusal() {
        Refusal::Deny => {
            let denies = steps.filter(|(rule, _)| rule.action == Action::Deny);
            for (rule, outcome) in denies {
                if let RuleOutcome::Applied { matched } = outcome {
                    lines.push(format!("the deny on line {} applies:", rule.line.0));
                    lines.extend(rule.conditions.iter().map(Condition::to_string));
                    lines.extend(matched.iter().flat_map(|places| claims(places)));
                    break;
                }
            }
        }
        Refusal::NoPermit => {
            let failed = steps.filter_map(|(rule, outcome)| match outcome {
                RuleOutcome::Failed { condition, near } if rule.action == Action::Permit => {
                    Some((rule, *condition, near))
                }
                RuleOutcome::Failed { .. } | RuleOutcome::Applied { .. } | RuleOutcome::Refused => {
                    None
                }
            });
            // The first of those that held longest.
            let nearest = failed.reduce(|best, next| if next.1 > best.1 { next } else { best });
            if let Some((rule, condition, near)) = nearest {
                let place = condition.saturating_add(1);
                let of = rule.conditions.len();
                lines.push(format!(
                    "the permit on line {} comes nearest; condition {place} of {of} fails:",
                    rule.line.0
                ));
                lines.extend(rule.conditions.get(condition).map(Condition::to_string));
                lines.push(claims(near).join(", "));
                if near.is_empty() {
                    lines.pop();
                    lines.push("no such claim".to_owned());
                }
            }
        }
        Refusal::ServiceClaim(_) | Refusal::NotSupported(_) | Refusal::TooLarge => {}
    }
    lines
}

/// Whether the vault would hand the key out for the token.
fn released(key: &MasterKey, claims: &Map<String, Value>) -> Step {
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let (outcome, why) = match release::evaluate(key.release_policy(), issuer, claims) {
        Ok(permitted) => (
            Outcome::Passes,
            vec![format!("all conditions of the authority {} hold", permitted.authority())],
        ),
        Err(denied) => (Outcome::Refuses, failing(denied.traces())),
    };
    Step { name: "release policy", outcome, why }
}

/// The first condition that fails, and what the token has there.
fn failing(traces: &[release::Trace]) -> Vec<String> {
    let mut next = traces.iter().find(|trace| trace.verdict == release::Verdict::Fails);
    let mut last = None;
    while let Some(trace) = next {
        last = Some(trace);
        next = trace.within.iter().find(|within| within.verdict == release::Verdict::Fails);
        if trace.condition == "anyOf" {
            break;
        }
    }
    let Some(trace) = last else { return Vec::new() };
    let mut lines = vec![format!("`{}` fails{}", trace.condition, found(trace))];
    let within = trace.within.iter();
    lines.extend(within.map(|trace| format!("`{}`{}", trace.condition, found(trace))));
    lines
}

fn found(trace: &release::Trace) -> String {
    match &trace.found {
        Some(release::Found::Value(value)) => format!(", found {}", Value::from(value.as_str())),
        Some(release::Found::Missing) => ", not there".to_owned(),
        Some(release::Found::NotAValue) => ", found no simple value".to_owned(),
        None => String::new(),
    }
}

/// A vault takes no token that has expired.
fn in_time(claims: &Map<String, Value>, now: Timestamp) -> Step {
    const NAME: &str = "validity";
    let expires = claims.get("exp").and_then(Value::as_i64);
    match expires.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        None => Step {
            name: NAME,
            outcome: Outcome::Refuses,
            why: vec!["the token has no `exp`".to_owned()],
        },
        Some(expires) if expires <= now => {
            let why = vec![format!("the token expired at {expires}")];
            Step { name: NAME, outcome: Outcome::Refuses, why }
        }
        Some(expires) => {
            let why = vec![format!("the token expires at {expires}")];
            Step { name: NAME, outcome: Outcome::Passes, why }
        }
    }
}

const HOST_DATA: &str = "x-ms-sevsnpvm-hostdata";
const POLICY_HASH: &str = "x-ms-policy-hash";
