//! What each rule of a policy did, for people who ask why.

use std::fmt::Write;

use super::Claim;
use crate::policy::{
    Condition, Expression, Operator, Policy, Property, Rule, Section, Sense, Test,
};

/// What each rule did, in the order of evaluation.
#[derive(Debug, Default)]
pub struct Trace {
    pub(super) claims: Vec<Claim>,
    pub(super) steps: Vec<Step>,
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule's section.
    pub section: Section,
    /// The rule's place in its section, from 0.
    pub rule: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All conditions held.
    Applied {
        /// For each condition, the matching claims as places in [`Trace::claims`].
        matched: Vec<Vec<usize>>,
    },
    /// A condition did not hold; those after it were not looked at.
    Failed {
        /// The first condition that did not hold, from 0.
        condition: usize,
        /// The claims that came near: those of the type it asks for, or those it forbids, as
        /// places in [`Trace::claims`].
        near: Vec<usize>,
    },
    /// It could not be evaluated.
    Refused,
}

impl Trace {
    /// The incoming claims at the end: those that came, then those that rules added, in order.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// What each rule did, in the order of evaluation.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The trace as text, a paragraph a rule, for the policy that was evaluated.
    #[must_use]
    pub fn explain(&self, policy: &Policy) -> String {
        let mut text = String::new();
        for step in &self.steps {
            if let Some(rule) = policy.rules(step.section).get(step.rule) {
                let section = step.section.as_str();
                // Writing to a string does not fail.
                let _ = writeln!(text, "{section}, line {}: => {}", rule.line.0, rule.action);
                let _ = self.outcome(rule, &step.outcome, &mut text);
            }
        }
        text
    }

    fn outcome(&self, rule: &Rule, outcome: &Outcome, text: &mut String) -> std::fmt::Result {
        match outcome {
            Outcome::Applied { matched } => {
                writeln!(text, "  applied")?;
                for (condition, places) in rule.conditions.iter().zip(matched) {
                    writeln!(text, "    {condition}")?;
                    self.list(places, text)?;
                }
            }
            Outcome::Failed { condition, near } => {
                if let Some(failed) = rule.conditions.get(*condition) {
                    writeln!(text, "  did not apply: {failed}")?;
                    if near.is_empty() {
                        writeln!(text, "      no such claim")?;
                    }
                    self.list(near, text)?;
                }
            }
            Outcome::Refused => writeln!(text, "  could not be evaluated")?,
        }
        Ok(())
    }

    fn list(&self, places: &[usize], text: &mut String) -> std::fmt::Result {
        for claim in places.iter().filter_map(|place| self.claims.get(*place)) {
            writeln!(text, "      {claim}")?;
        }
        Ok(())
    }
}

/// The claims that a failed condition came near to.
pub(super) fn near(claims: &[Claim], condition: &Condition, matched: Vec<usize>) -> Vec<usize> {
    if condition.sense == Sense::Absent {
        return matched;
    }
    let wanted: Vec<&str> = condition.tests.iter().filter_map(wanted_type).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let near = claims
        .iter()
        .enumerate()
        .filter(|(_, claim)| wanted.iter().all(|kind| *kind == claim.kind));
    near.map(|(place, _)| place).collect()
}

/// The type that a test asks for, if it says so to the letter.
pub(crate) fn wanted_type(test: &Test) -> Option<&str> {
    match (test.property, test.operator, &test.operand) {
        (Property::Type, Operator::Equal, Expression::Text(text)) => Some(text.raw()),
        _ => None,
    }
}
