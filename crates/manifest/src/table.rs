//! A table that is read key by key.

use std::cell::RefCell;
use std::ops::Range;

use toml::de::DeTable;

use crate::read::{Item, Read, Reported, Sink, join, nearest};

/// A table of the document, some of whose keys have been asked for.
pub(crate) struct Table<'t> {
    entries: &'t DeTable<'t>,
    span: Range<usize>,
    path: String,
    sink: &'t Sink<'t>,
    known: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<&'static str>>,
}

impl<'t> Table<'t> {
    pub(crate) fn new(
        entries: &'t DeTable<'t>,
        span: Range<usize>,
        path: String,
        sink: &'t Sink<'t>,
    ) -> Self {
        let (known, missing) = (RefCell::default(), RefCell::default());
        Self { entries, span, path, sink, known, missing }
    }

    fn find(&self, key: &'static str) -> Option<Item<'t>> {
        self.known.borrow_mut().push(key);
        let value = self.entries.get(key)?;
        let path = join(&self.path, key);
        Some(Item { value: value.get_ref(), span: value.span(), path, sink: self.sink })
    }

    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'t>) -> Read<T>,
    ) -> Read<T> {
        match self.find(key) {
            Some(item) => read(&item),
            None => {
                self.missing.borrow_mut().push(key);
                Err(Reported)
            }
        }
    }

    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'t>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.find(key).map(|item| read(&item)).transpose()
    }

    pub(crate) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Item<'t>) -> Read<T>,
    ) -> Read<T> {
        self.optional(key, read).map(|value| value.unwrap_or(default))
    }

    /// What is in it, for checks of the document as a whole.
    pub(crate) fn entries(&self) -> &'t DeTable<'t> {
        self.entries
    }

    /// Says that a key, of this table or deeper, may not be there.
    pub(crate) fn reject_key(&self, path: &str, key: Range<usize>, expected: &str) {
        let found = self.sink.quote(key.clone());
        self.sink.push(path, key, found, expected.to_owned(), None);
    }

    /// Refuses what no reader asked for, and says what was asked for in vain.
    pub(crate) fn finish(self) {
        let mut missing = self.missing.into_inner();
        let known = self.known.into_inner();
        for (key, value) in self.entries {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let path = join(&self.path, name);
            let item = Item { value: value.get_ref(), span: key.span(), path, sink: self.sink };
            let absent: Vec<&str> =
                known.iter().filter(|known| !self.entries.contains_key(**known)).copied().collect();
            let near = nearest(name, &absent).or_else(|| nearest(name, &known));
            let mut sorted = known.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let expected = match sorted.as_slice() {
                [] => "no key here".to_owned(),
                known => format!("one of the keys {}", known.join(", ")),
            };
            item.report(expected, near.map(|near| format!("`{near}`")));
            // A misspelt key is one fault, not also a missing one.
            missing.retain(|missing| Some(*missing) != near);
        }
        for key in missing {
            let path = join(&self.path, key);
            let expected = format!("the key `{key}`");
            self.sink.push(&path, self.span.clone(), "no such key".to_owned(), expected, None);
        }
    }
}
