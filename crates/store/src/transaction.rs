//! What callers ask to be committed, and what they are told.

use jiff::Timestamp;

use crate::{Head, Key, Value, Version};

/// Writes that happen together or not at all, if every precondition holds.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub(crate) at: Timestamp,
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) writes: Vec<Write>,
}

/// What must hold at the moment of the commit.
#[derive(Clone, Debug)]
pub enum Precondition {
    /// The key has no value.
    Absent(Key),
    /// The key has a value and this transaction wrote it.
    At(Key, Version),
}

impl Precondition {
    /// The key that it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::At(key, _) => key,
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub enum Write {
    /// The key has this value from now on.
    Put(Key, Value),
    /// The key has no value from now on.
    Delete(Key),
    /// This record is the next of the audit log.
    Audit(Value),
}

impl Transaction {
    /// A transaction without content, made at `now`.
    pub fn new(now: Timestamp) -> Self {
        // The log keeps milliseconds, and memory and log say the same.
        let at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        Self { at, preconditions: Vec::new(), writes: Vec::new() }
    }

    /// Only if the key has no value.
    #[must_use]
    pub fn require_absent(mut self, key: Key) -> Self {
        self.preconditions.push(Precondition::Absent(key));
        self
    }

    /// Only if the key's value is the one that `version` wrote.
    #[must_use]
    pub fn require(mut self, key: Key, version: Version) -> Self {
        self.preconditions.push(Precondition::At(key, version));
        self
    }

    /// Gives the key this value.
    #[must_use]
    pub fn put(mut self, key: Key, value: Value) -> Self {
        self.writes.push(Write::Put(key, value));
        self
    }

    /// Takes the key's value away.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Appends a record to the audit log, in the same commit.
    #[must_use]
    pub fn audit(mut self, record: Value) -> Self {
        self.writes.push(Write::Audit(record));
        self
    }

    /// Does it change nothing?
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many bytes it will take, a little overestimated.
    pub(crate) fn size(&self) -> usize {
        self.writes
            .iter()
            .map(|write| match write {
                Write::Put(key, value) => key.as_str().len() + value.expose_secret().len(),
                Write::Delete(key) => key.as_str().len(),
                Write::Audit(value) => value.expose_secret().len(),
            })
            .fold(0_usize, |sum, size| sum.saturating_add(size).saturating_add(WRITE_OVERHEAD))
    }
}

/// A durable transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The commit that holds it.
    pub head: Head,
    /// The version that its keys have now.
    pub version: Version,
}

/// A durable audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Its number, from 1.
    pub sequence: u64,
    /// The commit that holds it.
    pub head: Head,
}

const WRITE_OVERHEAD: usize = 16;
