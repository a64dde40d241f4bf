//! The canonical text of a policy.
//!
//! The layout depends on nothing but what the policy says, so the same policy always has the same
//! text and the same hash. Comments are no part of it.

use std::fmt::{Display, Formatter, Result, Write};

use super::{Action, Condition, Expression, Ident, Policy, Rule, Section, Sense, Subject, Test};

impl Display for Policy {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(out, "version={};", self.version.as_str())?;
        let sections = [
            (Section::Configuration, self.configuration.as_deref()),
            (Section::Authorization, Some(self.authorization.as_slice())),
            (Section::Issuance, self.issuance.as_deref()),
        ];
        for (section, rules) in sections {
            let Some(rules) = rules else { continue };
            writeln!(out, "{} {{", section.as_str())?;
            for rule in rules {
                writeln!(out, "{rule}")?;
            }
            writeln!(out, "}};")?;
        }
        Ok(())
    }
}

impl Display for Rule {
    /// The rule as it stands in its section: one condition on the line of its action, several on
    /// a line each.
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self.conditions.as_slice() {
            [] => write!(out, "    => {};", self.action),
            [only] => write!(out, "    {only} => {};", self.action),
            [first, rest @ ..] => {
                write!(out, "    {first}")?;
                for condition in rest {
                    write!(out, " &&\n    {condition}")?;
                }
                write!(out, "\n        => {};", self.action)
            }
        }
    }
}

impl Display for Condition {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        if self.sense == Sense::Absent {
            out.write_char('!')?;
        }
        if let Some(name) = &self.name {
            write!(out, "{name}:")?;
        }
        out.write_char('[')?;
        for (index, test) in self.tests.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{test}")?;
        }
        out.write_char(']')
    }
}

impl Display for Test {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{}{}{}", self.property.as_str(), self.operator.as_str(), self.operand)
    }
}

impl Display for Expression {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Text(text) => write!(out, "\"{}\"", text.raw()),
            Self::Property { of, property } => write!(out, "{of}.{}", property.as_str()),
            Self::Call { function, arguments } => {
                write!(out, "{}(", function.as_str())?;
                for (index, argument) in arguments.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(out, "{comma}{argument}")?;
                }
                out.write_char(')')
            }
        }
    }
}

impl Display for Action {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Permit => out.write_str("permit()"),
            Self::Deny => out.write_str("deny()"),
            Self::Add(subject) => write!(out, "add({subject})"),
            Self::Issue(subject) => write!(out, "issue({subject})"),
            Self::IssueProperty(subject) => write!(out, "issueproperty({subject})"),
        }
    }
}

impl Display for Subject {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Claim(name) => write!(out, "claim={name}"),
            Self::New { kind, value } => write!(out, "type={kind}, value={value}"),
        }
    }
}

impl Display for Ident {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        out.write_str(self.as_str())
    }
}
