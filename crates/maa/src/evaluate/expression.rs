//! The values of expressions.
//!
//! An expression's value is a list of values: one for a literal, one for each claim that a name
//! means, any number for JSON. Where the language needs one value, all of the list must agree.

use std::borrow::Cow;

use super::{Claim, Refusal, Value};
use crate::policy::{Expression, Function, Ident, Property};

/// The claims that the names of a rule's conditions mean so far, as places in the incoming set.
#[derive(Debug, Default)]
pub(super) struct Bindings<'p>(pub(super) Vec<(&'p Ident, Vec<usize>)>);

/// The values of an expression.
pub(super) fn values<'a>(
    claims: &'a [Claim],
    bindings: &Bindings<'_>,
    expression: &'a Expression,
) -> Result<Vec<Cow<'a, Value>>, Refusal> {
    Ok(match expression {
        Expression::Boolean(value) => vec![Cow::Owned(Value::Boolean(*value))],
        Expression::Integer(value) => vec![Cow::Owned(Value::Integer(*value))],
        Expression::Text(text) => match text.value() {
            Ok(text) => vec![Cow::Owned(Value::Text(text.into_owned()))],
            Err(_) => {
                return Err(Refusal::NotSupported(
                    "an escape other than that of the quotation mark",
                ));
            }
        },
        Expression::Property { of, property } => {
            matched(claims, bindings, of).map(|claim| self::property(claim, *property)).collect()
        }
        Expression::Call { function, arguments } => {
            let arguments = arguments.iter().map(|argument| values(claims, bindings, argument));
            call(*function, &arguments.collect::<Result<Vec<_>, _>>()?)?
                .into_iter()
                .map(Cow::Owned)
                .collect()
        }
    })
}

/// The claims that a name means.
pub(super) fn matched<'a>(
    claims: &'a [Claim],
    bindings: &Bindings<'_>,
    name: &Ident,
) -> impl Iterator<Item = &'a Claim> {
    let places =
        bindings.0.iter().find(|(bound, _)| *bound == name).map(|(_, places)| places.clone());
    places.unwrap_or_default().into_iter().filter_map(|place| claims.get(place))
}

/// A property of a claim.
pub(super) fn property(claim: &Claim, property: Property) -> Cow<'_, Value> {
    match property {
        Property::Type => Cow::Owned(Value::Text(claim.kind.clone())),
        Property::Value => Cow::Borrowed(&claim.value),
        Property::ValueType => Cow::Owned(Value::Text(claim.value.type_name().to_owned())),
        Property::Issuer => Cow::Owned(Value::Text(claim.issuer.as_str().to_owned())),
    }
}

/// The one value on which a list agrees.
pub(super) fn one<'v>(values: &'v [Cow<'_, Value>]) -> Result<&'v Value, Refusal> {
    match values {
        [] => Err(Refusal::NotSupported("no value where one is needed")),
        [first, rest @ ..] if rest.iter().all(|value| value == first) => Ok(first),
        _ => Err(Refusal::NotSupported("several values where one is needed")),
    }
}

/// The one string on which a list agrees.
pub(super) fn one_text<'v>(values: &'v [Cow<'_, Value>]) -> Result<&'v str, Refusal> {
    match one(values)? {
        Value::Text(text) => Ok(text),
        Value::Boolean(_) | Value::Integer(_) => {
            Err(Refusal::NotSupported("another value where a string is needed"))
        }
    }
}

/// "Azure Attestation claim rule functions supported in policy version 1.2".
fn call(function: Function, arguments: &[Vec<Cow<'_, Value>>]) -> Result<Vec<Value>, Refusal> {
    match (function, arguments) {
        (Function::JmesPath, _) => Err(Refusal::NotSupported("the function `JmesPath`")),
        (Function::JsonToClaimValue, [json]) => json_values(one_text(json)?),
        (Function::IsSubsetOf, [some, all]) => {
            Ok(vec![Value::Boolean(some.iter().all(|value| all.contains(value)))])
        }
        (Function::AppendString, [first, second]) => {
            let (first, second) = (one_text(first)?, one_text(second)?);
            if first.len().saturating_add(second.len()) > super::MAX_STRINGS {
                return Err(Refusal::TooLarge);
            }
            Ok(vec![Value::Text([first, second].concat())])
        }
        (Function::NegateBool, [value]) => match one(value)? {
            Value::Boolean(value) => Ok(vec![Value::Boolean(!value)]),
            Value::Integer(_) | Value::Text(_) => {
                Err(Refusal::NotSupported("another value where a Boolean is needed"))
            }
        },
        (Function::ContainsOnlyValue, [set, value]) => {
            let value = one(value)?;
            Ok(vec![Value::Boolean(
                !set.is_empty() && set.iter().all(|member| member.as_ref() == value),
            )])
        }
        (_, _) => Err(Refusal::NotSupported("another number of arguments")),
    }
}

/// Integers, Booleans and strings; arrays of them, with null left out; null alone is no value.
fn json_values(text: &str) -> Result<Vec<Value>, Refusal> {
    let json =
        serde_json::from_str(text).map_err(|_| Refusal::NotSupported("text that is not JSON"))?;
    let members = match json {
        serde_json::Value::Array(members) => members,
        other @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_)
        | serde_json::Value::Object(_)) => vec![other],
    };
    members
        .iter()
        .filter(|member| !member.is_null())
        .map(|member| {
            Value::from_json(member).ok_or(Refusal::NotSupported("JSON that is no claim's value"))
        })
        .collect()
}
