//! Draws a plan: as text for people, as JSON for programs. Drawing decides nothing.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::plan::{Action, Change, Effect, Operation, Outcome, Plan};

/// The plan as text, with colours; a printer that is no terminal drops them.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(plan, &mut out);
    out
}

fn write(plan: &Plan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "Deployment {}, revision {}", plan.deployment, plan.revision)?;
    let kinds = plan.actions.iter().map(|action| action.operation.kind().len()).max().unwrap_or(0);
    for action in &plan.actions {
        let (sign, style) = sign(&action.operation);
        write!(
            out,
            "  {style}{sign}{style:#} {:kinds$}  {}",
            action.operation.kind(),
            action.subject
        )?;
        writeln!(out, "{DIM}: {}{DIM:#}", action.reason)?;
        for change in &action.changes {
            writeln!(
                out,
                "      {}: {} {DIM}→{DIM:#} {}",
                change.path,
                found(change),
                short(&change.expected)
            )?;
        }
    }
    for refusal in &plan.refusals {
        writeln!(out, "  {RED}!{RED:#} {}{RED}: {}{RED:#}", refusal.subject, refusal.reason)?;
        writeln!(out, "      try: {}", refusal.remedy)?;
    }
    for note in &plan.notes {
        writeln!(out, "  {DIM}·{DIM:#} {note}")?;
    }
    if !plan.unread.is_empty() {
        let unread: Vec<_> = plan.unread.iter().copied().collect();
        writeln!(
            out,
            "  {DIM}·{DIM:#} {} can be looked at only after these steps",
            unread.join(", ")
        )?;
    }
    writeln!(out, "{}", summary(plan))
}

/// One line: how much is to be done.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    match plan.outcome() {
        Outcome::NoChanges => return "no changes".to_owned(),
        Outcome::Refused => {
            let count = plan.refusals.len();
            return format!(
                "refused: {count} thing{} to decide, nothing is changed",
                plural(count)
            );
        }
        Outcome::Changes => {}
    }
    let count = |effect: Effect| {
        plan.actions.iter().filter(|action| action.operation.effect() == effect).count()
    };
    let parts = [
        (count(Effect::Create), "to create"),
        (count(Effect::Change), "to change"),
        (count(Effect::Replace), "to replace"),
        (count(Effect::Disable), "to disable"),
        (count(Effect::Check), "to verify"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if parts.is_empty() { "nothing to do before another look".to_owned() } else { parts.join(", ") }
}

/// The plan as JSON.
#[must_use]
pub fn json(plan: &Plan) -> Value {
    let outcome = match plan.outcome() {
        Outcome::NoChanges => "no changes",
        Outcome::Changes => "changes",
        Outcome::Refused => "refused",
    };
    let action = |action: &Action| {
        json!({
            "effect": effect(action.operation.effect()),
            "kind": action.operation.kind(),
            "subject": action.subject,
            "reason": action.reason,
            "changes": action.changes,
        })
    };
    let refusals = plan.refusals.iter().map(|refusal| {
        json!({ "subject": refusal.subject, "reason": refusal.reason, "remedy": refusal.remedy })
    });
    json!({
        "version": 1,
        "type": "plan",
        "deployment": plan.deployment,
        "revision": plan.revision,
        "outcome": outcome,
        "actions": plan.actions.iter().map(action).collect::<Vec<_>>(),
        "refusals": refusals.collect::<Vec<_>>(),
        "notes": plan.notes,
        "unread": plan.unread,
    })
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Create => "create",
        Effect::Change => "change",
        Effect::Replace => "replace",
        Effect::Disable => "disable",
        Effect::Check => "verify",
    }
}

fn sign(operation: &Operation) -> (char, Style) {
    match operation.effect() {
        Effect::Create => ('+', AnsiColor::Green.on_default()),
        Effect::Change => ('~', AnsiColor::Yellow.on_default()),
        Effect::Replace => ('±', AnsiColor::Yellow.on_default()),
        Effect::Disable => ('-', AnsiColor::Red.on_default()),
        Effect::Check => ('=', AnsiColor::Cyan.on_default()),
    }
}

fn found(change: &Change) -> String {
    change.found.as_ref().map_or("nothing".to_owned(), short)
}

/// A value, cut where it is longer than a reader wants.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{cut}… ({} bytes)", text.len())
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

const LONGEST: usize = 80;
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();
