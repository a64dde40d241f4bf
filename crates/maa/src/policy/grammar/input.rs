//! The tokens as the parsers take them, with what is known so far, and what can be wrong with them.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a token that is not expected is a fault, whatever it is"
)]

use winnow::{
    Parser,
    combinator::peek,
    error::{ModalError, ParserError},
    stream::{Stateful, TokenSlice},
    token::any,
};

use super::super::{
    ParseErrorKind, Version,
    lexer::{Kind, Token},
};

pub(super) type Input<'t, 's> = Stateful<TokenSlice<'t, Token<'s>>, Known<'s>>;
pub(super) type Parsed<T> = Result<T, Fault>;

/// What is known before the next token is read.
#[derive(Clone, Debug)]
pub(super) struct Known<'s> {
    /// How many tokens the text has.
    pub(super) tokens: usize,
    pub(super) version: Version,
    /// How many function calls are open.
    pub(super) depth: u8,
    /// The names of the conditions of this rule so far.
    pub(super) names: Vec<&'s str>,
    pub(super) lines: LineCounter<'s>,
}

pub(super) fn next<'s>(input: &mut Input<'_, 's>) -> Parsed<Kind<'s>> {
    peek(any).map(|token: &Token<'s>| token.kind).parse_next(input)
}

pub(super) fn sign<'t, 's: 't>(sign: &'static str) -> impl Parser<Input<'t, 's>, (), Fault> {
    move |input: &mut Input<'t, 's>| match next(input)? {
        Kind::Sign(found) if found == sign => any.void().parse_next(input),
        _ => Err(expected(input, &[format!("`{sign}`").as_str()])),
    }
}

/// A sign after which something else could have stood, too.
pub(super) fn sign_or(input: &mut Input<'_, '_>, sign: &str, names: &[&str]) -> Parsed<()> {
    match next(input)? {
        Kind::Sign(found) if found == sign => any.void().parse_next(input),
        _ => Err(expected(input, names)),
    }
}

pub(super) fn word_without_case<'t, 's: 't>(
    word: &'static str,
) -> impl Parser<Input<'t, 's>, (), Fault> {
    move |input: &mut Input<'t, 's>| match next(input)? {
        Kind::Word(found) if found.eq_ignore_ascii_case(word) => any.void().parse_next(input),
        _ => Err(expected(input, &[format!("`{word}`").as_str()])),
    }
}

/// What is wrong, and at which token.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) kind: ParseErrorKind,
    pub(super) mode: Mode,
}

/// Whether another way of reading the same tokens may be tried.
#[derive(Debug, PartialEq)]
pub(super) enum Mode {
    Backtrack,
    Cut,
}

pub(super) fn expected(input: &Input<'_, '_>, expected: &[&str]) -> Fault {
    let found =
        input.input.first().map_or_else(|| Kind::End.describe(), |token| token.kind.describe());
    let expected = expected.iter().map(|name| (*name).to_owned()).collect();
    Fault {
        at: here(input),
        kind: ParseErrorKind::Syntax { expected, found },
        mode: Mode::Backtrack,
    }
}

pub(super) fn unsupported(at: usize, what: &str) -> Fault {
    Fault { at, kind: ParseErrorKind::NotSupported(what.to_owned()), mode: Mode::Cut }
}

/// The number of the token that comes next.
pub(super) fn here(input: &Input<'_, '_>) -> usize {
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
pub(super) struct LineCounter<'s> {
    text: &'s str,
    offset: usize,
    line: u32,
}

impl<'s> LineCounter<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    pub(super) fn line(&mut self, offset: usize) -> u32 {
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        let lines = u32::try_from(between.matches('\n').count()).unwrap_or(u32::MAX);
        self.line = self.line.saturating_add(lines);
        self.offset = offset.max(self.offset);
        self.line
    }
}
