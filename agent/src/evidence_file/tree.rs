//! What is printed: names and values, as indented text or as JSON, in the order in which they were put.

use std::fmt;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

/// A value with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    Number(u64),
    Switch(bool),
    List(Vec<Self>),
    Map(Vec<(&'static str, Self)>),
}

impl Node {
    /// Text of the evidence, without control characters.
    pub(super) fn text(value: impl fmt::Display) -> Self {
        let text = value.to_string();
        if text.contains(char::is_control) {
            return Self::Text(text.escape_debug().to_string());
        }
        Self::Text(text)
    }

    pub(super) fn hex(bytes: &[u8]) -> Self {
        Self::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Text(text) => writeln!(f, " {text}"),
            Self::Number(number) => writeln!(f, " {number}"),
            Self::Switch(on) => writeln!(f, " {}", if *on { "yes" } else { "no" }),
            Self::List(nodes) if nodes.is_empty() => writeln!(f, " none"),
            Self::List(nodes) => {
                writeln!(f)?;
                nodes.iter().try_for_each(|node| match node {
                    Self::Map(_) | Self::List(_) => {
                        write!(f, "{:1$}-", "", depth * 2)?;
                        node.write(f, depth + 1)
                    }
                    Self::Text(_) | Self::Number(_) | Self::Switch(_) => {
                        write!(f, "{:1$}-", "", depth * 2)?;
                        node.write(f, depth)
                    }
                })
            }
            Self::Map(members) => {
                if depth > 0 {
                    writeln!(f)?;
                }
                members.iter().try_for_each(|(name, node)| {
                    write!(f, "{:1$}{name}:", "", depth * 2)?;
                    node.write(f, depth + 1)
                })
            }
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Switch(on) => serializer.serialize_bool(*on),
            Self::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                nodes.iter().try_for_each(|node| list.serialize_element(node))?;
                list.end()
            }
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, node)| map.serialize_entry(name, node))?;
                map.end()
            }
        }
    }
}
