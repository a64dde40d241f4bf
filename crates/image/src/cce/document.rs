//! A JSON document whose values may be expressions, walked with the place of everything at hand.

use serde_json::{Map, Value};

use super::arm::ArmError;
use super::expression::{Names, get};

/// An object of the document, and where it is.
pub(super) struct At<'a> {
    pub(super) names: &'a Names,
    pub(super) path: String,
    pub(super) object: &'a Map<String, Value>,
}

/// A place of the document.
pub(super) struct Place(pub(super) String);

impl Place {
    pub(super) fn expected(self, expected: &'static str) -> ArmError {
        ArmError::Expected { at: self.0, expected }
    }

    pub(super) fn not_supported(self, what: &str) -> ArmError {
        ArmError::NotSupported { at: self.0, what: what.to_owned() }
    }
}

impl<'a> At<'a> {
    pub(super) fn at(&self, key: &str) -> Place {
        Place(format!("{}.{key}", self.path))
    }

    pub(super) fn find(&self, key: &str) -> Option<(Place, &'a Value)> {
        get(self.object, key).map(|value| (self.at(key), value))
    }

    /// Refuses keys that are not known, or are there twice in different case.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ArmError> {
        let mut seen = Vec::new();
        for (key, value) in self.object {
            let lower = key.to_ascii_lowercase();
            let twice = seen.contains(&lower);
            let unknown = !known.iter().any(|known| known.eq_ignore_ascii_case(key));
            if twice || unknown && !value.is_null() {
                return Err(self.at(key).not_supported(if twice { "a key twice" } else { "this" }));
            }
            seen.push(lower);
        }
        Ok(())
    }

    fn value(&self, key: &str) -> Result<Option<&'a Value>, ArmError> {
        let Some((place, value)) = self.find(key) else { return Ok(None) };
        let resolved = self.names.resolve(value);
        resolved.map(Some).map_err(|source| ArmError::Expression { at: place.0, source })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ArmError> {
        let Some(value) = self.value(key)? else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.at(key).expected(expected))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ArmError> {
        self.typed(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn required_text(&self, key: &str) -> Result<String, ArmError> {
        self.text(key)?.ok_or_else(|| self.at(key).expected("a text"))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ArmError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u32>, ArmError> {
        let number = |value: &Value| value.as_u64().and_then(|number| number.try_into().ok());
        self.typed(key, "a number from 0 to 4294967295", number)
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, ArmError> {
        let object = self.typed(key, "an object", Value::as_object)?;
        Ok(object.map(|object| Self { names: self.names, path: self.at(key).0, object }))
    }

    pub(super) fn required_object(&self, key: &str) -> Result<Self, ArmError> {
        self.object(key)?.ok_or_else(|| self.at(key).expected("an object"))
    }

    pub(super) fn objects(&self, key: &str) -> Result<Vec<Self>, ArmError> {
        let list = self.typed(key, "a list", Value::as_array)?.into_iter().flatten().enumerate();
        let object = |(index, value): (usize, &'a Value)| {
            let path = format!("{}.{key}[{index}]", self.path);
            match value.as_object() {
                Some(object) => Ok(Self { names: self.names, path, object }),
                None => Err(Place(path).expected("an object")),
            }
        };
        list.map(object).collect()
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, ArmError> {
        let list = self.typed(key, "a list", Value::as_array)?.into_iter().flatten().enumerate();
        let text = |(index, value): (usize, &'a Value)| {
            let path = format!("{}.{key}[{index}]", self.path);
            let resolved = self.names.resolve(value);
            let value = resolved
                .map_err(|source| ArmError::Expression { at: path.clone(), source })?
                .as_str();
            value.map(str::to_owned).ok_or_else(|| Place(path).expected("a text"))
        };
        list.map(text).collect()
    }
}
