//! Tokens to a [`Policy`].
//!
//! Every parser here takes the tokens and what is known so far ([`Known`]), so that what a version
//! does not have is refused at the token that asks for it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a token that is not expected is a fault, whatever it is"
)]

mod action;
mod expression;
mod input;

use winnow::{
    Parser,
    combinator::{cut_err, opt, peek, terminated},
    stream::TokenSlice,
    token::any,
};

use self::action::action;
use self::expression::{expression, is_reserved, operator, property};
use self::input::{
    Fault, Input, Known, LineCounter, Parsed, expected, here, next, sign, sign_or, unsupported,
    word_without_case,
};
use super::{
    Condition, Expression, Ident, Line, MAX_TEXT, ParseError, ParseErrorKind, Policy, Property,
    Rule, Section, Sense, Test, Version,
    lexer::{self, Kind},
};

/// Reads a policy.
///
/// # Errors
/// With the place and what was expected there, if the text does not follow the grammar, asks for
/// what its version does not have or what public text does not define, or is too large.
pub fn parse(text: &str) -> Result<Policy, ParseError> {
    if text.len() > MAX_TEXT {
        let what = format!("a policy of more than {MAX_TEXT} bytes");
        return Err(ParseError::new(ParseErrorKind::TooLarge(what), text, 0));
    }
    let tokens = lexer::tokens(text)?;
    let lines = LineCounter::new(text);
    let known =
        Known { tokens: tokens.len(), version: Version::V1_0, depth: 0, names: Vec::new(), lines };
    let mut input = Input { input: TokenSlice::new(&tokens), state: known };
    policy(&mut input).map_err(|fault| {
        let start = tokens.get(fault.at).or(tokens.last()).map_or(0, |token| token.start);
        ParseError::new(fault.kind, text, start)
    })
}

fn policy(input: &mut Input<'_, '_>) -> Parsed<Policy> {
    word_without_case("version").parse_next(input)?;
    sign("=").parse_next(input)?;
    let version = version(input)?;
    input.state.version = version;
    sign(";").parse_next(input)?;

    let configuration = opt(section(Section::Configuration)).parse_next(input)?;
    let authorization = section(Section::Authorization).parse_next(input)?;
    let issuance = opt(section(Section::Issuance)).parse_next(input)?;
    if next(input)? != Kind::End {
        let or = if issuance.is_none() {
            "`issuancerules` or the end of the text"
        } else {
            "the end of the text"
        };
        return Err(expected(input, &[or]));
    }
    Ok(Policy { version, configuration, authorization, issuance })
}

fn version(input: &mut Input<'_, '_>) -> Parsed<Version> {
    match next(input)? {
        Kind::Version(version) => {
            any.parse_next(input)?;
            Ok(version)
        }
        _ => Err(expected(input, &["`1.0`", "`1.1`", "`1.2`"])),
    }
}

fn section<'t, 's: 't>(section: Section) -> impl Parser<Input<'t, 's>, Vec<Rule>, Fault> {
    move |input: &mut Input<'t, 's>| {
        let head = word_without_case(section.as_str());
        peek(head).parse_next(input)?;
        if section == Section::Configuration && input.state.version < Version::V1_1 {
            return Err(unsupported(here(input), "`configurationrules` before version 1.1"));
        }
        any.parse_next(input)?;
        cut_err(sign("{")).parse_next(input)?;
        let mut rules = Vec::new();
        while next(input)? != Kind::Sign("}") {
            rules.push(cut_err(rule(section)).parse_next(input)?);
        }
        cut_err((sign("}"), sign(";"))).parse_next(input)?;
        Ok(rules)
    }
}

fn rule<'t, 's: 't>(section: Section) -> impl Parser<Input<'t, 's>, Rule, Fault> {
    move |input: &mut Input<'t, 's>| {
        let start = input.input.first().map_or(0, |token| token.start);
        let line = Line(input.state.lines.line(start));
        input.state.names.clear();
        let mut conditions = Vec::new();
        if next(input)? != Kind::Sign("=>") {
            conditions.push(condition(input)?);
            while next(input)? == Kind::Sign("&&") {
                sign("&&").parse_next(input)?;
                conditions.push(condition(input)?);
            }
        }
        sign_or(input, "=>", &["`&&`", "`=>`"])?;
        let action = terminated(action(section), sign(";")).parse_next(input)?;
        Ok(Rule { conditions, action, line })
    }
}

fn condition(input: &mut Input<'_, '_>) -> Parsed<Condition> {
    let mut sense = Sense::Present;
    let mut name = None;
    match next(input)? {
        Kind::Sign("!") if input.state.version < Version::V1_2 => {
            return Err(unsupported(here(input), "a negated condition before version 1.2"));
        }
        Kind::Sign("!") => {
            any.parse_next(input)?;
            sense = Sense::Absent;
            if let Kind::Word(_) = next(input)? {
                return Err(unsupported(
                    here(input),
                    "a name for a negated condition, which matches no claim",
                ));
            }
        }
        Kind::Word(word) => {
            if is_reserved(word) {
                return Err(expected(input, &["a rule", "`}`"]));
            }
            if input.state.names.contains(&word) {
                return Err(unsupported(
                    here(input),
                    &format!("two conditions of the same name `{word}`"),
                ));
            }
            any.parse_next(input)?;
            sign(":").parse_next(input)?;
            name = Some(word);
        }
        Kind::Sign("[") => {}
        _ => return Err(expected(input, &["a condition", "`=>`"])),
    }
    sign("[").parse_next(input)?;
    let mut tests = vec![test(input)?];
    while next(input)? == Kind::Sign(",") {
        any.parse_next(input)?;
        tests.push(test(input)?);
    }
    sign_or(input, "]", &["`,`", "`]`"])?;
    input.state.names.extend(name);
    Ok(Condition { sense, name: name.map(|name| Ident(name.to_owned())), tests })
}

fn test(input: &mut Input<'_, '_>) -> Parsed<Test> {
    let property = property(input)?;
    let operator_at = here(input);
    let operator = operator(input)?;
    if operator.orders() && property != Property::Value {
        let what =
            format!("`{}` for `{}`, which is a string", operator.as_str(), property.as_str());
        return Err(unsupported(operator_at, &what));
    }
    let operand_at = here(input);
    let operand = cut_err(expression).parse_next(input)?;
    let fault = match (&operand, property) {
        (Expression::Text(_) | Expression::Boolean(_), _) if operator.orders() => {
            Some(format!("`{}` for anything but integers", operator.as_str()))
        }
        (
            Expression::Integer(_) | Expression::Boolean(_),
            Property::Type | Property::ValueType | Property::Issuer,
        ) => Some(format!(
            "comparing `{}`, which is a string, with another kind of value",
            property.as_str()
        )),
        _ => None,
    };
    match fault {
        Some(what) => Err(unsupported(operand_at, &what)),
        None => Ok(Test { property, operator, operand }),
    }
}
