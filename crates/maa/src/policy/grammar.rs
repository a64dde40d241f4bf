//! Tokens to a [`Policy`].
//!
//! Every parser here takes the tokens and what is known so far ([`Known`]), so that what a version
//! does not have is refused at the token that asks for it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a token that is not expected is a fault, whatever it is"
)]

use winnow::{
    Parser,
    combinator::{cut_err, delimited, opt, peek, separated, terminated},
    error::{ModalError, ParserError},
    stream::{Stateful, TokenSlice},
    token::any,
};

use super::{
    Action, Condition, Expression, Function, Ident, Line, MAX_DEPTH, MAX_TEXT, Operator,
    ParseError, ParseErrorKind, Policy, Property, Rule, Section, Sense, Subject, Test, Text,
    Version,
    lexer::{self, Kind, Token},
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

type Input<'t, 's> = Stateful<TokenSlice<'t, Token<'s>>, Known<'s>>;
type Parsed<T> = Result<T, Fault>;

/// What is known before the next token is read.
#[derive(Clone, Debug)]
struct Known<'s> {
    /// How many tokens the text has.
    tokens: usize,
    version: Version,
    /// How many function calls are open.
    depth: u8,
    /// The names of the conditions of this rule so far.
    names: Vec<&'s str>,
    lines: LineCounter<'s>,
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
    let tests = delimited(
        sign("["),
        separated(1.., cut_err(test), sign(",")),
        |input: &mut Input<'_, '_>| sign_or(input, "]", &["`,`", "`]`"]),
    )
    .parse_next(input)?;
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

fn property(input: &mut Input<'_, '_>) -> Parsed<Property> {
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

fn operator(input: &mut Input<'_, '_>) -> Parsed<Operator> {
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

fn expression(input: &mut Input<'_, '_>) -> Parsed<Expression> {
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

fn call(at: usize, name: &str, input: &mut Input<'_, '_>) -> Parsed<Expression> {
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

fn action<'t, 's: 't>(section: Section) -> impl Parser<Input<'t, 's>, Action, Fault> {
    move |input: &mut Input<'t, 's>| {
        let found = next(input)?;
        let allowed: &[&str] = match section {
            Section::Configuration => &["`issueproperty`"],
            Section::Authorization => &["`permit`", "`deny`", "`add`"],
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

fn subject(input: &mut Input<'_, '_>) -> Parsed<Subject> {
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

fn known_name(input: &Input<'_, '_>, at: usize, name: &str) -> Parsed<Ident> {
    if input.state.names.contains(&name) {
        return Ok(Ident(name.to_owned()));
    }
    let expected = vec!["the name of an earlier condition of this rule".to_owned()];
    let kind = ParseErrorKind::Syntax { expected, found: Kind::Word(name).describe() };
    Err(Fault { at, kind, mode: Mode::Cut })
}

fn is_reserved(word: &str) -> bool {
    matches!(word, "true" | "false" | "type" | "value" | "valueType" | "issuer" | "claim")
        || Section::ALL.iter().any(|section| section.as_str().eq_ignore_ascii_case(word))
}

fn next<'s>(input: &mut Input<'_, 's>) -> Parsed<Kind<'s>> {
    peek(any).map(|token: &Token<'s>| token.kind).parse_next(input)
}

fn sign<'t, 's: 't>(sign: &'static str) -> impl Parser<Input<'t, 's>, (), Fault> {
    move |input: &mut Input<'t, 's>| match next(input)? {
        Kind::Sign(found) if found == sign => any.void().parse_next(input),
        _ => Err(expected(input, &[format!("`{sign}`").as_str()])),
    }
}

/// A sign after which something else could have stood, too.
fn sign_or(input: &mut Input<'_, '_>, sign: &str, names: &[&str]) -> Parsed<()> {
    match next(input)? {
        Kind::Sign(found) if found == sign => any.void().parse_next(input),
        _ => Err(expected(input, names)),
    }
}

fn word_without_case<'t, 's: 't>(word: &'static str) -> impl Parser<Input<'t, 's>, (), Fault> {
    move |input: &mut Input<'t, 's>| match next(input)? {
        Kind::Word(found) if found.eq_ignore_ascii_case(word) => any.void().parse_next(input),
        _ => Err(expected(input, &[format!("`{word}`").as_str()])),
    }
}

/// What is wrong, and at which token.
#[derive(Debug)]
struct Fault {
    at: usize,
    kind: ParseErrorKind,
    mode: Mode,
}

/// Whether another way of reading the same tokens may be tried.
#[derive(Debug, PartialEq)]
enum Mode {
    Backtrack,
    Cut,
}

fn expected(input: &Input<'_, '_>, expected: &[&str]) -> Fault {
    let found =
        input.input.first().map_or_else(|| Kind::End.describe(), |token| token.kind.describe());
    let expected = expected.iter().map(|name| (*name).to_owned()).collect();
    Fault {
        at: here(input),
        kind: ParseErrorKind::Syntax { expected, found },
        mode: Mode::Backtrack,
    }
}

fn unsupported(at: usize, what: &str) -> Fault {
    Fault { at, kind: ParseErrorKind::NotSupported(what.to_owned()), mode: Mode::Cut }
}

/// The number of the token that comes next.
fn here(input: &Input<'_, '_>) -> usize {
    input.state.tokens.saturating_sub(input.input.len())
}

impl<'t, 's> ParserError<Input<'t, 's>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'t, 's>) -> Self {
        expected(input, &["more"])
    }

    fn is_backtrack(&self) -> bool {
        self.mode == Mode::Backtrack
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl ModalError for Fault {
    fn cut(self) -> Self {
        Self { mode: Mode::Cut, ..self }
    }

    fn backtrack(self) -> Self {
        Self { mode: Mode::Backtrack, ..self }
    }
}

/// Counts lines for offsets that only grow, in time linear in the text.
#[derive(Clone, Debug)]
struct LineCounter<'s> {
    text: &'s str,
    offset: usize,
    line: u32,
}

impl<'s> LineCounter<'s> {
    fn new(text: &'s str) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    fn line(&mut self, offset: usize) -> u32 {
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        let lines = u32::try_from(between.matches('\n').count()).unwrap_or(u32::MAX);
        self.line = self.line.saturating_add(lines);
        self.offset = offset.max(self.offset);
        self.line
    }
}
