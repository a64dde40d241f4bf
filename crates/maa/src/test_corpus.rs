//! Real data for tests, if it is there.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::encoding::from_base64url;

/// A file of the corpus as text.
pub(crate) fn read(path: &str) -> Option<String> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let root = std::env::var_os("VOUCHSAFE_CORPUS").map_or(default, PathBuf::from);
    std::fs::read_to_string(root.join(path)).ok()
}

/// Says that a test was skipped.
#[expect(clippy::print_stderr, reason = "the only way for a test to say that it was skipped")]
pub(crate) fn absent(test: &str) {
    eprintln!("corpus absent: {test}");
}

/// The tokens in the answers of a recording.
pub(crate) fn tokens(recording: &str) -> Vec<String> {
    let recording: Value = serde_json::from_str(recording).unwrap();
    bodies(&recording)
        .iter()
        .filter_map(|body| Some(body.get("token")?.as_str()?.to_owned()))
        .collect()
}

/// The claims of the tokens in the answers of a recording, unverified.
pub(crate) fn token_claims(recording: &str) -> Vec<Map<String, Value>> {
    let claims = |token: String| {
        serde_json::from_slice(&from_base64url(token.split('.').nth(1)?).ok()?).ok()
    };
    tokens(recording).into_iter().filter_map(claims).collect()
}

/// The key sets in the answers of a recording.
pub(crate) fn key_sets(recording: &str) -> Vec<String> {
    let recording: Value = serde_json::from_str(recording).unwrap();
    bodies(&recording)
        .iter()
        .filter(|body| body.get("keys").is_some())
        .map(Value::to_string)
        .collect()
}

/// The JSON bodies of the answers; there are two formats of recordings.
fn bodies(recording: &Value) -> Vec<Value> {
    let calls = recording
        .get("networkCallRecords")
        .or(recording.get("Entries"))
        .and_then(Value::as_array)
        .unwrap();
    calls
        .iter()
        .filter_map(|call| match call.get("ResponseBody") {
            Some(body) => Some(body.clone()),
            None => serde_json::from_str(call.get("Response")?.get("BODY")?.as_str()?).ok(),
        })
        .collect()
}
