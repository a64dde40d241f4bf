//! What a policy says, without how it was written.
//!
//! A [`Policy`] comes from [`parse`](super::parse) only, so the rules of the language hold for it.

use std::borrow::Cow;

/// A policy that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) version: Version,
    pub(super) configuration: Option<Vec<Rule>>,
    pub(super) authorization: Vec<Rule>,
    pub(super) issuance: Option<Vec<Rule>>,
}

impl Policy {
    /// The version of the language.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The rules of a section, in the order in which they apply; none if the section is absent.
    #[must_use]
    pub fn rules(&self, section: Section) -> &[Rule] {
        match section {
            Section::Configuration => self.configuration.as_deref().unwrap_or_default(),
            Section::Authorization => &self.authorization,
            Section::Issuance => self.issuance.as_deref().unwrap_or_default(),
        }
    }
}

/// A version of the policy language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0: authorization and issuance rules.
    V1_0,
    /// 1.1: adds configuration rules.
    V1_1,
    /// 1.2: adds functions and negated conditions.
    V1_2,
}

impl Version {
    /// The version as a policy writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

/// A section of a policy; sections apply in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `configurationrules`: how the service treats the evidence.
    Configuration,
    /// `authorizationrules`: whether there is a token.
    Authorization,
    /// `issuancerules`: what is added to the token.
    Issuance,
}

impl Section {
    /// All sections, in the order in which they apply.
    pub const ALL: [Self; 3] = [Self::Configuration, Self::Authorization, Self::Issuance];

    /// The section's name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configurationrules",
            Self::Authorization => "authorizationrules",
            Self::Issuance => "issuancerules",
        }
    }
}

/// A rule: if all conditions hold, the action is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The conditions; none means always.
    pub conditions: Vec<Condition>,
    /// What the rule does.
    pub action: Action,
    /// Where the rule begins in the text.
    pub line: Line,
}

/// A line number, from 1. Where a rule stands is no part of what it says: all lines are equal.
#[derive(Clone, Copy, Debug)]
pub struct Line(pub u32);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

/// A condition: at least one claim (or, negated, no claim) of the incoming set passes all tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether a matching claim must be there or must not.
    pub sense: Sense,
    /// The name under which the rest of the rule refers to the matching claims.
    pub name: Option<Ident>,
    /// The tests, at least one.
    pub tests: Vec<Test>,
}

/// Whether a condition wants a matching claim or wants none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// At least one claim must match.
    Present,
    /// No claim may match (`!`, version 1.2).
    Absent,
}

/// A comparison of one property of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The property of the claim.
    pub property: Property,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub operand: Expression,
}

/// A property of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// The claim's name.
    Type,
    /// The claim's value.
    Value,
    /// `String`, `Integer` or `Boolean`.
    ValueType,
    /// Who made the claim.
    Issuer,
}

impl Property {
    /// The property's name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Value => "value",
            Self::ValueType => "valueType",
            Self::Issuer => "issuer",
        }
    }
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`, integers only.
    Less,
    /// `<=`, integers only.
    LessOrEqual,
    /// `>`, integers only.
    Greater,
    /// `>=`, integers only.
    GreaterOrEqual,
}

impl Operator {
    /// The operator's sign in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether the operator asks for an order, which only integers have.
    pub(crate) fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// `true` or `false`.
    Boolean(bool),
    /// A decimal integer.
    Integer(i64),
    /// A string.
    Text(Text),
    /// A property of the claims that an earlier condition matched.
    Property {
        /// The name of that condition.
        of: Ident,
        /// The property.
        property: Property,
    },
    /// A call of a function (version 1.2).
    Call {
        /// The function.
        function: Function,
        /// Its arguments, as many as it takes.
        arguments: Vec<Self>,
    },
}

/// A function of version 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Searches JSON. It parses and prints; evaluation refuses it as not supported.
    JmesPath,
    /// Turns JSON text into values.
    JsonToClaimValue,
    /// Whether every value of the first set is in the second.
    IsSubsetOf,
    /// Joins two strings.
    AppendString,
    /// Negates a Boolean.
    NegateBool,
    /// Whether a set is not empty and has no value but the given one.
    ContainsOnlyValue,
}

impl Function {
    /// All functions.
    pub const ALL: [Self; 6] = [
        Self::JmesPath,
        Self::JsonToClaimValue,
        Self::IsSubsetOf,
        Self::AppendString,
        Self::NegateBool,
        Self::ContainsOnlyValue,
    ];

    /// The function's name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JmesPath => "JmesPath",
            Self::JsonToClaimValue => "JsonToClaimValue",
            Self::IsSubsetOf => "IsSubsetOf",
            Self::AppendString => "AppendString",
            Self::NegateBool => "NegateBool",
            Self::ContainsOnlyValue => "ContainsOnlyValue",
        }
    }

    /// How many arguments the function takes.
    #[must_use]
    pub fn arity(self) -> usize {
        match self {
            Self::JsonToClaimValue | Self::NegateBool => 1,
            Self::JmesPath | Self::IsSubsetOf | Self::AppendString | Self::ContainsOnlyValue => 2,
        }
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Asks for a token.
    Permit,
    /// Forbids a token.
    Deny,
    /// Adds a claim to the incoming set.
    Add(Subject),
    /// Adds a claim to the incoming and the outgoing set; among authorization rules to the incoming set only.
    Issue(Subject),
    /// Sets a property of the service or the token.
    IssueProperty(Subject),
}

/// The claim that an action makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The claims that a condition matched.
    Claim(Ident),
    /// A new claim.
    New {
        /// The claim's type.
        kind: Expression,
        /// The claim's value.
        value: Expression,
    },
}

/// The name of a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ident(pub(super) String);

impl Ident {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A string as it is written between its quotation marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub(super) String);

impl Text {
    /// The string as it is written, with its escapes.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The string that is meant.
    ///
    /// # Errors
    /// Public text defines one escape, that of the quotation mark; others have no known meaning.
    pub fn value(&self) -> Result<Cow<'_, str>, Unescapable> {
        if !self.0.contains('\\') {
            return Ok(Cow::Borrowed(&self.0));
        }
        let mut value = String::with_capacity(self.0.len());
        let mut characters = self.0.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' if characters.next() == Some('"') => value.push('"'),
                '\\' => return Err(Unescapable),
                other => value.push(other),
            }
        }
        Ok(Cow::Owned(value))
    }
}

/// A string has an escape other than that of the quotation mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an escape other than \\\" in a string")]
pub struct Unescapable;
