//! Bodies of requests to the key-value engine.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::refusal::Refusal;
use crate::http::request::{Request, Verb};
use crate::kv::{Content, NewVersion, Settings};

/// The body of a write.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    options: Option<Options>,
    /// Sent by clients that do not know better; it says nothing.
    #[serde(default, rename = "version")]
    _version: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    cas: Option<Number>,
}

/// A number, also as a text, which command-line clients send.
#[derive(Deserialize)]
#[serde(transparent)]
struct Number(serde_json::Value);

impl Number {
    fn value(&self) -> Result<u64, Refusal> {
        let number = match &self.0 {
            serde_json::Value::Number(number) => number.as_u64(),
            serde_json::Value::String(text) => text.parse().ok(),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        };
        number
            .ok_or_else(|| Refusal::malformed("versions and cas are numbers that are not negative"))
    }
}

impl<'a> Write<'a> {
    pub(super) fn new_version(&self, verb: Verb) -> Result<NewVersion<'a>, Refusal> {
        let data = self.data.map(RawValue::get).filter(|data| data.starts_with('{'));
        let data = data.ok_or_else(|| Refusal::malformed("no data provided"))?.as_bytes();
        let cas = self.options.as_ref().and_then(|options| options.cas.as_ref());
        Ok(NewVersion {
            content: match verb {
                Verb::Patch => Content::Patch(data),
                Verb::Read | Verb::List | Verb::Write | Verb::Delete | Verb::Other => {
                    Content::Whole(data)
                }
            },
            check_and_set: cas.map(Number::value).transpose()?,
        })
    }
}

/// The versions that a body names.
pub(super) fn versions(request: &Request) -> Result<BTreeSet<u64>, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        versions: Vec<Number>,
    }
    let asked: Asked = request.json()?;
    if asked.versions.is_empty() || asked.versions.len() > 1000 {
        return Err(Refusal::malformed("No version number provided"));
    }
    asked.versions.iter().map(Number::value).collect()
}

/// What a body sets of a secret's metadata.
pub(super) fn settings(request: &Request) -> Result<Settings, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        max_versions: Option<Number>,
        cas_required: Option<bool>,
        delete_version_after: Option<String>,
        custom_metadata: Option<BTreeMap<String, String>>,
    }
    let asked: Asked = request.json()?;
    if !matches!(asked.delete_version_after.as_deref(), None | Some("" | "0" | "0s")) {
        return Err(Refusal::not_supported("delete_version_after is not supported"));
    }
    Ok(Settings {
        max_versions: asked.max_versions.as_ref().map(Number::value).transpose()?,
        cas_required: asked.cas_required,
        custom_metadata: asked.custom_metadata,
    })
}
