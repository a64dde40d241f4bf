//! What a rule does.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a token that is not expected is a fault, whatever it is"
)]

use winnow::{Parser, token::any};

use super::super::{Action, Expression, Section, Subject, lexer::Kind};
use super::expression::{expression, known_name};
use super::input::{Fault, Input, Parsed, expected, here, next, sign, unsupported};

pub(super) fn action<'t, 's: 't>(section: Section) -> impl Parser<Input<'t, 's>, Action, Fault> {
    move |input: &mut Input<'t, 's>| {
        let found = next(input)?;
        let allowed: &[&str] = match section {
            Section::Configuration => &["`issueproperty`"],
            Section::Authorization => &["`permit`", "`deny`", "`add`", "`issue`"],
            Section::Issuance => &["`issue`", "`add`", "`issueproperty`"],
        };
        if !matches!(found, Kind::Word(word) if allowed.iter().any(|a| a.trim_matches('`') == word))
        {
            return Err(expected(input, allowed));
        }
        any.parse_next(input)?;
        sign("(").parse_next(input)?;
        let action = match found {
            Kind::Word("permit") => Action::Permit,
            Kind::Word("deny") => Action::Deny,
            Kind::Word("add") => Action::Add(subject(input)?),
            Kind::Word("issue") => Action::Issue(subject(input)?),
            _ => Action::IssueProperty(subject(input)?),
        };
        sign(")").parse_next(input)?;
        Ok(action)
    }
}

pub(super) fn subject(input: &mut Input<'_, '_>) -> Parsed<Subject> {
    if next(input)? == Kind::Word("claim") {
        any.parse_next(input)?;
        sign("=").parse_next(input)?;
        let at = here(input);
        let Kind::Word(name) = next(input)? else {
            return Err(expected(input, &["the name of a condition"]));
        };
        any.parse_next(input)?;
        return Ok(Subject::Claim(known_name(input, at, name)?));
    }
    let mut kind = None;
    let mut value = None;
    if let Kind::Text(_) = next(input)? {
        kind = Some(expression(input)?);
        sign(",").parse_next(input)?;
    }
    loop {
        let slot = match next(input)? {
            Kind::Word("type") if kind.is_none() => &mut kind,
            Kind::Word("value") if value.is_none() => &mut value,
            Kind::Word(property @ ("valueType" | "issuer")) => {
                return Err(unsupported(here(input), &format!("setting `{property}`")));
            }
            _ => {
                let missing: Vec<&str> = [(kind.is_none(), "`type`"), (value.is_none(), "`value`")]
                    .into_iter()
                    .filter_map(|(missing, name)| missing.then_some(name))
                    .collect();
                return Err(expected(input, &missing));
            }
        };
        any.parse_next(input)?;
        sign("=").parse_next(input)?;
        *slot = Some(expression(input)?);
        if let (Some(_), Some(_)) = (&kind, &value) {
            break;
        }
        sign(",").parse_next(input)?;
    }
    match (kind, value) {
        (Some(kind), Some(value)) => match kind {
            Expression::Integer(_) | Expression::Boolean(_) => {
                Err(unsupported(here(input), "a type that is not a string"))
            }
            Expression::Text(_) | Expression::Property { .. } | Expression::Call { .. } => {
                Ok(Subject::New { kind, value })
            }
        },
        _ => Err(expected(input, &["`type`", "`value`"])),
    }
}
