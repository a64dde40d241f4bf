//! Text to tokens.

use winnow::{
    LocatingSlice, Parser,
    combinator::alt,
    error::ParserError,
    stream::{Location, Stream},
    token::{literal, take_till, take_while},
};

use super::{
    Version,
    error::{ParseError, ParseErrorKind},
};

/// A piece of a policy's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind<'s>,
    /// Where it begins in the text, in bytes.
    pub(super) start: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'s> {
    /// A keyword or a name.
    Word(&'s str),
    /// A decimal integer.
    Integer(i64),
    /// A version of the language.
    Version(Version),
    /// What stands between two quotation marks.
    Text(&'s str),
    /// A sign of one or two characters.
    Sign(&'static str),
    /// The end of the text.
    End,
}

impl Kind<'_> {
    /// The token as an error names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{}`", shorten(word)),
            Self::Integer(number) => format!("`{number}`"),
            Self::Version(version) => format!("`{}`", version.as_str()),
            Self::Text(text) => format!("`\"{}\"`", shorten(text)),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end of the text".to_owned(),
        }
    }
}

/// Splits a policy's text into tokens, without white space and comments.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ParseError> {
    let mut rest = LocatingSlice::new(text);
    let mut tokens = Vec::with_capacity(text.len() / 4);
    loop {
        while blank(&mut rest).is_ok() {}
        let start = rest.current_token_start();
        if rest.is_empty() {
            tokens.push(Token { kind: Kind::End, start });
            return Ok(tokens);
        }
        let kind = token(&mut rest).map_err(|fault| fault.place(text, start))?;
        tokens.push(Token { kind, start });
    }
}

type Input<'s> = LocatingSlice<&'s str>;

fn blank<'s>(input: &mut Input<'s>) -> Result<&'s str, Fault> {
    let space = take_while(1.., [' ', '\t', '\r', '\n']);
    let comment = (literal("//"), take_till(0.., '\n')).take();
    alt((space, comment)).parse_next(input)
}

fn token<'s>(input: &mut Input<'s>) -> Result<Kind<'s>, Fault> {
    alt((word.map(Kind::Word), number, string, sign.map(Kind::Sign), stray)).parse_next(input)
}

fn word<'s>(input: &mut Input<'s>) -> Result<&'s str, Fault> {
    let first = take_while(1, |c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = take_while(0.., |c: char| c.is_ascii_alphanumeric() || c == '_');
    (first, rest).take().parse_next(input)
}

fn number<'s>(input: &mut Input<'s>) -> Result<Kind<'s>, Fault> {
    let digits: &str = take_while(1.., |c: char| c.is_ascii_digit()).parse_next(input)?;
    let mut after = input.chars();
    match (after.next(), after.next()) {
        (Some(c), _) if c.is_ascii_alphabetic() || c == '_' => {
            Err(Fault::unsupported("a number that is not a decimal integer"))
        }
        (Some('.'), Some(c)) if c.is_ascii_digit() => {
            let minor: &str = (literal("."), take_while(1.., |c: char| c.is_ascii_digit()))
                .take()
                .parse_next(input)?;
            Ok(Kind::Version(match (digits, minor) {
                ("1", ".0") => Version::V1_0,
                ("1", ".1") => Version::V1_1,
                ("1", ".2") => Version::V1_2,
                _ => return Err(Fault::unsupported("a version other than 1.0, 1.1 and 1.2")),
            }))
        }
        _ => digits
            .parse()
            .map(Kind::Integer)
            .map_err(|_| Fault::unsupported("an integer of more than 64 bits")),
    }
}

fn string<'s>(input: &mut Input<'s>) -> Result<Kind<'s>, Fault> {
    literal("\"").parse_next(input)?;
    let mut escaped = false;
    let mut end = None;
    for (at, character) in input.char_indices() {
        match character {
            '"' if !escaped => {
                end = Some(at);
                break;
            }
            c if c.is_control() => break,
            c => escaped = c == '\\' && !escaped,
        }
    }
    let Some(end) = end else {
        return Err(Fault::syntax(
            "a closing quotation mark on the same line",
            "a string without one",
        ));
    };
    let text = input.next_slice(end);
    literal("\"").parse_next(input)?;
    Ok(Kind::Text(text))
}

fn sign(input: &mut Input<'_>) -> Result<&'static str, Fault> {
    let found = SIGNS
        .iter()
        .copied()
        .find(|sign| input.starts_with(sign))
        .ok_or_else(|| Fault::from_input(input))?;
    literal(found).parse_next(input)?;
    Ok(found)
}

/// Whatever is not a token. It comes last.
fn stray<'s>(input: &mut Input<'s>) -> Result<Kind<'s>, Fault> {
    Err(match input.chars().next() {
        Some('\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' | '\'') => {
            Fault::syntax("`\"`", "a quotation mark of another kind")
        }
        Some('-') => Fault::unsupported("a negative integer"),
        Some('/') => Fault::syntax("`//` before a comment", "`/`"),
        Some(c) if c.is_control() || !c.is_ascii() => {
            Fault::syntax("a token", &format!("U+{:04X}", u32::from(c)))
        }
        Some(c) => Fault::syntax("a token", &format!("`{c}`")),
        None => Fault::syntax("a token", "the end of the text"),
    })
}

/// A fault at the beginning of the token that is being read.
#[derive(Debug)]
struct Fault(Option<ParseErrorKind>);

impl Fault {
    fn syntax(expected: &str, found: &str) -> Self {
        Self(Some(ParseErrorKind::Syntax {
            expected: vec![expected.to_owned()],
            found: found.to_owned(),
        }))
    }

    fn unsupported(what: &str) -> Self {
        Self(Some(ParseErrorKind::NotSupported(what.to_owned())))
    }

    fn place(self, text: &str, start: usize) -> ParseError {
        let kind = self.0.unwrap_or(ParseErrorKind::Syntax {
            expected: vec!["a token".into()],
            found: "none".into(),
        });
        ParseError::new(kind, text, start)
    }
}

impl<I: Stream> ParserError<I> for Fault {
    type Inner = Self;

    fn from_input(_: &I) -> Self {
        Self(None)
    }

    /// A parser that knows what is wrong ends the search.
    fn is_backtrack(&self) -> bool {
        self.0.is_none()
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text.to_owned(),
    }
}

/// The signs; one that begins another comes after it.
const SIGNS: [&str; 20] = [
    "=>", "==", "!=", "<=", ">=", "&&", "=", "!", "<", ">", "{", "}", "[", "]", "(", ")", ";", ":",
    ",", ".",
];
