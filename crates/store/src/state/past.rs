//! What a state knows of the commits that it is the fold of.

use super::State;
use crate::{Hash, Head, Version};

/// What stays known of a commit that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) hash: Hash,
    /// Of its last transaction.
    pub(crate) version: Version,
    /// The number of its last audit record, or of the last one before it.
    pub(crate) audited: u64,
}

impl Past {
    pub(crate) const START: Self = Self { hash: Hash::NONE, version: Version::START, audited: 0 };
}

/// A commit that holds audit records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditPlace {
    /// The number of its first record.
    pub(crate) first: u64,
    /// Which commit it is.
    pub(crate) head: Head,
}

impl State {
    /// The hash of commit `n` of this history, if it is kept.
    pub(crate) fn hash_of(&self, n: u64) -> Option<Hash> {
        self.past(n).map(|past| past.hash)
    }

    /// What is known of commit `n`, if it is kept; of the last one before those that are, too.
    pub(crate) fn past(&self, n: u64) -> Option<Past> {
        match n.checked_sub(self.floor) {
            Some(index) => self.past.get(usize::try_from(index).ok()?).copied(),
            None => (n + 1 == self.floor && n > 0).then_some(self.before),
        }
    }

    /// What is known of the commit before `n`.
    pub(crate) fn past_before(&self, n: u64) -> Option<Past> {
        if n == self.floor { Some(self.before) } else { self.past(n.checked_sub(1)?) }
    }

    /// Forgets the commits before `floor`.
    pub(super) fn forget(&mut self, floor: u64) {
        let Some(last) = floor.checked_sub(1).filter(|_| floor > self.floor) else { return };
        let Some(before) = self.past(last) else { return };
        let gone = usize::try_from(floor - self.floor).unwrap_or(usize::MAX).min(self.past.len());
        self.past.drain(..gone);
        self.audit.forget(before.audited);
        self.before = before;
        self.floor = floor;
    }

    /// The first `most` commits that hold audit records from number `from` on, as far as they are kept.
    pub(crate) fn audit_places(&self, from: u64, most: usize) -> Vec<AuditPlace> {
        let start = self.past.partition_point(|past| past.audited < from);
        let mut before = match start.checked_sub(1).and_then(|last| self.past.get(last)) {
            Some(past) => past.audited,
            None => self.before.audited,
        };
        let mut places = Vec::new();
        for (n, past) in (self.floor..).zip(&self.past).skip(start) {
            if past.audited > before {
                if places.len() == most {
                    break;
                }
                let first = before.saturating_add(1);
                places.push(AuditPlace { first, head: Head { n, hash: past.hash } });
            }
            before = past.audited;
        }
        places
    }
}
