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

/// A value that may be borrowed from a claim or a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View<'a> {
    Boolean(bool),
    Integer(i64),
    Text(Cow<'a, str>),
}

impl<'a> View<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Integer(value) => Self::Integer(*value),
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Boolean(value) => Value::Boolean(value),
            Self::Integer(value) => Value::Integer(value),
            Self::Text(text) => Value::Text(text.into_owned()),
        }
    }
}

/// The value of an expression where one is needed. Nearly all are literals, which take no list.
pub(super) fn value<'a>(
    claims: &'a [Claim],
    bindings: &Bindings<'_>,
    expression: &'a Expression,
) -> Result<View<'a>, Refusal> {
    match expression {
        Expression::Boolean(value) => Ok(View::Boolean(*value)),
        Expression::Integer(value) => Ok(View::Integer(*value)),
        Expression::Text(text) => text
            .value()
            .map(View::Text)
            .map_err(|_| Refusal::NotSupported("an escape other than that of the quotation mark")),
        Expression::Property { .. } | Expression::Call { .. } => {
            one(&values(claims, bindings, expression)?).cloned()
        }
    }
}

/// The values of an expression.
pub(super) fn values<'a>(
    claims: &'a [Claim],
    bindings: &Bindings<'_>,
    expression: &'a Expression,
) -> Result<Vec<View<'a>>, Refusal> {
    Ok(match expression {
        Expression::Boolean(_) | Expression::Integer(_) | Expression::Text(_) => {
            vec![value(claims, bindings, expression)?]
        }
        Expression::Property { of, property } => {
            matched(claims, bindings, of).map(|claim| self::property(claim, *property)).collect()
        }
        Expression::Call { function, arguments } => {
            let arguments = arguments.iter().map(|argument| values(claims, bindings, argument));
            call(*function, &arguments.collect::<Result<Vec<_>, _>>()?)?
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
pub(super) fn property(claim: &Claim, property: Property) -> View<'_> {
    match property {
        Property::Type => View::Text(Cow::Borrowed(&claim.kind)),
        Property::Value => View::of(&claim.value),
        Property::ValueType => View::Text(Cow::Borrowed(claim.value.type_name())),
        Property::Issuer => View::Text(Cow::Borrowed(claim.issuer.as_str())),
    }
}

/// The one value on which a list agrees.
pub(super) fn one<'v, 'a>(values: &'v [View<'a>]) -> Result<&'v View<'a>, Refusal> {
    match values {
        [] => Err(Refusal::NotSupported("no value where one is needed")),
        [first, rest @ ..] if rest.iter().all(|value| value == first) => Ok(first),
        _ => Err(Refusal::NotSupported("several values where one is needed")),
    }
}

/// The one string on which a list agrees.
pub(super) fn one_text<'v>(values: &'v [View<'_>]) -> Result<&'v str, Refusal> {
    match one(values)? {
        View::Text(text) => Ok(text),
        View::Boolean(_) | View::Integer(_) => {
            Err(Refusal::NotSupported("another value where a string is needed"))
        }
    }
}

/// "Azure Attestation claim rule functions supported in policy version 1.2".
fn call(function: Function, arguments: &[Vec<View<'_>>]) -> Result<Vec<View<'static>>, Refusal> {
    match (function, arguments) {
        (Function::JmesPath, _) => Err(Refusal::NotSupported("the function `JmesPath`")),
        (Function::JsonToClaimValue, [json]) => json_values(one_text(json)?),
        (Function::IsSubsetOf, [some, all]) => {
            Ok(vec![View::Boolean(some.iter().all(|value| all.contains(value)))])
        }
        (Function::AppendString, [first, second]) => {
            let (first, second) = (one_text(first)?, one_text(second)?);
            if first.len().saturating_add(second.len()) > super::MAX_STRINGS {
                return Err(Refusal::TooLarge);
            }
            Ok(vec![View::Text(Cow::Owned([first, second].concat()))])
        }
        (Function::NegateBool, [value]) => match one(value)? {
            View::Boolean(value) => Ok(vec![View::Boolean(!value)]),
            View::Integer(_) | View::Text(_) => {
                Err(Refusal::NotSupported("another value where a Boolean is needed"))
            }
        },
        (Function::ContainsOnlyValue, [set, value]) => {
            let value = one(value)?;
            Ok(vec![View::Boolean(!set.is_empty() && set.iter().all(|member| member == value))])
        }
        (_, _) => Err(Refusal::NotSupported("another number of arguments")),
    }
}

/// Integers, Booleans and strings; arrays of them, with null left out; null alone is no value.
fn json_values(text: &str) -> Result<Vec<View<'static>>, Refusal> {
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
        .map(|member| match Value::from_json(member) {
            Some(Value::Boolean(value)) => Ok(View::Boolean(value)),
            Some(Value::Integer(value)) => Ok(View::Integer(value)),
            Some(Value::Text(text)) => Ok(View::Text(Cow::Owned(text))),
            None => Err(Refusal::NotSupported("JSON that is no claim's value")),
        })
        .collect()
}
