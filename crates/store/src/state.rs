//! The state: the fold of the log, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use jiff::Timestamp;

use crate::{
    Entry, Hash, Head, Key, Page, Precondition, Transaction, Version, Write,
    slot::{Held, Slot},
};

/// The fold of the log up to its head.
pub(crate) struct State {
    head: Head,
    version: Version,
    /// The latest time that any transaction was made at.
    time: Option<Timestamp>,
    keys: BTreeMap<Key, Slot>,
    held: Held,
    /// Keys with older versions, so that dropping a snapshot visits only these.
    many: BTreeSet<Key>,
    audit: Vec<AuditPlace>,
    audited: u64,
    /// Of every commit, from 1 on: what an anchor is compared with, and what is read again.
    hashes: Vec<Hash>,
}

/// A commit that holds audit records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditPlace {
    /// The number of its first record.
    pub(crate) first: u64,
    /// Which commit it is.
    pub(crate) head: Head,
}

/// What became of one transaction of a commit.
#[derive(Clone, Copy)]
pub(crate) struct Applied {
    pub(crate) version: Version,
    /// The number of its last audit record, or of the last one before it.
    pub(crate) audited: u64,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            head: Head::START,
            version: Version::START,
            time: None,
            keys: BTreeMap::new(),
            held: Held::new(),
            many: BTreeSet::new(),
            audit: Vec::new(),
            audited: 0,
            hashes: Vec::new(),
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The hash of commit `n` of this history.
    pub(crate) fn hash_of(&self, n: u64) -> Option<Hash> {
        let index = usize::try_from(n.checked_sub(1)?).ok()?;
        self.hashes.get(index).copied()
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.time
    }

    pub(crate) fn audited(&self) -> u64 {
        self.audited
    }

    /// Applies a whole commit: readers see all of it or nothing.
    pub(crate) fn apply<'a>(
        &mut self,
        head: Head,
        transactions: impl IntoIterator<Item = &'a Transaction>,
    ) -> Vec<Applied> {
        let before = self.audited;
        let applied = transactions.into_iter().map(|one| self.apply_one(one)).collect();
        if self.audited > before {
            self.audit.push(AuditPlace { first: before.saturating_add(1), head });
        }
        self.hashes.push(head.hash);
        self.head = head;
        applied
    }

    fn apply_one(&mut self, transaction: &Transaction) -> Applied {
        self.version = self.version.next();
        self.time = self.time.max(Some(transaction.at));
        for write in &transaction.writes {
            match write {
                Write::Put(key, value) => self.write(key, Some(value.clone())),
                Write::Delete(key) => self.write(key, None),
                Write::Audit(_) => self.audited = self.audited.saturating_add(1),
            }
        }
        Applied { version: self.version, audited: self.audited }
    }

    fn write(&mut self, key: &Key, value: Option<crate::Value>) {
        if let Some(slot) = self.keys.get_mut(key) {
            slot.write(self.version, value, &self.held);
            if slot.has_older() {
                self.many.insert(key.clone());
            } else if slot.is_gone() {
                self.keys.remove(key);
            }
        } else if value.is_some() {
            self.keys.insert(key.clone(), Slot::new(self.version, value));
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Entry> {
        let (name, slot) = self.keys.get_key_value(key)?;
        entry(name, slot.newest())
    }

    pub(crate) fn get_at(&self, key: &Key, at: Version) -> Option<Entry> {
        let (name, slot) = self.keys.get_key_value(key)?;
        entry(name, slot.at(at))
    }

    /// The entries after transaction `at` whose names begin with `prefix` and follow `after`, in order.
    pub(crate) fn range(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
        at: Version,
    ) -> Page {
        let from = match after {
            Some(key) if key.as_str() >= prefix => Bound::Excluded(key.as_str()),
            _ => Bound::Included(prefix),
        };
        let mut page = Page { entries: Vec::new(), next: None };
        for (key, slot) in self.keys.range::<str, _>((from, Bound::Unbounded)) {
            if !key.as_str().starts_with(prefix) {
                break;
            }
            let Some(entry) = entry(key, slot.at(at)) else { continue };
            if page.entries.len() >= limit {
                page.next = page.entries.last().map(|last: &Entry| last.key.clone());
                break;
            }
            page.entries.push(entry);
        }
        page
    }

    /// The version of each key that `transactions` of the coming commit have touched, on top of the state.
    pub(crate) fn check(&self, transaction: &Transaction, pending: &Pending) -> Result<(), Key> {
        for condition in &transaction.preconditions {
            let key = condition.key();
            let version = match pending.touched.get(key) {
                Some(version) => *version,
                None => self.keys.get(key).and_then(Slot::newest).map(|(_, version)| version),
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

    pub(crate) fn hold(&mut self) -> Version {
        *self.held.entry(self.version).or_insert(0) += 1;
        self.version
    }

    pub(crate) fn release(&mut self, at: Version) {
        match self.held.get_mut(&at) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.held.remove(&at);
                self.prune();
            }
            None => {}
        }
    }

    fn prune(&mut self) {
        let (keys, held) = (&mut self.keys, &self.held);
        self.many.retain(|key| {
            let Some(slot) = keys.get_mut(key) else { return false };
            slot.prune(held);
            let more = slot.has_older();
            if slot.is_gone() {
                keys.remove(key);
            }
            more
        });
    }

    /// The commits that hold the audit records from number `from` on.
    pub(crate) fn audit_places(&self, from: u64) -> Vec<AuditPlace> {
        let start = self.audit.partition_point(|place| place.first <= from).saturating_sub(1);
        self.audit.get(start..).unwrap_or_default().to_vec()
    }

    /// How many keys are held in memory, deleted ones that a snapshot sees included.
    #[cfg(test)]
    fn slots(&self) -> usize {
        self.keys.len()
    }
}

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

fn entry(key: &Key, found: Option<(&crate::Value, Version)>) -> Option<Entry> {
    let (value, version) = found?;
    Some(Entry { key: key.clone(), value: value.clone(), version })
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests;
