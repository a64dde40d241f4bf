//! JSON objects whose values stay as they came: a secret is not copied about to be looked at.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::KvError;

/// The fields of an object, their values unread. An object that names a field twice is refused.
#[derive(Debug, Default)]
pub struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &'a [u8]) -> Result<Self, KvError> {
        serde_json::from_slice(text).map_err(|_| KvError::Malformed("not a JSON object"))
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(A::Error::custom("a field twice"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Object)
    }
}

/// The object that results from a JSON merge patch (RFC 7386).
///
/// # Errors
/// One of them is no object, or too deep.
pub fn merge_patch(target: &[u8], patch: &[u8]) -> Result<Zeroizing<Vec<u8>>, KvError> {
    // No longer than both together, so that growing leaves no copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(target.len() + patch.len() + 16));
    merge(Some(Fields::parse(target)?), &Fields::parse(patch)?, &mut out, 0)?;
    Ok(out)
}

fn merge(
    target: Option<Fields<'_>>,
    patch: &Fields<'_>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), KvError> {
    if depth > DEEPEST {
        return Err(KvError::Malformed("too deep"));
    }
    let target = target.unwrap_or_default();
    let mut names: Vec<&str> = target.0.keys().chain(patch.0.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    out.push(b'{');
    let mut first = true;
    for name in names {
        let (old, new) = (target.get(name), patch.get(name));
        if new.is_some_and(|new| new.get() == "null") {
            continue;
        }
        let Some(value) = new.or(old) else { continue };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name).map_err(|_| KvError::Damaged)?;
        out.push(b':');
        match new.and_then(object) {
            Some(new) => merge(old.and_then(object), &new, out, depth + 1)?,
            None => out.extend_from_slice(value.get().as_bytes()),
        }
    }
    out.push(b'}');
    Ok(())
}

fn object(value: &RawValue) -> Option<Fields<'_>> {
    value.get().starts_with('{').then(|| Fields::parse(value.get().as_bytes()).ok()).flatten()
}

const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_as_the_examples_of_rfc_7386() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":"foo"}"#, r#"{"b":{"c":null}}"#, r#"{"a":"foo","b":{}}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let merged = merge_patch(target.as_bytes(), patch.as_bytes()).unwrap();
            assert_eq!(std::str::from_utf8(&merged).unwrap(), expected, "{target} {patch}");
        }
    }

    #[test]
    fn refuses_what_is_no_object_or_names_a_field_twice() {
        for bad in ["[]", "1", "", "{", r#"{"a":1,"a":2}"#] {
            assert!(Fields::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
