//! One key in memory: its newest value, and older ones for as long as a snapshot needs them.

use std::collections::BTreeMap;

use crate::{Value, Version};

/// The newest version of a key, and what snapshots still see.
pub(crate) struct Slot {
    version: Version,
    /// `None` is a deletion.
    value: Option<Value>,
    /// Oldest first; empty unless a snapshot is held, and then without allocation.
    older: Vec<(Version, Option<Value>)>,
}

/// How many snapshots are held at which version.
pub(crate) type Held = BTreeMap<Version, usize>;

impl Slot {
    pub(crate) fn new(version: Version, value: Option<Value>) -> Self {
        Self { version, value, older: Vec::new() }
    }

    /// The value and the version that wrote it, now.
    pub(crate) fn newest(&self) -> Option<(&Value, Version)> {
        Some((self.value.as_ref()?, self.version))
    }

    /// The value and the version that wrote it, as they were after transaction `at`.
    pub(crate) fn at(&self, at: Version) -> Option<(&Value, Version)> {
        if self.version <= at {
            return self.newest();
        }
        let (version, value) = self.older.iter().rev().find(|(version, _)| *version <= at)?;
        Some((value.as_ref()?, *version))
    }

    pub(crate) fn write(&mut self, version: Version, value: Option<Value>, held: &Held) {
        let before = (
            std::mem::replace(&mut self.version, version),
            std::mem::replace(&mut self.value, value),
        );
        if needed(held, before.0, version) {
            self.older.push(before);
        }
    }

    /// Drops what no snapshot sees any more.
    pub(crate) fn prune(&mut self, held: &Held) {
        let mut until = self.version;
        for i in (0..self.older.len()).rev() {
            let Some((version, _)) = self.older.get(i) else { break };
            let version = *version;
            if !needed(held, version, until) {
                drop(self.older.remove(i));
            }
            until = version;
        }
    }

    pub(crate) fn has_older(&self) -> bool {
        !self.older.is_empty()
    }

    /// Is the key as if it had never been?
    pub(crate) fn is_gone(&self) -> bool {
        self.value.is_none() && self.older.is_empty()
    }
}

/// Does a snapshot see what was written at `from` and overwritten at `until`?
fn needed(held: &Held, from: Version, until: Version) -> bool {
    from < until && held.range(from..until).next().is_some()
}
