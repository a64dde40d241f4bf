//! Bodies of requests: JSON objects whose members are all known.
//!
//! A member that nobody reads is refused, so that a misspelt setting is never taken for set.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{Answer, ArmError, invalid_content};

/// A JSON object with the place it stands at.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    place: String,
    members: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The body of a request.
    pub(super) fn root(value: &'a Value) -> Answer<Self> {
        let members =
            value.as_object().ok_or_else(|| invalid_content("the body is not a JSON object"))?;
        Ok(Self { place: String::new(), members })
    }

    pub(super) fn of(place: &str, members: &'a Map<String, Value>) -> Self {
        Self { place: place.to_owned(), members }
    }

    /// Refuse members other than these. Names compare without case, as the providers' deserializers do.
    pub(super) fn only(&self, known: &[&str]) -> Answer<()> {
        for name in self.members.keys() {
            if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(invalid_content(format!(
                    "Could not find member '{name}' on object of type '{}'",
                    self.name()
                )));
            }
        }
        Ok(())
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        let found = self.members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Answer<Option<&'a str>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    pub(super) fn needed_text(&self, name: &str) -> Answer<&'a str> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn flag(&self, name: &str) -> Answer<Option<bool>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(name, "a boolean")),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Answer<Option<i64>> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| self.wrong(name, "an integer")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Answer<Option<f64>> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| self.wrong(name, "a number")),
        }
    }

    pub(super) fn object(&self, name: &str) -> Answer<Option<Self>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { place: self.place_of(name), members })),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    pub(super) fn needed_object(&self, name: &str) -> Answer<Self> {
        self.object(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn list(&self, name: &str) -> Answer<&'a [Value]> {
        match self.value(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.wrong(name, "an array")),
        }
    }

    pub(super) fn objects(&self, name: &str) -> Answer<Vec<Self>> {
        let place = self.place_of(name);
        let item = |(at, item): (usize, &'a Value)| {
            let members =
                item.as_object().ok_or_else(|| self.wrong(name, "an array of objects"))?;
            Ok(Self { place: format!("{place}[{at}]"), members })
        };
        self.list(name)?.iter().enumerate().map(item).collect()
    }

    pub(super) fn texts(&self, name: &str) -> Answer<Vec<String>> {
        let item = |item: &Value| {
            item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, "an array of strings"))
        };
        self.list(name)?.iter().map(item).collect()
    }

    /// `tags`: strings to strings, at most 50.
    pub(super) fn tags(&self) -> Answer<Option<BTreeMap<String, String>>> {
        let Some(tags) = self.object("tags")? else { return Ok(None) };
        if tags.members.len() > 50 {
            return Err(ArmError::new(
                400,
                "InvalidTags",
                "The number of tags exceeds the maximum of 50.",
            ));
        }
        let one = |(name, value): (&String, &Value)| {
            let text = value.as_str().ok_or_else(|| tags.wrong(name, "a string"))?;
            Ok((name.clone(), text.to_owned()))
        };
        tags.members.iter().map(one).collect::<Answer<_>>().map(Some)
    }

    pub(super) fn members(&self) -> &'a Map<String, Value> {
        self.members
    }

    pub(super) fn missing(&self, name: &str) -> ArmError {
        invalid_content(format!(
            "Required property '{name}' not found in JSON. Path '{}'",
            self.place
        ))
    }

    pub(super) fn wrong(&self, name: &str, wanted: &str) -> ArmError {
        invalid_content(format!("{} is not {wanted}", self.place_of(name)))
    }

    fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn name(&self) -> &str {
        if self.place.is_empty() { "resource" } else { &self.place }
    }
}
