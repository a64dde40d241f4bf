//! The state: the fold of the log, in memory.

use std::{collections::BTreeSet, ops::Bound};

use jiff::Timestamp;

use crate::{
    Entry, Head, Key, KeyId, Page, Transaction, Version, Write,
    audit::record_leaf,
    body::Change,
    first::HeaderRef,
    merkle::Tree,
    slot::{Held, Slot},
};

mod past;
mod pending;
mod table;

pub(crate) use past::{AuditPlace, Past};
pub(crate) use pending::Pending;
use table::Table;

/// The fold of the log up to its head.
pub(crate) struct State {
    head: Head,
    version: Version,
    /// The latest time that any transaction was made at.
    time: Option<Timestamp>,
    keys: Table,
    held: Held,
    /// Keys with older versions, so that dropping a snapshot visits only these.
    many: BTreeSet<Key>,
    /// Over all audit records; those of commits that are kept are kept.
    audit: Tree,
    /// The commit before the first kept one, as it was; before commit 1 if all are kept.
    before: Past,
    /// Every commit that is kept, in order: what an anchor is compared with, and what is read again.
    past: Vec<Past>,
    /// The first commit that is kept; commit 1 always is, for its header.
    floor: u64,
    /// The header in force.
    header: HeaderRef,
    /// The commit that put it in force.
    since: u64,
}

/// Everything of a state but its keys.
#[derive(Clone)]
pub(crate) struct Spine {
    pub(crate) head: Head,
    pub(crate) version: Version,
    pub(crate) time: Option<Timestamp>,
    pub(crate) audit: Tree,
    pub(crate) before: Past,
    pub(crate) past: Vec<Past>,
    pub(crate) floor: u64,
    pub(crate) header: HeaderRef,
    pub(crate) since: u64,
}

/// The key was not in force after that commit.
#[derive(Debug)]
pub(crate) struct NotInForce;

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
            keys: Table::default(),
            held: Held::new(),
            many: BTreeSet::new(),
            audit: Tree::default(),
            before: Past::START,
            past: Vec::new(),
            floor: 1,
            header: HeaderRef::FIRST,
            since: 1,
        }
    }

    /// A state that was saved. The keys are in order, each once.
    pub(crate) fn restored(spine: Spine, keys: Vec<(Key, Slot)>) -> Self {
        let Spine { head, version, time, audit, before, past, floor, header, since } = spine;
        Self {
            head,
            version,
            time,
            keys: Table::ordered(keys),
            held: Held::new(),
            many: BTreeSet::new(),
            audit,
            before,
            past,
            floor,
            header,
            since,
        }
    }

    pub(crate) fn spine(&self) -> Spine {
        Spine {
            head: self.head,
            version: self.version,
            time: self.time,
            audit: self.audit.clone(),
            before: self.before,
            past: self.past.clone(),
            floor: self.floor,
            header: self.header,
            since: self.since,
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The first commit that is kept besides commit 1.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn header(&self) -> HeaderRef {
        self.header
    }

    /// Was this the key in force after commit `n`? For a commit before the newest rotation it is only known to be an older one than now.
    pub(crate) fn was_in_force(&self, key: KeyId, n: u64) -> Result<(), NotInForce> {
        let now = self.header.key();
        let was = if n >= self.since { key == now } else { key < now };
        if was { Ok(()) } else { Err(NotInForce) }
    }

    pub(crate) fn audit_tree(&self) -> &Tree {
        &self.audit
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.time
    }

    pub(crate) fn audited(&self) -> u64 {
        self.audit.size()
    }

    /// Applies a whole commit: readers see all of it or nothing.
    pub(crate) fn apply<'a>(
        &mut self,
        head: Head,
        transactions: impl IntoIterator<Item = &'a Transaction>,
    ) -> Vec<Applied> {
        let applied = transactions.into_iter().map(|one| self.apply_one(one)).collect();
        self.past.push(Past { hash: head.hash, version: self.version, audited: self.audit.size() });
        self.head = head;
        applied
    }

    /// Applies what a commit says about the log itself, after its place.
    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Header(header) => (self.header, self.since) = (header, self.head.n),
            Change::Floor(floor) => self.forget(floor.min(self.head.n)),
        }
    }

    fn apply_one(&mut self, transaction: &Transaction) -> Applied {
        self.version = self.version.next();
        self.time = self.time.max(Some(transaction.at));
        for write in &transaction.writes {
            match write {
                Write::Put(key, value) => self.write(key, Some(value.clone())),
                Write::Delete(key) => self.write(key, None),
                Write::Audit(record) => {
                    let sequence = self.audit.size().saturating_add(1);
                    self.audit.push(record_leaf(sequence, transaction.at, record));
                }
            }
        }
        Applied { version: self.version, audited: self.audit.size() }
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
        let (name, slot) = self.keys.get(key)?;
        entry(name, slot.newest())
    }

    pub(crate) fn get_at(&self, key: &Key, at: Version) -> Option<Entry> {
        let (name, slot) = self.keys.get(key)?;
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
        for (key, slot) in self.keys.range(from) {
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

    /// How many keys are held in memory, deleted ones that a snapshot sees included.
    #[cfg(test)]
    fn slots(&self) -> usize {
        self.keys.len()
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
