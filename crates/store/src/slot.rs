//! One key in memory: its newest value, and older ones for as long as a snapshot needs them.

use std::collections::BTreeMap;

use crate::{Value, Version};

/// The newest version of a key, and what snapshots still see.
pub(crate) struct Slot {
    version: Version,
    /// `None` is a deletion.
    value: Option<Value>,
    /// There while a snapshot sees one of them; a slot is small, and there is one for each key.
    older: Option<Box<Older>>,
}

/// Oldest first.
#[derive(Default)]
struct Older(Vec<(Version, Option<Value>)>);

/// How many snapshots are held at which version.
pub(crate) type Held = BTreeMap<Version, usize>;

impl Slot {
    pub(crate) fn new(version: Version, value: Option<Value>) -> Self {
        Self { version, value, older: None }
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
        let older = &self.older.as_ref()?.0;
        let (version, value) = older.iter().rev().find(|(version, _)| *version <= at)?;
        Some((value.as_ref()?, *version))
    }

    pub(crate) fn write(&mut self, version: Version, value: Option<Value>, held: &Held) {
        let before = (
            std::mem::replace(&mut self.version, version),
            std::mem::replace(&mut self.value, value),
        );
        if needed(held, before.0, version) {
            self.older.get_or_insert_default().0.push(before);
        }
    }

    /// Drops what no snapshot sees any more.
    pub(crate) fn prune(&mut self, held: &Held) {
        let Some(Older(older)) = self.older.as_deref_mut() else { return };
        let mut until = self.version;
        for i in (0..older.len()).rev() {
            let Some((version, _)) = older.get(i) else { break };
            let version = *version;
            if !needed(held, version, until) {
                drop(older.remove(i));
            }
            until = version;
        }
        if older.is_empty() {
            self.older = None;
        }
    }

    pub(crate) fn has_older(&self) -> bool {
        self.older.is_some()
    }

    /// Is the key as if it had never been?
    pub(crate) fn is_gone(&self) -> bool {
        self.value.is_none() && self.older.is_none()
    }
}

/// Does a snapshot see what was written at `from` and overwritten at `until`?
fn needed(held: &Held, from: Version, until: Version) -> bool {
    from < until && held.range(from..until).next().is_some()
}
