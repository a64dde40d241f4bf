//! Reading a parsed document so that every fault is found, not only the first.
//!
//! A reader asks a [`Table`] for each key that it knows. Whatever is missing, of the wrong kind or unreadable goes into
//! the [`Sink`] with its place, and the reader goes on; what no reader asked for is refused at the end of the table.
//! [`Reported`] stands for a value that could not be had and whose fault is in the sink already.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use toml::de::DeValue;

use crate::fault::{Fault, place};
use crate::table::Table;
use crate::words::Cloud;

/// The value is not there, and the sink knows why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported;

/// What a reader returns.
pub(crate) type Read<T> = Result<T, Reported>;

/// Where faults go.
pub(crate) struct Sink<'t> {
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

/// A value of the document.
pub(crate) struct Item<'t> {
    pub(crate) value: &'t DeValue<'t>,
    pub(crate) span: Range<usize>,
    pub(crate) path: String,
    pub(crate) sink: &'t Sink<'t>,
}

/// What readers of one section need to know of others, as far as it can be read.
pub(crate) struct Context {
    pub(crate) cloud: Option<Cloud>,
    pub(crate) workloads: BTreeSet<String>,
}

/// What a text must look like to be one of these, as a fault says it.
pub(crate) trait Expected: FromStr {
    const EXPECTED: &'static str;
}

/// A value that is one of a few words.
pub(crate) trait Choice: Copy + 'static {
    const CHOICES: &'static [(&'static str, Self)];
}

impl<'t> Sink<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, faults: RefCell::default() }
    }

    pub(crate) fn faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    pub(crate) fn push(
        &self,
        path: &str,
        span: Range<usize>,
        found: String,
        expected: String,
        help: Option<String>,
    ) -> Reported {
        if self.is_full() {
            return Reported;
        }
        let (line, column) = place(self.text, span.start);
        let path = path.to_owned();
        let fault = Fault { path, span, line, column, found, expected, help };
        self.faults.borrow_mut().push(fault);
        Reported
    }

    /// Whether nobody would read another fault; to find its place takes time.
    fn is_full(&self) -> bool {
        self.faults.borrow().len() >= MOST_FAULTS
    }

    /// The text of a span, as much of it as fits into a message.
    pub(crate) fn quote(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let mut short: String = line.chars().take(LONGEST_QUOTE).collect();
        if short.len() < text.trim_end().len() {
            short.push('…');
        }
        format!("`{short}`")
    }
}

impl<'t> Item<'t> {
    /// The whole document.
    pub(crate) fn document(value: &'t DeValue<'t>, sink: &'t Sink<'t>) -> Self {
        Self { value, span: 0..0, path: String::new(), sink }
    }

    /// Says that this is not what it should be.
    pub(crate) fn reject(&self, expected: impl Into<String>) -> Reported {
        self.report(expected.into(), None)
    }

    /// The same with advice.
    pub(crate) fn reject_try(
        &self,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) -> Reported {
        self.report(expected.into(), Some(help.into()))
    }

    /// The same for a word that should be one of those.
    pub(crate) fn reject_word(&self, expected: &str, words: &BTreeSet<String>) -> Reported {
        if self.sink.is_full() {
            return Reported;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let near = nearest(self.value.as_str().unwrap_or_default(), &words);
        self.report(expected.to_owned(), near.map(|near| format!("\"{near}\"")))
    }

    pub(crate) fn report(&self, expected: String, help: Option<String>) -> Reported {
        let found = self.sink.quote(self.span.clone());
        self.sink.push(&self.path, self.span.clone(), found, expected, help)
    }

    pub(crate) fn text(&self) -> Read<&'t str> {
        self.value.as_str().ok_or_else(|| self.reject("a string"))
    }

    pub(crate) fn parse<T: Expected>(&self) -> Read<T> {
        let text = self.value.as_str().ok_or_else(|| self.reject(T::EXPECTED))?;
        text.parse().map_err(|_| self.reject(T::EXPECTED))
    }

    pub(crate) fn choice<T: Choice>(&self) -> Read<T> {
        let names = || T::CHOICES.iter().map(|(name, _)| *name).collect::<Vec<&str>>();
        let expected = || {
            let quoted: Vec<String> = names().iter().map(|name| format!("\"{name}\"")).collect();
            quoted.join(" or ")
        };
        let text = self.value.as_str().ok_or_else(|| self.reject(expected()))?;
        match T::CHOICES.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => {
                Err(self.report(expected(), nearest(text, &names()).map(|n| format!("\"{n}\""))))
            }
        }
    }

    pub(crate) fn flag(&self) -> Read<bool> {
        self.value.as_bool().ok_or_else(|| self.reject("true or false"))
    }

    /// A whole number of the range.
    pub(crate) fn number<T: TryFrom<i64>>(&self, least: i64, most: i64) -> Read<T> {
        let expected = || format!("a whole number from {least} to {most}");
        let integer = self.value.as_integer().ok_or_else(|| self.reject(expected()))?;
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| (least..=most).contains(number));
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| self.reject(expected()))
    }

    /// A number of the range, whole or not.
    pub(crate) fn decimal(&self, least: f64, most: f64) -> Read<f64> {
        let text = match self.value {
            DeValue::Float(float) => float.as_str().to_owned(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().to_owned(),
            DeValue::Integer(_)
            | DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => String::new(),
        };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.reject(format!("a number from {least} to {most}")))
    }

    /// A day, as a string or as TOML's own local date.
    pub(crate) fn date(&self) -> Read<jiff::civil::Date> {
        let text = match self.value.as_datetime() {
            Some(date) => date.to_string(),
            None => self.value.as_str().unwrap_or_default().to_owned(),
        };
        // Only the plain form: jiff would also take a time of day and drop it.
        let date = Some(text).filter(|text| text.len() == "2027-01-31".len());
        let date = date.and_then(|text| text.parse().ok());
        date.ok_or_else(|| self.reject("a date such as \"2027-01-31\""))
    }

    pub(crate) fn list<T>(&self, read: impl Fn(&Self) -> Read<T>) -> Read<Vec<T>> {
        let array = self.value.as_array().ok_or_else(|| self.reject("a list"))?;
        let mut all = Ok(Vec::new());
        for (at, value) in array.iter().enumerate() {
            let path = format!("{}[{at}]", self.path);
            let item = Item { value: value.get_ref(), span: value.span(), path, sink: self.sink };
            push(&mut all, read(&item));
        }
        all
    }

    /// A list that says nothing twice.
    pub(crate) fn set<T: Ord>(&self, read: impl Fn(&Self) -> Read<T>) -> Read<BTreeSet<T>> {
        let seen = RefCell::new(BTreeSet::new());
        self.list(|item| match seen.borrow_mut().insert(read(item)?) {
            true => Ok(()),
            false => Err(item.reject("a value that this list does not have already")),
        })?;
        Ok(seen.into_inner())
    }

    /// A table; what the reader has not asked for when it returns is refused.
    pub(crate) fn table<T>(&self, read: impl FnOnce(&Table<'t>) -> Read<T>) -> Read<T> {
        let entries = self.value.as_table().ok_or_else(|| self.reject("a table"))?;
        let table = Table::new(entries, self.span.clone(), self.path.clone(), self.sink);
        let out = read(&table);
        table.finish();
        out
    }

    /// A table whose keys are names that the manifest's author chooses.
    pub(crate) fn names<K: Expected + Ord, V>(
        &self,
        read: impl Fn(&K, &Self) -> Read<V>,
    ) -> Read<BTreeMap<K, V>> {
        let entries = self.value.as_table().ok_or_else(|| self.reject("a table"))?;
        let mut all = Ok(Vec::new());
        for (key, value) in entries {
            let path = join(&self.path, key.get_ref());
            let named = Item {
                value: value.get_ref(),
                span: value.span(),
                path: path.clone(),
                sink: self.sink,
            };
            let at_key = Item { span: key.span(), path, ..named };
            match key.get_ref().parse::<K>() {
                Ok(name) => push(&mut all, read(&name, &named).map(|value| (name, value))),
                Err(_) => push(&mut all, Err(at_key.reject(K::EXPECTED))),
            }
        }
        all.map(|all| all.into_iter().collect())
    }
}

fn push<T>(all: &mut Read<Vec<T>>, value: Read<T>) {
    match (all.as_mut(), value) {
        (Ok(values), Ok(value)) => values.push(value),
        (_, Err(Reported)) => *all = Err(Reported),
        (Err(_), Ok(_)) => {}
    }
}

/// The word that was probably meant.
pub(crate) fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    let far = |other: &str| strsim::damerau_levenshtein(word, other);
    let near = words.iter().copied().min_by_key(|other| far(other))?;
    (far(near) <= 1 + near.len() / 4).then_some(near)
}

pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let key = if bare && !key.is_empty() { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

const LONGEST_QUOTE: usize = 80;

/// More are not told.
const MOST_FAULTS: usize = 200;
