//! What is wrong with a policy's text, and where.

use std::fmt;

/// A policy's text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    kind: ParseErrorKind,
    line: u32,
    column: u32,
    excerpt: String,
    indent: usize,
}

/// Why a policy's text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// The text does not follow the grammar.
    Syntax {
        /// What could have stood there.
        expected: Vec<String>,
        /// What stands there.
        found: String,
    },
    /// The version does not have it, or public text does not say what it means.
    NotSupported(String),
    /// The text, or the nesting in it, is too large.
    TooLarge(String),
}

impl ParseError {
    pub(super) fn new(kind: ParseErrorKind, text: &str, offset: usize) -> Self {
        let offset =
            (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = text.split_at(offset);
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let line =
            u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
        let (_, left) = before.split_at(begin);
        let left: Vec<char> = left.chars().collect();
        let column = u32::try_from(left.len()).unwrap_or(u32::MAX).saturating_add(1);
        let shown = left.len().min(SHOWN);
        let mut excerpt: String =
            left.iter().skip(left.len() - shown).map(|c| printable(*c)).collect();
        excerpt.extend(after.chars().take_while(|c| *c != '\n').take(SHOWN).map(printable));
        Self { kind, line, column, excerpt: excerpt.trim_end().to_owned(), indent: shown }
    }

    /// Why the text was refused.
    #[must_use]
    pub fn kind(&self) -> &ParseErrorKind {
        &self.kind
    }

    /// The line of the fault, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The column of the fault in characters, from 1.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The fault in the form of the service's `PolicyParsingError`.
    ///
    /// The frame is the service's ("Troubleshooting guide", 2.5); the wording of the failure
    /// inside it is ours, and so is the rule's name.
    #[must_use]
    pub fn service_text(&self) -> String {
        let (symbol, message) = match &self.kind {
            ParseErrorKind::Syntax { expected, found } => (
                found.trim_matches('`'),
                format!("mismatched input {found} expecting {}", list(expected)),
            ),
            ParseErrorKind::NotSupported(what) => ("", format!("not supported: {what}")),
            ParseErrorKind::TooLarge(what) => ("", what.clone()),
        };
        let column = self.column.saturating_sub(1);
        format!(
            "Policy Parser Exception Thrown: Offending symbol: '{symbol}'\nLine: '{}', Column: '{column}'\n\
             Failure message: '{}'\nFailing rule: 'policy'",
            self.line,
            message.replace('`', "'"),
        )
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: ", self.line, self.column)?;
        let fault = match &self.kind {
            ParseErrorKind::Syntax { expected, found } => {
                format!("expected {}, found {found}", list(expected))
            }
            ParseErrorKind::NotSupported(what) => format!("not supported: {what}"),
            ParseErrorKind::TooLarge(what) => what.clone(),
        };
        out.write_str(&fault)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.indent);
        write!(out, "\n{margin} |\n{number} | {}\n{margin} | {indent}^", self.excerpt)
    }
}

fn list(expected: &[String]) -> String {
    match expected {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn printable(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

/// How many characters of the line are shown on either side of the fault.
const SHOWN: usize = 100;
