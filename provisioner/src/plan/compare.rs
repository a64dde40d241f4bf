//! What differs between a resource as it should be and as it is.
//!
//! Each member of the expected value must be found with an equal value; what Azure adds is nobody's business. Azure spells
//! some things anew: ids in another case, regions with spaces, whole numbers with a fraction.

use serde_json::Value;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The member, as a JSON pointer (RFC 6901).
    pub path: String,
    /// What is there; absent if nothing is.
    pub found: Option<Value>,
    /// What should be.
    pub expected: Value,
}

/// All differences, in the order of their paths.
#[must_use]
pub fn compare(expected: &Value, found: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    walk(String::new(), expected, Some(found), &mut changes);
    changes
}

fn walk(path: String, expected: &Value, found: Option<&Value>, changes: &mut Vec<Change>) {
    match (expected, found) {
        (Value::Object(members), Some(Value::Object(there))) => {
            for (name, value) in members {
                let same = |other: &&String| other.eq_ignore_ascii_case(name);
                let other = there
                    .get(name)
                    .or_else(|| there.keys().find(same).and_then(|name| there.get(name)));
                let step = name.replace('~', "~0").replace('/', "~1");
                walk(format!("{path}/{step}"), value, other, changes);
            }
        }
        (Value::Array(items), Some(Value::Array(there))) if items.len() == there.len() => {
            for (at, (item, other)) in items.iter().zip(there).enumerate() {
                walk(format!("{path}/{at}"), item, Some(other), changes);
            }
        }
        // An empty container that is not shown is not there to be wrong.
        (Value::Object(members), None) if members.is_empty() => {}
        (Value::Array(items), None) if items.is_empty() => {}
        (expected, found) if found.is_some_and(|found| same(&path, expected, found)) => {}
        (expected, found) => {
            changes.push(Change { path, found: found.cloned(), expected: expected.clone() });
        }
    }
}

fn same(path: &str, expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| (a - b).abs() < 1e-9)
        }
        (Value::String(a), Value::String(b)) if path == "/location" => region(a) == region(b),
        (Value::String(a), Value::String(b)) if a.starts_with("/subscriptions/") => {
            a.eq_ignore_ascii_case(b)
        }
        (a, b) => a == b,
    }
}

fn region(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(expected: Value, found: Value, paths: &[&str]) {
        let changes = compare(&expected, &found);
        assert_eq!(changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), paths);
    }

    #[test]
    fn what_azure_adds_and_respells_is_no_difference() {
        check(
            json!({"location": "westeurope", "n": 2, "list": [{"a": 1}], "none": {}, "ids": {"/subscriptions/X": {}}}),
            json!({"location": "West Europe", "n": 2.0, "list": [{"a": 1, "b": 2}], "ids": {"/SUBSCRIPTIONS/x": {}}, "more": 1}),
            &[],
        );
    }

    #[test]
    fn names_every_member_that_differs() {
        check(
            json!({"tags": {"a/b": "c"}, "list": [1, 2], "deep": {"x": true, "y": 1}}),
            json!({"tags": {"a/b": "d"}, "list": [1], "deep": {"x": true}}),
            &["/deep/y", "/list", "/tags/a~1b"],
        );
    }
}
