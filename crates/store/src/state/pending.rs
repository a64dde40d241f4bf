//! The coming commit: which transactions may go into it together.

use std::collections::BTreeMap;

use super::State;
use crate::{Key, Precondition, Transaction, Version, Write};

/// The transactions that go into the coming commit, as far as preconditions of the next ones look at them.
pub(crate) struct Pending {
    version: Version,
    touched: BTreeMap<Key, Option<Version>>,
}

impl Pending {
    pub(crate) fn after(state: &State) -> Self {
        Self { version: state.version, touched: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, transaction: &Transaction) {
        self.version = self.version.next();
        for write in &transaction.writes {
            match write {
                Write::Put(key, _) => drop(self.touched.insert(key.clone(), Some(self.version))),
                Write::Delete(key) => drop(self.touched.insert(key.clone(), None)),
                Write::Audit(_) => {}
            }
        }
    }
}

impl State {
    /// Whether the preconditions hold after the state and what is pending; if not, the first key for which one does not.
    pub(crate) fn check(&self, transaction: &Transaction, pending: &Pending) -> Result<(), Key> {
        for condition in &transaction.preconditions {
            let key = condition.key();
            let version = match pending.touched.get(key) {
                Some(version) => *version,
                None => self
                    .keys
                    .get(key)
                    .and_then(|(_, slot)| slot.newest())
                    .map(|(_, version)| version),
            };
            let holds = match condition {
                Precondition::Absent(_) => version.is_none(),
                Precondition::At(_, required) => version == Some(*required),
            };
            if !holds {
                return Err(key.clone());
            }
        }
        Ok(())
    }
}
