//! Expressions, and the two things that stand before one in a condition.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a token that is not expected is a fault, whatever it is"
)]

use winnow::{Parser, error::ModalError as _, token::any};

use super::super::{
    Expression, Function, Ident, MAX_DEPTH, Operator, ParseErrorKind, Property, Section, Text,
    Version, lexer::Kind,
};
use super::input::{Fault, Input, Mode, Parsed, expected, here, next, sign, unsupported};

pub(super) fn property(input: &mut Input<'_, '_>) -> Parsed<Property> {
    let found = match next(input)? {
        Kind::Word("type") => Property::Type,
        Kind::Word("value") => Property::Value,
        Kind::Word("valueType") => Property::ValueType,
        Kind::Word("issuer") => Property::Issuer,
        _ => return Err(expected(input, &["`type`", "`value`", "`valueType`", "`issuer`"]).cut()),
    };
    any.parse_next(input)?;
    Ok(found)
}

pub(super) fn operator(input: &mut Input<'_, '_>) -> Parsed<Operator> {
    let found = match next(input)? {
        Kind::Sign("==" | "=") => Operator::Equal,
        Kind::Sign("!=") => Operator::NotEqual,
        Kind::Sign("<") => Operator::Less,
        Kind::Sign("<=") => Operator::LessOrEqual,
        Kind::Sign(">") => Operator::Greater,
        Kind::Sign(">=") => Operator::GreaterOrEqual,
        _ => return Err(expected(input, &["`==`", "`!=`", "`<`", "`<=`", "`>`", "`>=`"]).cut()),
    };
    any.parse_next(input)?;
    Ok(found)
}

pub(super) fn expression(input: &mut Input<'_, '_>) -> Parsed<Expression> {
    let at = here(input);
    let found = match next(input)? {
        Kind::Word("true") => Expression::Boolean(true),
        Kind::Word("false") => Expression::Boolean(false),
        Kind::Integer(number) => Expression::Integer(number),
        Kind::Text(text) => {
            if text.contains('\\') && input.state.version < Version::V1_2 {
                return Err(unsupported(here(input), "an escape in a string before version 1.2"));
            }
            Expression::Text(Text(text.to_owned()))
        }
        Kind::Word(word) if !is_reserved(word) => {
            any.parse_next(input)?;
            return match next(input)? {
                Kind::Sign("(") => call(at, word, input),
                Kind::Sign(".") => {
                    any.parse_next(input)?;
                    let property = property(input)?;
                    Ok(Expression::Property { of: known_name(input, at, word)?, property })
                }
                _ => Err(expected(input, &["`.`", "`(`"])),
            };
        }
        _ => {
            return Err(expected(
                input,
                &["an integer", "`true`", "`false`", "a string", "`name.value`"],
            ));
        }
    };
    any.parse_next(input)?;
    Ok(found)
}

pub(super) fn call(at: usize, name: &str, input: &mut Input<'_, '_>) -> Parsed<Expression> {
    let Some(function) = Function::ALL.into_iter().find(|function| function.as_str() == name)
    else {
        return Err(unsupported(at, &format!("the function `{name}`")));
    };
    if input.state.version < Version::V1_2 {
        return Err(unsupported(at, "functions before version 1.2"));
    }
    if input.state.depth >= MAX_DEPTH {
        let what = format!("function calls nested deeper than {MAX_DEPTH}");
        return Err(Fault { at, kind: ParseErrorKind::TooLarge(what), mode: Mode::Cut });
    }
    input.state.depth += 1;
    sign("(").parse_next(input)?;
    let mut arguments = vec![expression(input)?];
    while arguments.len() < function.arity() {
        sign(",").parse_next(input)?;
        arguments.push(expression(input)?);
    }
    sign(")").parse_next(input)?;
    input.state.depth -= 1;
    Ok(Expression::Call { function, arguments })
}

pub(super) fn known_name(input: &Input<'_, '_>, at: usize, name: &str) -> Parsed<Ident> {
    if input.state.names.contains(&name) {
        return Ok(Ident(name.to_owned()));
    }
    let expected = vec!["the name of an earlier condition of this rule".to_owned()];
    let kind = ParseErrorKind::Syntax { expected, found: Kind::Word(name).describe() };
    Err(Fault { at, kind, mode: Mode::Cut })
}

pub(super) fn is_reserved(word: &str) -> bool {
    matches!(word, "true" | "false" | "type" | "value" | "valueType" | "issuer" | "claim")
        || Section::ALL.iter().any(|section| section.as_str().eq_ignore_ascii_case(word))
}
