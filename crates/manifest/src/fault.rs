//! What is wrong with a manifest, and where.
//!
//! A fault repeats text of the manifest, which is reviewed in the open and holds no secret.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The dotted path of the key, empty for a fault of syntax.
    pub path: String,
    /// The bytes of the text that are at fault.
    pub span: Range<usize>,
    /// The line of the first of them, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// The offending text, or what stands in its place.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// What to try.
    pub help: Option<String>,
}

/// Everything that is wrong with one manifest, in the order of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    source_name: String,
    text: String,
    faults: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(source_name: &str, text: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (a.span.start, &a.path).cmp(&(b.span.start, &b.path)));
        Self { source_name: source_name.to_owned(), text: text.to_owned(), faults }
    }

    /// The faults; there is at least one.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.faults
    }

    /// The name that the manifest was given by its reader, mostly a file's.
    #[must_use]
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// The text that the spans point into.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::error::Error for Faults {}

/// As compilers write it: the place, the line, a caret, the advice.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.text.lines().collect();
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{}:{}:{}: ", self.source_name, fault.line, fault.column)?;
            if !fault.path.is_empty() {
                write!(f, "{}: ", fault.path)?;
            }
            write!(f, "expected {}, found {}", fault.expected, fault.found)?;
            if let Some(line) = lines.get(fault.line - 1) {
                let margin = " ".repeat(fault.line.to_string().len());
                let indent = " ".repeat(fault.column - 1);
                let left = line.chars().count().saturating_sub(fault.column - 1).max(1);
                let spanned = self.text.get(fault.span.clone()).unwrap_or_default();
                let carets = spanned.lines().next().unwrap_or_default().chars().count();
                let carets = "^".repeat(carets.clamp(1, left));
                write!(f, "\n{margin} |\n{} | {line}\n{margin} | {indent}{carets}", fault.line)?;
            }
            if let Some(help) = &fault.help {
                write!(f, "\n  try: {help}")?;
            }
        }
        Ok(())
    }
}

/// The line and the column, both from 1, of a byte offset.
pub(crate) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}
