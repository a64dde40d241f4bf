//! Resource ids: what a path of resource management is about.
//!
//! Ids compare without case (azure.md F.1); the case of names is kept as given when a resource is made.

use super::error::ArmError;

/// The parts of a path `/subscriptions/S[/resourceGroups/G][/providers/N/T/NAME[/T/NAME…]]…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    segments: Vec<String>,
}

impl Path {
    /// Split a path; empty segments are refused.
    pub(super) fn parse(segments: Vec<String>) -> Result<Self, ArmError> {
        let mut segments = segments;
        if segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        if segments.iter().any(String::is_empty) {
            return Err(ArmError::new(
                400,
                "InvalidRequestUri",
                "The request uri is invalid: it has an empty segment.",
            ));
        }
        Ok(Self { segments })
    }

    /// The segments from `at` on, as text.
    pub(super) fn from(&self, at: usize) -> Vec<&str> {
        self.segments.iter().skip(at).map(String::as_str).collect()
    }

    /// The segments in lower case, to match on.
    pub(super) fn lower(&self) -> Vec<String> {
        self.segments.iter().map(|segment| segment.to_ascii_lowercase()).collect()
    }

    /// Where the last `providers` stands: what is before is the scope of an extension resource.
    pub(super) fn last_providers(&self) -> Option<usize> {
        self.segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"))
    }

    /// The id of the first `count` segments.
    pub(super) fn prefix(&self, count: usize) -> String {
        self.segments.iter().take(count).map(|segment| format!("/{segment}")).collect()
    }
}

/// The subscription's id.
pub(super) fn subscription_id(subscription: uuid::Uuid) -> String {
    format!("/subscriptions/{subscription}")
}

/// A group's id.
pub(super) fn group_id(subscription: uuid::Uuid, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

/// `West Europe` and `westeurope` are one place.
pub(super) fn location(given: &str) -> String {
    given.to_ascii_lowercase().replace(' ', "")
}
