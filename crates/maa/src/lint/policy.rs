//! Findings about MAA policies.

use std::collections::BTreeMap;

use super::{
    Finding, FindingKind,
    known::{DEBUGGABLE, FLOORS, HOST_DATA, Shape, shape},
};
use crate::{
    evaluate::{is_service_name, wanted_type},
    policy::{
        Action, Condition, Expression, Operator, Policy, Property, Rule, Section, Sense, Subject,
        Test,
    },
};

/// Looks for what is suspicious in a policy on SEV-SNP evidence, in the order of its rules.
///
/// Claims do not name the product, so that a level fits every permitted product cannot be seen from
/// a policy; that a lower level for another product makes one idle can.
#[must_use]
pub fn policy(policy: &Policy) -> Vec<Finding> {
    let denies_debug = policy
        .rules(Section::Authorization)
        .iter()
        .any(|rule| rule.action == Action::Deny && is_debug_only(rule));
    let made: Vec<&str> = Section::ALL
        .iter()
        .flat_map(|section| policy.rules(*section))
        .filter_map(made_type)
        .collect();
    let mut findings = Vec::new();
    for section in Section::ALL {
        let rules = policy.rules(section);
        for (index, rule) in rules.iter().enumerate() {
            let earlier = rules.get(..index).unwrap_or_default();
            let kinds = [
                permit(rule, denies_debug),
                rule.conditions
                    .iter()
                    .filter_map(|condition| self::condition(condition, &made))
                    .collect(),
                service_claim(rule).into_iter().collect(),
                issued_too_early(section, rule).into_iter().collect(),
                shadowed(rule, earlier).into_iter().collect(),
                overruled(rule, rules).into_iter().collect(),
                idle_level(rule, rules).into_iter().collect(),
            ];
            findings.extend(kinds.concat().into_iter().map(|kind| Finding {
                section,
                rule: index,
                line: rule.line,
                kind,
            }));
        }
    }
    findings
}

fn permit(rule: &Rule, denies_debug: bool) -> Vec<FindingKind> {
    if rule.action != Action::Permit {
        return Vec::new();
    }
    if rule.conditions.is_empty() {
        return vec![FindingKind::PermitsEverything];
    }
    let asks = |kind: &str, enough: fn(&Test) -> bool| {
        rule.conditions.iter().any(|condition| {
            condition.sense == Sense::Present
                && condition.tests.iter().any(|test| wanted_type(test) == Some(kind))
                && condition
                    .tests
                    .iter()
                    .any(|test| test.property == Property::Value && enough(test))
        })
    };
    let mut findings = Vec::new();
    if !denies_debug && !asks(DEBUGGABLE, |test| is_boolean(test, false)) {
        findings.push(FindingKind::PermitsDebug);
    }
    if !asks(HOST_DATA, |test| test.operator == Operator::Equal) {
        findings.push(FindingKind::NoHostData);
    }
    let floor = |test: &Test| {
        matches!(test.operator, Operator::Equal | Operator::Greater | Operator::GreaterOrEqual)
    };
    let missing: Vec<&str> = FLOORS.into_iter().filter(|kind| !asks(kind, floor)).collect();
    if !missing.is_empty() {
        findings.push(FindingKind::NoFloor(missing));
    }
    findings
}

fn issued_too_early(section: Section, rule: &Rule) -> Option<FindingKind> {
    let early = section == Section::Authorization && matches!(rule.action, Action::Issue(_));
    early.then_some(FindingKind::IssuedTooEarly)
}

/// Whether a rule applies to every guest that allows debugging.
fn is_debug_only(rule: &Rule) -> bool {
    let says_so = |test: &Test| {
        wanted_type(test) == Some(DEBUGGABLE) || is_boolean(test, true) || is_service(test)
    };
    match rule.conditions.as_slice() {
        [only] => {
            only.sense == Sense::Present
                && only.tests.iter().all(says_so)
                && only.tests.iter().any(|test| wanted_type(test) == Some(DEBUGGABLE))
        }
        _ => false,
    }
}

/// Whether a test lets exactly this Boolean through.
fn is_boolean(test: &Test, wanted: bool) -> bool {
    test.property == Property::Value
        && match (test.operator, &test.operand) {
            (Operator::Equal, Expression::Boolean(value)) => *value == wanted,
            (Operator::NotEqual, Expression::Boolean(value)) => *value != wanted,
            _ => false,
        }
}

/// Whether a test lets all claims of the service through.
fn is_service(test: &Test) -> bool {
    test.property == Property::Issuer
        && test.operator == Operator::Equal
        && matches!(&test.operand, Expression::Text(text) if text.raw() == "AttestationService")
}

fn condition(condition: &Condition, made: &[&str]) -> Option<FindingKind> {
    let kinds: Vec<&str> = condition.tests.iter().filter_map(wanted_type).collect();
    let Some(kind) = kinds.first() else {
        let any = condition.tests.iter().all(|test| test.property != Property::Type);
        return any.then(|| FindingKind::AnyClaim(condition.to_string()));
    };
    let never = |reason: String| {
        Some(FindingKind::NeverMatches { condition: condition.to_string(), reason })
    };
    if kinds.iter().any(|other| other != kind) {
        return never("it asks for two types at once".to_owned());
    }
    // A rule may make a claim of any value.
    if made.contains(kind) {
        return None;
    }
    let Some(shape) = shape(kind) else {
        return never(format!("neither the service nor a rule makes a claim `{kind}`"));
    };
    let mut range = (i64::MIN, i64::MAX);
    for test in condition.tests.iter().filter(|test| test.property == Property::Value) {
        if let Some(reason) = unfit(kind, shape, &test.operand) {
            return never(reason);
        }
        if let Expression::Integer(value) = test.operand {
            narrow(&mut range, test.operator, value);
        }
    }
    let possible = match shape {
        Shape::Byte => (0, 255),
        Shape::Boolean | Shape::Integer | Shape::Text | Shape::Hex(_) => (i64::MIN, i64::MAX),
    };
    if range.0.max(possible.0) > range.1.min(possible.1) {
        return never("no number is in that range".to_owned());
    }
    None
}

/// Why a claim never has such a value.
fn unfit(kind: &str, shape: Shape, operand: &Expression) -> Option<String> {
    let wanted = match (shape, operand) {
        (_, Expression::Property { .. } | Expression::Call { .. })
        | (Shape::Boolean, Expression::Boolean(_))
        | (Shape::Integer | Shape::Byte, Expression::Integer(_))
        | (Shape::Text, Expression::Text(_)) => return None,
        (Shape::Hex(length), Expression::Text(text)) => {
            let lower = text.raw().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if lower && text.raw().len() == length {
                return None;
            }
            format!("lower-case hex of {length} characters")
        }
        (Shape::Hex(length), _) => format!("lower-case hex of {length} characters"),
        (Shape::Boolean, _) => "Boolean".to_owned(),
        (Shape::Integer | Shape::Byte, _) => "an integer".to_owned(),
        (Shape::Text, _) => "a string".to_owned(),
    };
    Some(format!("`{kind}` is {wanted}"))
}

fn narrow(range: &mut (i64, i64), operator: Operator, value: i64) {
    let (least, most) = match operator {
        Operator::Equal => (value, value),
        Operator::NotEqual => return,
        Operator::Less => (i64::MIN, value.saturating_sub(1)),
        Operator::LessOrEqual => (i64::MIN, value),
        Operator::Greater => (value.saturating_add(1), i64::MAX),
        Operator::GreaterOrEqual => (value, i64::MAX),
    };
    *range = (range.0.max(least), range.1.min(most));
}

/// The type of the claims that a rule makes, if it says so to the letter.
fn made_type(rule: &Rule) -> Option<&str> {
    match &rule.action {
        Action::Add(Subject::New { kind: Expression::Text(text), .. })
        | Action::Issue(Subject::New { kind: Expression::Text(text), .. })
        | Action::IssueProperty(Subject::New { kind: Expression::Text(text), .. }) => {
            Some(text.raw())
        }
        Action::Permit
        | Action::Deny
        | Action::Add(_)
        | Action::Issue(_)
        | Action::IssueProperty(_) => None,
    }
}

fn service_claim(rule: &Rule) -> Option<FindingKind> {
    let kind = made_type(rule).filter(|kind| is_service_name(kind) || shape(kind).is_some())?;
    Some(FindingKind::ServiceClaim(kind.to_owned()))
}

/// A permit or deny whose conditions include all those of an earlier one.
fn shadowed(rule: &Rule, earlier: &[Rule]) -> Option<FindingKind> {
    let covers = |first: &&Rule| {
        first.action == rule.action
            && matches!(rule.action, Action::Permit | Action::Deny)
            && first.conditions.iter().all(|condition| rule.conditions.contains(condition))
    };
    earlier.iter().find(covers).map(|first| FindingKind::Shadowed(first.line))
}

/// A permit whose conditions include all those of a deny, which wins in any order.
fn overruled(rule: &Rule, rules: &[Rule]) -> Option<FindingKind> {
    let denies = |other: &&Rule| {
        rule.action == Action::Permit
            && other.action == Action::Deny
            && other.conditions.iter().all(|condition| rule.conditions.contains(condition))
    };
    rules.iter().find(denies).map(|deny| FindingKind::Overruled(deny.line))
}

/// A permit that differs from another in nothing but higher levels.
fn idle_level(rule: &Rule, rules: &[Rule]) -> Option<FindingKind> {
    if rule.action != Action::Permit {
        return None;
    }
    let (levels, rest) = levels(rule);
    let lower = |other: &&Rule| {
        let (others, other_rest) = self::levels(other);
        other.action == Action::Permit
            && others != levels
            && others.keys().eq(levels.keys())
            && others.iter().all(|(kind, level)| levels.get(kind).is_some_and(|own| level <= own))
            && other_rest.len() == rest.len()
            && other_rest.iter().all(|condition| rest.contains(condition))
    };
    rules.iter().find(lower).map(|other| FindingKind::LevelWithoutEffect(other.line))
}

/// The least levels that a rule asks for, and its other conditions.
fn levels(rule: &Rule) -> (BTreeMap<&str, i64>, Vec<&Condition>) {
    let (mut levels, mut rest) = (BTreeMap::new(), Vec::new());
    for condition in &rule.conditions {
        match level(condition) {
            Some((kind, least)) => drop(levels.insert(kind, least)),
            None => rest.push(condition),
        }
    }
    (levels, rest)
}

/// The component and the least level, if the condition says no more than that.
fn level(condition: &Condition) -> Option<(&str, i64)> {
    let [kind, value] = condition.tests.as_slice() else { return None };
    let named = wanted_type(kind).filter(|kind| FLOORS.contains(kind))?;
    match (condition.sense, value.property, value.operator, &value.operand) {
        (Sense::Present, Property::Value, Operator::GreaterOrEqual, Expression::Integer(least)) => {
            Some((named, *least))
        }
        _ => None,
    }
}
