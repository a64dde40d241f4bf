//! The hash of a seccomp profile, as policies name it.
//!
//! OCI runtime specification, "Seccomp". The guest hashes the profile that it is about to install in Go's JSON form of
//! the specification's structures; the reference tool brings a user's file (Docker's format, with comments and keys of
//! other tools) into that form: known keys in the structures' order, no spaces. Where a value has no such form that is
//! known here, the profile is refused.

use std::fmt::{self, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

/// The SHA-256 of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeccompProfile([u8; 32]);

/// Why a profile has no hash.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Not JSON.
    #[error("the profile does not parse")]
    Json(#[from] serde_json::Error),
    /// A value of another type than is known there.
    #[error("the profile's {0:?} is not supported")]
    Value(String),
}

impl SeccompProfile {
    /// Reads a profile in JSON.
    pub fn parse(json: &[u8]) -> Result<Self, SeccompError> {
        let text = canonical(&serde_json::from_slice(json)?)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Ok(Self(hash))
    }
}

impl fmt::Display for SeccompProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

type Object = Map<String, Value>;
type Form = fn(&str, &Value) -> Result<String, SeccompError>;

fn canonical(profile: &Object) -> Result<String, SeccompError> {
    members(
        profile,
        &[
            ("defaultAction", Some("\"\""), plain),
            ("defaultErrnoRet", None, plain),
            ("architectures", None, plain),
            ("flags", None, plain),
            ("listenerPath", None, plain),
            ("listenerMetadata", None, plain),
            ("syscalls", None, |key, value| list(key, value, syscall)),
        ],
    )
}

fn syscall(key: &str, value: &Value) -> Result<String, SeccompError> {
    members(
        object(key, value)?,
        &[
            ("names", Some("[]"), plain),
            ("action", Some("\"\""), plain),
            ("errnoRet", None, plain),
            ("args", None, |key, value| list(key, value, argument)),
        ],
    )
}

fn argument(key: &str, value: &Value) -> Result<String, SeccompError> {
    members(
        object(key, value)?,
        &[
            ("index", Some("0"), plain),
            ("value", Some("0"), plain),
            ("valueTwo", None, plain),
            ("op", Some("\"\""), plain),
        ],
    )
}

/// The known members of an object in their order; what is missing and has a default is written too.
fn members(object: &Object, known: &[(&str, Option<&str>, Form)]) -> Result<String, SeccompError> {
    let mut parts = Vec::new();
    for (key, default, form) in known {
        let text = match object.get(*key) {
            Some(value) => Some(form(key, value)?),
            None => default.map(str::to_owned),
        };
        parts.extend(text.map(|text| format!("\"{key}\":{text}")));
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

fn object<'a>(key: &str, value: &'a Value) -> Result<&'a Object, SeccompError> {
    value.as_object().ok_or_else(|| SeccompError::Value(key.to_owned()))
}

fn list(key: &str, value: &Value, form: Form) -> Result<String, SeccompError> {
    let items = value.as_array().ok_or_else(|| SeccompError::Value(key.to_owned()))?;
    let items = items.iter().map(|item| form(key, item)).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[{}]", items.join(",")))
}

/// A value without members. Only whole numbers have one form everywhere.
fn plain(key: &str, value: &Value) -> Result<String, SeccompError> {
    match value {
        Value::Null => Ok("null".to_owned()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Value::String(text) => Ok(quoted(text)),
        Value::Array(_) => list(key, value, plain),
        Value::Number(_) | Value::Object(_) => Err(SeccompError::Value(key.to_owned())),
    }
}

/// A text in ASCII, as the reference tool writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}
