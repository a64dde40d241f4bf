//! A second evaluator over plain JSON, written straight from the grammar.

use serde_json::Value;

/// Whether a policy lets a token's claims through.
pub(super) fn permits(policy: &Value, issuer: &str, claims: &Value) -> bool {
    policy["anyOf"].as_array().unwrap().iter().any(|authority| {
        let name = authority["authority"].as_str().unwrap();
        (name == issuer || *name == format!("{issuer}/")) && holds(authority, claims)
    })
}

fn holds(condition: &Value, claims: &Value) -> bool {
    if let Some(any) = condition.get("anyOf") {
        return any.as_array().unwrap().iter().any(|condition| holds(condition, claims));
    }
    if let Some(all) = condition.get("allOf") {
        return all.as_array().unwrap().iter().all(|condition| holds(condition, claims));
    }
    let path = condition["claim"].as_str().unwrap();
    let claim = claims.pointer(&format!("/{}", path.replace('.', "/")));
    let (operator, wanted) =
        condition.as_object().unwrap().iter().find(|(name, _)| *name != "claim").unwrap();
    let wanted = plain(wanted).unwrap();
    if operator == "exists" {
        return wanted == claim.is_some().to_string();
    }
    let Some(claim) = claim.and_then(plain) else { return false };
    let numbers = claim.parse::<i64>().ok().zip(wanted.parse::<i64>().ok());
    match operator.as_str() {
        "equals" => claim == wanted,
        "notEquals" => claim != wanted,
        "less" => numbers.is_some_and(|(a, b)| a < b),
        "lessOrEquals" => numbers.is_some_and(|(a, b)| a <= b),
        "greater" => numbers.is_some_and(|(a, b)| a > b),
        "greaterOrEquals" => numbers.is_some_and(|(a, b)| a >= b),
        other => panic!("{other}"),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
