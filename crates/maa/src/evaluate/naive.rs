//! A second evaluator, written straight from the semantics with no thought of speed: a policy is
//! a list of sentences, and a claim is looked at afresh for every one of them.

#![expect(clippy::wildcard_enum_match_arm, reason = "written as the documentation speaks")]

use std::collections::BTreeMap;

use super::*;
use crate::policy::{
    Action, Condition, Expression, Function, Operator, Policy, Property, Section, Sense, Subject,
};

type Named = BTreeMap<String, Vec<Claim>>;

/// What came of it: issued claims and properties, or the reason against.
pub(super) fn evaluate(
    policy: &Policy,
    incoming: &ClaimSet,
) -> Result<(Vec<Claim>, Vec<Claim>), Refusal> {
    let service: Vec<Claim> = incoming
        .claims()
        .iter()
        .filter(|claim| claim.issuer == Issuer::AttestationService)
        .cloned()
        .collect();
    let mut world = incoming.claims().to_vec();
    let (mut permits, mut denies, mut issued, mut properties) = (0, 0, vec![], vec![]);
    for section in Section::ALL {
        for rule in policy.rules(section) {
            let mut named = Named::new();
            let mut holds = true;
            for condition in &rule.conditions {
                if holds {
                    let matching = matching(&world, &named, condition)?;
                    holds = match condition.sense {
                        Sense::Present => !matching.is_empty(),
                        Sense::Absent => matching.is_empty(),
                    };
                    if let Some(name) = &condition.name {
                        named.insert(name.as_str().to_owned(), matching);
                    }
                }
            }
            if !holds {
                continue;
            }
            match &rule.action {
                Action::Permit => permits += 1,
                Action::Deny => denies += 1,
                Action::Add(subject) => world.extend(made(&named, subject)?),
                Action::IssueProperty(subject) => {
                    world.extend(made(&named, subject)?);
                    properties.extend(made(&named, subject)?);
                }
                Action::Issue(subject) => {
                    for claim in made(&named, subject)? {
                        let namesakes: Vec<_> =
                            service.iter().filter(|known| known.kind == claim.kind).collect();
                        let taken = is_service_name(&claim.kind) || !namesakes.is_empty();
                        if taken && namesakes.iter().all(|known| known.value != claim.value) {
                            return Err(Refusal::ServiceClaim(claim.kind));
                        }
                        world.push(claim.clone());
                        if section != Section::Authorization {
                            issued.push(claim);
                        }
                    }
                }
            }
        }
        if section == Section::Authorization {
            if denies > 0 {
                return Err(Refusal::Deny);
            }
            if permits == 0 {
                return Err(Refusal::NoPermit);
            }
        }
    }
    Ok((issued, properties))
}

fn matching(world: &[Claim], named: &Named, condition: &Condition) -> Result<Vec<Claim>, Refusal> {
    let mut found = vec![];
    for claim in world {
        let answers: Vec<Result<bool, Refusal>> = condition
            .tests
            .iter()
            .map(|test| {
                let right = single(list(named, &test.operand)?)?;
                holds(&part(claim, test.property), test.operator, &right)
            })
            .collect();
        if answers.contains(&Ok(false)) {
            continue;
        }
        // The last refusal is as good as any.
        if let Some(Err(refusal)) = answers.iter().rfind(|answer| answer.is_err()) {
            return Err(refusal.clone());
        }
        found.push(claim.clone());
    }
    Ok(found)
}

fn holds(left: &Value, operator: Operator, right: &Value) -> Result<bool, Refusal> {
    let alike = left.type_name() == right.type_name();
    Ok(match (operator, left, right) {
        (Operator::Equal, ..) => left == right,
        (Operator::NotEqual, ..) if !alike => {
            return Err(Refusal::NotSupported("`!=` between values of different types"));
        }
        (Operator::NotEqual, ..) => left != right,
        (Operator::Less, Value::Integer(left), Value::Integer(right)) => left < right,
        (Operator::LessOrEqual, Value::Integer(left), Value::Integer(right)) => left <= right,
        (Operator::Greater, Value::Integer(left), Value::Integer(right)) => left > right,
        (Operator::GreaterOrEqual, Value::Integer(left), Value::Integer(right)) => left >= right,
        _ => false,
    })
}

fn part(claim: &Claim, property: Property) -> Value {
    match property {
        Property::Type => Value::Text(claim.kind.clone()),
        Property::Value => claim.value.clone(),
        Property::ValueType => Value::Text(claim.value.type_name().into()),
        Property::Issuer => Value::Text(claim.issuer.as_str().into()),
    }
}

fn made(named: &Named, subject: &Subject) -> Result<Vec<Claim>, Refusal> {
    match subject {
        Subject::Claim(name) => Ok(named[name.as_str()].clone()),
        Subject::New { kind, value } => {
            let Value::Text(kind) = single(list(named, kind)?)? else {
                return Err(Refusal::NotSupported("another value where a string is needed"));
            };
            let make =
                |value| Claim { kind: kind.clone(), value, issuer: Issuer::AttestationPolicy };
            Ok(list(named, value)?.into_iter().map(make).collect())
        }
    }
}

fn single(mut values: Vec<Value>) -> Result<Value, Refusal> {
    values.sort();
    values.dedup();
    match values.len() {
        0 => Err(Refusal::NotSupported("no value where one is needed")),
        1 => Ok(values.remove(0)),
        _ => Err(Refusal::NotSupported("several values where one is needed")),
    }
}

fn list(named: &Named, expression: &Expression) -> Result<Vec<Value>, Refusal> {
    let not_a_string = Refusal::NotSupported("another value where a string is needed");
    let (function, arguments) = match expression {
        Expression::Boolean(value) => return Ok(vec![Value::Boolean(*value)]),
        Expression::Integer(value) => return Ok(vec![Value::Integer(*value)]),
        Expression::Text(text) if text.raw().replace("\\\"", "").contains('\\') => {
            return Err(Refusal::NotSupported("an escape other than that of the quotation mark"));
        }
        Expression::Text(text) => return Ok(vec![Value::Text(text.raw().replace("\\\"", "\""))]),
        Expression::Property { of, property } => {
            return Ok(named[of.as_str()].iter().map(|claim| part(claim, *property)).collect());
        }
        Expression::Call { function, arguments } => (function, arguments),
    };
    let mut given = vec![];
    for argument in arguments {
        given.push(list(named, argument)?);
    }
    let last = given.pop().unwrap();
    match function {
        Function::JmesPath => Err(Refusal::NotSupported("the function `JmesPath`")),
        Function::IsSubsetOf => {
            Ok(vec![Value::Boolean(given[0].iter().all(|value| last.contains(value)))])
        }
        Function::ContainsOnlyValue => {
            let last = single(last)?;
            Ok(vec![Value::Boolean(
                !given[0].is_empty() && given[0].iter().all(|value| *value == last),
            )])
        }
        Function::AppendString => match (single(given.remove(0))?, single(last)?) {
            (Value::Text(first), Value::Text(last)) => Ok(vec![Value::Text(first + &last)]),
            _ => Err(not_a_string),
        },
        Function::NegateBool => match single(last)? {
            Value::Boolean(value) => Ok(vec![Value::Boolean(!value)]),
            _ => Err(Refusal::NotSupported("another value where a Boolean is needed")),
        },
        Function::JsonToClaimValue => {
            let Value::Text(text) = single(last)? else { return Err(not_a_string) };
            let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else {
                return Err(Refusal::NotSupported("text that is not JSON"));
            };
            let mut values = vec![];
            for member in json.as_array().cloned().unwrap_or(vec![json]) {
                values.push(match member {
                    serde_json::Value::Null => continue,
                    serde_json::Value::Bool(value) => Value::Boolean(value),
                    serde_json::Value::String(value) => Value::Text(value),
                    serde_json::Value::Number(number) if number.is_i64() => {
                        Value::Integer(number.as_i64().unwrap())
                    }
                    _ => return Err(Refusal::NotSupported("JSON that is no claim's value")),
                });
            }
            Ok(values)
        }
    }
}
