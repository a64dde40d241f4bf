//! A release policy as compact JSON, in the order in which a vault writes it: `version`, `anyOf`,
//! and inside `authority`, then the group.

use std::fmt::{Display, Formatter, Result, Write};

use super::{Authority, Condition, Group, ReleasePolicy, Scalar, Version};

impl Display for ReleasePolicy {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{{\"version\":\"{}\",\"anyOf\":", self.version.as_str())?;
        list(out, &self.any_of)?;
        out.write_char('}')
    }
}

impl Version {
    /// The version as a policy writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0_0 => "1.0.0",
            Self::V0_2 => "0.2",
        }
    }
}

impl Display for Authority {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{{\"authority\":{},{}}}", quoted(&self.authority), self.group)
    }
}

impl Display for Group {
    /// The group as a member of an object.
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let (name, conditions) = match self {
            Self::AnyOf(conditions) => ("anyOf", conditions),
            Self::AllOf(conditions) => ("allOf", conditions),
        };
        write!(out, "\"{name}\":")?;
        list(out, conditions)
    }
}

impl Display for Condition {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Group(group) => write!(out, "{{{group}}}"),
            Self::Claim { claim, operator, value } => {
                write!(out, "{{\"claim\":{},\"{}\":{value}}}", quoted(claim), operator.as_str())
            }
        }
    }
}

impl Display for Scalar {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Text(value) => out.write_str(&quoted(value)),
        }
    }
}

fn list<T: Display>(out: &mut Formatter<'_>, members: &[T]) -> Result {
    out.write_char('[')?;
    for (index, member) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{member}")?;
    }
    out.write_char(']')
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
