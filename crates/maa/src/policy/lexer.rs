//! Text to tokens.
//!
//! The first byte of a token says which kind it is, and nothing is tried twice; tokens borrow the text. All that the
//! language has outside of strings and comments is ASCII, so bytes are looked at and never cut inside a character.

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
    let mut tokens = Vec::with_capacity(text.len() / 4);
    let mut rest = Rest { text, at: 0 };
    loop {
        rest.skip_blanks();
        let start = rest.at;
        if start == text.len() {
            tokens.push(Token { kind: Kind::End, start });
            return Ok(tokens);
        }
        let kind = rest.token().map_err(|fault| ParseError::new(fault, text, start))?;
        tokens.push(Token { kind, start });
    }
}

/// The text from some place on.
struct Rest<'s> {
    text: &'s str,
    at: usize,
}

impl<'s> Rest<'s> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Takes bytes as long as they are of a kind, all of it ASCII or up to it.
    fn take_while(&mut self, of_kind: impl Fn(u8) -> bool) -> &'s str {
        let start = self.at;
        while self.peek(0).is_some_and(&of_kind) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            if (self.peek(0), self.peek(1)) != (Some(b'/'), Some(b'/')) {
                return;
            }
            self.take_while(|byte| byte != b'\n');
        }
    }

    fn token(&mut self) -> Result<Kind<'s>, ParseErrorKind> {
        match self.peek(0) {
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => Ok(Kind::Word(self.take_while(in_word))),
            Some(b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            _ => self.sign().map(Kind::Sign).ok_or_else(|| self.stray()),
        }
    }

    fn number(&mut self) -> Result<Kind<'s>, ParseErrorKind> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        match (self.peek(0), self.peek(1)) {
            (Some(byte), _) if in_word(byte) => {
                Err(unsupported("a number that is not a decimal integer"))
            }
            (Some(b'.'), Some(b'0'..=b'9')) => {
                self.at += 1;
                match (digits, self.take_while(|byte| byte.is_ascii_digit())) {
                    ("1", "0") => Ok(Kind::Version(Version::V1_0)),
                    ("1", "1") => Ok(Kind::Version(Version::V1_1)),
                    ("1", "2") => Ok(Kind::Version(Version::V1_2)),
                    _ => Err(unsupported("a version other than 1.0, 1.1 and 1.2")),
                }
            }
            _ => digits
                .parse()
                .map(Kind::Integer)
                .map_err(|_| unsupported("an integer of more than 64 bits")),
        }
    }

    fn string(&mut self) -> Result<Kind<'s>, ParseErrorKind> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        while let Some(byte) = self.peek(0).filter(|byte| !byte.is_ascii_control()) {
            if byte == b'"' && !escaped {
                break;
            }
            escaped = byte == b'\\' && !escaped;
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if self.peek(0) != Some(b'"') || (!text.is_ascii() && text.contains(char::is_control)) {
            return Err(syntax(
                "a closing quotation mark on the same line",
                "a string without one",
            ));
        }
        self.at += 1;
        Ok(Kind::Text(text))
    }

    fn sign(&mut self) -> Option<&'static str> {
        let sign = match (self.peek(0)?, self.peek(1)) {
            (b'=', Some(b'>')) => "=>",
            (b'=', Some(b'=')) => "==",
            (b'!', Some(b'=')) => "!=",
            (b'<', Some(b'=')) => "<=",
            (b'>', Some(b'=')) => ">=",
            (b'&', Some(b'&')) => "&&",
            (b'=', _) => "=",
            (b'!', _) => "!",
            (b'<', _) => "<",
            (b'>', _) => ">",
            (b'{', _) => "{",
            (b'}', _) => "}",
            (b'[', _) => "[",
            (b']', _) => "]",
            (b'(', _) => "(",
            (b')', _) => ")",
            (b';', _) => ";",
            (b':', _) => ":",
            (b',', _) => ",",
            (b'.', _) => ".",
            _ => return None,
        };
        self.at += sign.len();
        Some(sign)
    }

    /// What is wrong with something that is no token.
    fn stray(&self) -> ParseErrorKind {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some('\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' | '\'') => {
                syntax("`\"`", "a quotation mark of another kind")
            }
            Some('-') => unsupported("a negative integer"),
            Some('/') => syntax("`//` before a comment", "`/`"),
            Some(c) if c.is_control() || !c.is_ascii() => {
                syntax("a token", &format!("U+{:04X}", u32::from(c)))
            }
            Some(c) => syntax("a token", &format!("`{c}`")),
            None => syntax("a token", "the end of the text"),
        }
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn syntax(expected: &str, found: &str) -> ParseErrorKind {
    ParseErrorKind::Syntax { expected: vec![expected.to_owned()], found: found.to_owned() }
}

fn unsupported(what: &str) -> ParseErrorKind {
    ParseErrorKind::NotSupported(what.to_owned())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text.to_owned(),
    }
}
