//! Draws an answer: for a terminal, for programs. Drawing decides nothing.

use std::fmt::{Result, Write};

use serde_json::{Value, json};

use super::{Explained, Outcome, Verdict};

/// For a terminal.
#[must_use]
pub fn text(explained: &Explained) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(explained, &mut out);
    out
}

fn write(explained: &Explained, out: &mut String) -> Result {
    for step in &explained.steps {
        let outcome = match step.outcome {
            Outcome::Passes => "passes",
            Outcome::Refuses => "refuses",
            Outcome::Unseen => "was not looked at",
        };
        writeln!(out, "{} {outcome}", step.name)?;
        for line in &step.why {
            writeln!(out, "    {line}")?;
        }
    }
    for note in &explained.notes {
        writeln!(out, "note: {note}")?;
    }
    let first = explained.steps.iter().find(|step| step.outcome == Outcome::Refuses);
    match (&explained.verdict, first) {
        (Verdict::No, Some(step)) => {
            writeln!(out, "would this get {}? no: the {} refuses", explained.wanted, step.name)
        }
        (verdict, _) => writeln!(out, "would this get {}? {verdict}", explained.wanted),
    }
}

/// For programs.
#[must_use]
pub fn json(explained: &Explained) -> Value {
    let steps = explained.steps.iter();
    let steps = steps
        .map(|step| json!({ "name": step.name, "outcome": step.outcome.code(), "why": step.why }));
    let depends = match &explained.verdict {
        Verdict::Unknown(why) => Some(why),
        Verdict::Yes | Verdict::No => None,
    };
    json!({
        "version": 1,
        "type": "explained",
        "wanted": explained.wanted,
        "verdict": explained.verdict.code(),
        "depends": depends,
        "steps": steps.collect::<Vec<_>>(),
        "notes": explained.notes,
    })
}
