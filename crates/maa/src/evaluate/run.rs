//! The evaluation itself.

use super::{
    Claim, ClaimSet, Denied, Issuer, MAX_CLAIMS, MAX_STRINGS, Outcome, Outgoing, Refusal, Step,
    Trace, Value,
    claims::is_service_name,
    expression::{Bindings, View, matched, one_text, property, value, values},
    trace::near,
};
use crate::policy::{Action, Condition, Operator, Policy, Rule, Section, Sense, Subject, Test};

/// Evaluates a policy on the incoming claims.
///
/// 1. Configuration rules apply, in text order.
/// 2. Authorization rules apply, in text order, all of them.
/// 3. A deny refuses, whatever the order; then a missing permit does.
/// 4. Issuance rules apply, in text order.
///
/// A rule that cannot be evaluated refuses at once.
///
/// # Errors
/// With the reason, and the trace up to there.
pub fn evaluate(policy: &Policy, incoming: &ClaimSet) -> Result<Outgoing, Denied> {
    let mut run = Run {
        incoming: incoming.claims().len(),
        trace: Trace { claims: incoming.claims().to_vec(), steps: Vec::new() },
        strings: 0,
        permitted: Permission::Missing,
        issued: Vec::new(),
        properties: Vec::new(),
    };
    match run.policy(policy) {
        Ok(()) => Ok(Outgoing { issued: run.issued, properties: run.properties, trace: run.trace }),
        Err(refusal) => Err(Denied { refusal, trace: run.trace }),
    }
}

struct Run {
    /// How many of the claims came from outside.
    incoming: usize,
    trace: Trace,
    /// How many bytes the strings have that rules made.
    strings: usize,
    permitted: Permission,
    issued: Vec<Claim>,
    properties: Vec<Claim>,
}

#[derive(Clone, Copy)]
enum Permission {
    Missing,
    Given,
    Denied,
}

impl Run {
    fn policy(&mut self, policy: &Policy) -> Result<(), Refusal> {
        if self.incoming > MAX_CLAIMS {
            return Err(Refusal::TooLarge);
        }
        for section in Section::ALL {
            for (index, rule) in policy.rules(section).iter().enumerate() {
                self.trace.steps.push(Step { section, rule: index, outcome: Outcome::Refused });
                let outcome = self.rule(section, rule)?;
                if let Some(step) = self.trace.steps.last_mut() {
                    step.outcome = outcome;
                }
            }
            if section == Section::Authorization {
                match self.permitted {
                    Permission::Denied => return Err(Refusal::Deny),
                    Permission::Missing => return Err(Refusal::NoPermit),
                    Permission::Given => {}
                }
            }
        }
        Ok(())
    }

    fn rule(&mut self, section: Section, rule: &Rule) -> Result<Outcome, Refusal> {
        let mut bindings = Bindings::default();
        let mut all = Vec::with_capacity(rule.conditions.len());
        for (index, condition) in rule.conditions.iter().enumerate() {
            let found = matches(&self.trace.claims, &bindings, condition)?;
            if found.is_empty() == (condition.sense == Sense::Present) {
                let near = near(&self.trace.claims, condition, found);
                return Ok(Outcome::Failed { condition: index, near });
            }
            if let Some(name) = &condition.name {
                bindings.0.push((name, found.clone()));
            }
            all.push(found);
        }
        match &rule.action {
            Action::Deny => self.permitted = Permission::Denied,
            Action::Permit => {
                if let Permission::Missing = self.permitted {
                    self.permitted = Permission::Given;
                }
            }
            Action::Add(subject) => drop(self.make(&bindings, subject)?),
            Action::Issue(subject) => {
                let made = self.make(&bindings, subject)?;
                for claim in &made {
                    self.guard(claim)?;
                }
                if section == Section::Issuance {
                    self.issued.extend(made);
                }
            }
            Action::IssueProperty(subject) => {
                let made = self.make(&bindings, subject)?;
                self.properties.extend(made);
            }
        }
        Ok(Outcome::Applied { matched: all })
    }

    /// Makes the claims of an action and adds them to the incoming set.
    fn make(&mut self, bindings: &Bindings<'_>, subject: &Subject) -> Result<Vec<Claim>, Refusal> {
        let claims = &self.trace.claims;
        let made: Vec<Claim> = match subject {
            Subject::Claim(name) => matched(claims, bindings, name).cloned().collect(),
            Subject::New { kind, value } => {
                let kind = values(claims, bindings, kind)?;
                let kind = one_text(&kind)?;
                let values = values(claims, bindings, value)?.into_iter().map(View::into_value);
                let issuer = Issuer::AttestationPolicy;
                values.map(|value| Claim { kind: kind.to_owned(), value, issuer }).collect()
            }
        };
        self.strings = made.iter().map(length).fold(self.strings, usize::saturating_add);
        if self.strings > MAX_STRINGS || claims.len().saturating_add(made.len()) > MAX_CLAIMS {
            return Err(Refusal::TooLarge);
        }
        self.trace.claims.extend(made.iter().cloned());
        Ok(made)
    }

    /// Refuses a claim of a service claim's name with a value that the service did not give.
    fn guard(&self, claim: &Claim) -> Result<(), Refusal> {
        let mut given = self.trace.claims.iter().take(self.incoming);
        let by_service =
            |known: &&Claim| known.issuer == Issuer::AttestationService && known.kind == claim.kind;
        let values: Vec<&Value> =
            given.by_ref().filter(by_service).map(|known| &known.value).collect();
        let reserved = is_service_name(&claim.kind) || !values.is_empty();
        if reserved && !values.contains(&&claim.value) {
            return Err(Refusal::ServiceClaim(claim.kind.clone()));
        }
        Ok(())
    }
}

fn length(claim: &Claim) -> usize {
    let value = match &claim.value {
        Value::Text(text) => text.len(),
        Value::Boolean(_) | Value::Integer(_) => 0,
    };
    claim.kind.len().saturating_add(value)
}

/// The claims that pass all tests of a condition, as places in the set.
///
/// A claim that fails a test does not match, whatever the other tests; if none fails and one has
/// no defined answer, the evaluation is refused.
fn matches(
    claims: &[Claim],
    bindings: &Bindings<'_>,
    condition: &Condition,
) -> Result<Vec<usize>, Refusal> {
    let tests: Vec<_> =
        condition.tests.iter().map(|test| (test, value(claims, bindings, &test.operand))).collect();
    let mut found = Vec::new();
    for (place, claim) in claims.iter().enumerate() {
        let mut answer = Ok(Answer::Passed);
        for (test, operand) in &tests {
            match operand.as_ref().map_err(Clone::clone).and_then(|it| compare(claim, test, it)) {
                Ok(Answer::Passed) => {}
                Ok(Answer::Failed) => {
                    answer = Ok(Answer::Failed);
                    break;
                }
                Err(refusal) => answer = Err(refusal),
            }
        }
        if let Answer::Passed = answer? {
            found.push(place);
        }
    }
    Ok(found)
}

enum Answer {
    Passed,
    Failed,
}

fn compare(claim: &Claim, test: &Test, operand: &View<'_>) -> Result<Answer, Refusal> {
    let found = property(claim, test.property);
    let passed = match (&found, operand) {
        (View::Integer(left), View::Integer(right)) => match test.operator {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
            Operator::Greater => left > right,
            Operator::GreaterOrEqual => left >= right,
        },
        (View::Boolean(_), View::Boolean(_)) | (View::Text(_), View::Text(_)) => {
            match test.operator {
                Operator::Equal => found == *operand,
                Operator::NotEqual => found != *operand,
                Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual => false,
            }
        }
        _ if test.operator == Operator::NotEqual => {
            return Err(Refusal::NotSupported("`!=` between values of different types"));
        }
        _ => false,
    };
    Ok(if passed { Answer::Passed } else { Answer::Failed })
}
