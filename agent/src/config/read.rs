//! Reading a TOML table key by key, so that every fault is found and not only the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its line, from 1.
    pub line: usize,
    /// The dotted path of the key.
    pub path: String,
    /// What should be there.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, path, expected } = self;
        if path.is_empty() {
            write!(f, "line {line}: {expected}")
        } else {
            write!(f, "line {line}: {path}: {expected}")
        }
    }
}

/// Where faults go.
pub(super) struct Sink<'t> {
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Sink<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, faults: RefCell::new(Vec::new()) }
    }

    pub(super) fn push(&self, span: &Range<usize>, path: &str, expected: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let fault = Fault { line, path: path.to_owned(), expected: expected.into() };
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line);
        faults
    }
}

/// A table, some of whose keys have been asked for.
pub(super) struct Table<'t> {
    entries: &'t DeTable<'t>,
    span: Range<usize>,
    path: String,
    sink: &'t Sink<'t>,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// A value in a table.
pub(super) struct Item<'t> {
    value: &'t DeValue<'t>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
    sink: &'t Sink<'t>,
}

impl<'t> Table<'t> {
    pub(super) fn root(entries: &'t DeTable<'t>, sink: &'t Sink<'t>) -> Self {
        Self { entries, span: 0..0, path: String::new(), sink, asked: RefCell::default() }
    }

    pub(super) fn optional(&self, key: &'static str) -> Option<Item<'t>> {
        self.asked.borrow_mut().insert(key);
        let value = self.entries.get(key)?;
        let path = self.join(key);
        Some(Item { value: value.get_ref(), span: value.span(), path, sink: self.sink })
    }

    pub(super) fn required(&self, key: &'static str) -> Option<Item<'t>> {
        let item = self.optional(key);
        if item.is_none() {
            self.sink.push(&self.span, &self.path, format!("the key `{key}` is missing"));
        }
        item
    }

    /// Says that the table as a whole is wrong.
    pub(super) fn reject(&self, expected: &str) {
        self.sink.push(&self.span, &self.path, expected);
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if asked.contains(name) {
                continue;
            }
            let near = asked.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
            let expected = match near.min() {
                Some((distance, near)) if distance <= 3 => format!("unknown key, try `{near}`"),
                _ => {
                    let known: Vec<&str> = asked.iter().copied().collect();
                    format!("unknown key, expected one of {}", known.join(", "))
                }
            };
            self.sink.push(&key.span(), &self.join(name), expected);
        }
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'t> Item<'t> {
    pub(super) fn reject(&self, expected: impl Into<String>) {
        self.sink.push(&self.span, &self.path, expected);
    }

    pub(super) fn text(&self) -> Option<&'t str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.reject("expected a string");
        }
        text
    }

    /// A string that is a `T`, or the fault with what `T` says of it.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(&self) -> Option<T> {
        self.text()?.parse().map_err(|error: T::Err| self.reject(error.to_string())).ok()
    }

    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.value.as_integer().and_then(|integer| {
            u64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .filter(|n| range.contains(n))
        });
        if number.is_none() {
            self.reject(format!("expected a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    pub(super) fn list(&self) -> Vec<Self> {
        let Some(array) = self.value.as_array() else {
            self.reject("expected a list");
            return Vec::new();
        };
        let item = |(at, value): (usize, &'t toml::Spanned<DeValue<'t>>)| Self {
            value: value.get_ref(),
            span: value.span(),
            path: format!("{}[{at}]", self.path),
            sink: self.sink,
        };
        array.iter().enumerate().map(item).collect()
    }

    /// A list of strings that are each a `T`, at least one, none twice.
    pub(super) fn set<T: FromStr<Err: fmt::Display> + Ord>(&self) -> Option<BTreeSet<T>> {
        let items = self.list();
        let mut set = BTreeSet::new();
        let mut whole = true;
        for item in &items {
            match item.parse() {
                Some(value) => {
                    if !set.insert(value) {
                        item.reject("is there twice");
                    }
                }
                None => whole = false,
            }
        }
        if items.is_empty() {
            self.reject("expected at least one");
        }
        (whole && !items.is_empty()).then_some(set)
    }

    pub(super) fn table(&self) -> Option<Table<'t>> {
        let Some(entries) = self.value.as_table() else {
            self.reject("expected a table");
            return None;
        };
        let (span, path) = (self.span.clone(), self.path.clone());
        Some(Table { entries, span, path, sink: self.sink, asked: RefCell::default() })
    }
}
