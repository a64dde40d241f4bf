//! Draws a difference: for a terminal, for a pull request, for programs. Drawing decides nothing.

use std::fmt::{Result, Write};

use serde_json::{Value, json};

use super::{Change, Diff, Effect, Verdict};

/// For a terminal. Two that mean the same give nothing.
#[must_use]
pub fn text(diff: &Diff) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(diff, &mut out);
    out
}

fn write_text(diff: &Diff, out: &mut String) -> Result {
    if diff.is_empty() {
        return Ok(());
    }
    for (effect, sign) in SIGNS {
        for Change { subject, text, .. } in with(diff, effect) {
            writeln!(out, "{sign} {subject}: {text}")?;
        }
    }
    writeln!(out, "needs {}{}", supposing(diff), diff.need.sentence())?;
    for touched in &diff.touched {
        let (kind, name, fate) = (touched.kind, &touched.name, touched.fate.code());
        writeln!(out, "{fate}: {kind} {name}, {}", touched.reason)?;
    }
    for text in &diff.texts {
        write!(out, "\n{}\n{}", text.name, text.unified)?;
    }
    for unseen in &diff.unseen {
        writeln!(out, "note: {unseen}")?;
    }
    Ok(())
}

/// For a pull request, in GitHub's Markdown.
#[must_use]
pub fn markdown(diff: &Diff) -> String {
    let mut out = String::new();
    let _ = write_markdown(diff, &mut out);
    out
}

fn write_markdown(diff: &Diff, out: &mut String) -> Result {
    let [old, new] = &diff.names;
    writeln!(out, "### {} → {}\n", escaped(old), escaped(new))?;
    if diff.is_empty() {
        return writeln!(out, "Nothing changes in meaning.");
    }
    let verdict = match diff.verdict() {
        Verdict::Weakened => "**Something is weakened.**",
        Verdict::NothingWeakened => "Nothing is weakened.",
    };
    writeln!(out, "{verdict} It needs {}{}.\n", supposing(diff), diff.need.sentence())?;
    for (effect, title) in TITLES {
        let mut changes = with(diff, effect).peekable();
        if changes.peek().is_some() {
            writeln!(out, "#### {title}\n")?;
            for (at, Change { subject, text, .. }) in changes.enumerate() {
                if at == LONGEST_LIST {
                    let more = with(diff, effect).count().saturating_sub(LONGEST_LIST);
                    writeln!(out, "- … and {more} more; `cargo xtask diff` shows all")?;
                    break;
                }
                writeln!(out, "- **{}**: {}", escaped(subject), escaped(text))?;
            }
            writeln!(out)?;
        }
    }
    if !diff.touched.is_empty() {
        writeln!(out, "#### Resources\n")?;
        for touched in &diff.touched {
            let (kind, name, reason) = (touched.kind, &touched.name, &touched.reason);
            writeln!(
                out,
                "- {}: {kind} {}, {}",
                touched.fate.code(),
                escaped(name),
                escaped(reason)
            )?;
        }
        writeln!(out)?;
    }
    for text in &diff.texts {
        let name = text.name;
        writeln!(
            out,
            "<details><summary>{name}</summary>\n\n```diff\n{}```\n\n</details>\n",
            text.unified
        )?;
    }
    for unseen in &diff.unseen {
        writeln!(out, "_{}_\n", escaped(unseen))?;
    }
    Ok(())
}

/// A need is one of what could be read.
fn supposing(diff: &Diff) -> &'static str {
    if diff.unseen.is_empty() { "" } else { "(if the signers are the same) " }
}

/// For programs.
#[must_use]
pub fn json(diff: &Diff) -> Value {
    let changes = diff.changes.iter().map(|change| {
        json!({
            "effect": change.effect.code(),
            "kind": change.kind.code(),
            "subject": change.subject,
            "text": change.text,
        })
    });
    let touched = diff.touched.iter().map(|touched| {
        json!({
            "fate": touched.fate.code(),
            "kind": touched.kind,
            "name": touched.name,
            "reason": touched.reason,
        })
    });
    let texts = diff.texts.iter().map(|text| json!({ "name": text.name, "diff": text.unified }));
    let [old, new] = &diff.names;
    json!({
        "version": 1,
        "type": "diff",
        "old": { "name": old, "revision": diff.revisions[0] },
        "new": { "name": new, "revision": diff.revisions[1] },
        "weakened": diff.verdict() == Verdict::Weakened,
        "changes": changes.collect::<Vec<_>>(),
        "needs": diff.need.code(),
        "resources": touched.collect::<Vec<_>>(),
        "texts": texts.collect::<Vec<_>>(),
        "unseen": diff.unseen,
    })
}

fn with(diff: &Diff, effect: Effect) -> impl Iterator<Item = &Change> {
    diff.changes.iter().filter(move |change| change.effect == effect)
}

/// A manifest's author chooses these texts; none of them is to be markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '@' | '!' | '~' => {
                out.push('\\');
                out.push(character);
            }
            other if other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

const SIGNS: [(Effect, &str); 3] = [
    (Effect::Weakens, "weakened:"),
    (Effect::Changes, "changed:"),
    (Effect::Strengthens, "strengthened:"),
];

const TITLES: [(Effect, &str); 3] = [
    (Effect::Weakens, "Weakened"),
    (Effect::Changes, "Changed"),
    (Effect::Strengthens, "Strengthened"),
];

/// GitHub takes comments of 65,536 characters.
const LONGEST_LIST: usize = 100;
