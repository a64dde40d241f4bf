//! What was committed, read back from the log: from some commit on as it happens, and backwards for one key.

use std::sync::Arc;

use futures::{Stream, stream};
use jiff::Timestamp;

use super::{Shared, Store};
use crate::{
    Damage, Hash, Head, Key, ReadError, Transaction, Value, Version, Write,
    commit::{Opened, Sealed},
};

/// A commit, as those who watch see it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which one.
    pub head: Head,
    /// What it holds, in order; none if it is about the log itself.
    pub transactions: Vec<Recorded>,
}

/// A transaction that was committed.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The version of what it wrote.
    pub version: Version,
    /// When it was made.
    pub at: Timestamp,
    /// What it wrote, in order.
    pub writes: Vec<Write>,
}

/// One version of a key.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The version.
    pub version: Version,
    /// The commit that made it.
    pub commit: Head,
    /// When its transaction was made.
    pub at: Timestamp,
    /// The bytes; none for a deletion.
    pub value: Option<Value>,
}

impl Store {
    /// Every commit from number `from` on, in order, those to come included: it waits for them and never ends. What this server has not seen yet comes when it does;
    /// what compaction dropped is an error, and after an error the same commit is tried again.
    pub fn watch(&self, from: u64) -> impl Stream<Item = Result<Watched, ReadError>> + Send {
        let start = (self.clone(), self.heads(), from.max(1));
        stream::unfold(start, |(store, mut heads, n)| async move {
            // The sender lives in the store, which is held here.
            let _seen = heads.wait_for(|head| head.n >= n).await.is_ok();
            let read = read(&store.shared, n).await;
            let next = n.saturating_add(u64::from(read.is_ok()));
            Some((read.map(|commit| commit.watched()), (store, heads, next)))
        })
    }

    /// At most `limit` versions of a key, the newest first, as far as the log is kept. It reads the log backwards, so it is for people and not for a request's path.
    pub async fn history(&self, key: &Key, limit: usize) -> Result<Vec<Earlier>, ReadError> {
        let (head, floor) = self.shared.read_state(|state| (state.head().n, state.floor()));
        let mut found = Vec::new();
        for n in (floor..=head).rev() {
            let commit = read(&self.shared, n).await?.watched();
            for one in commit.transactions.into_iter().rev() {
                let last = one.writes.iter().rev().find_map(|write| match write {
                    Write::Put(name, value) if name == key => Some(Some(value.clone())),
                    Write::Delete(name) if name == key => Some(None),
                    Write::Put(..) | Write::Delete(_) | Write::Audit(_) => None,
                });
                if let Some(value) = last {
                    let (version, at) = (one.version, one.at);
                    found.push(Earlier { version, commit: commit.head, at, value });
                    if found.len() >= limit {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// A commit that was applied before, read again.
pub(crate) struct Again {
    opened: Opened,
    /// Of its first transaction.
    first: Version,
}

impl Again {
    /// Its transactions.
    pub(crate) fn transactions(&self) -> &[Transaction] {
        &self.opened.body.transactions
    }

    fn watched(self) -> Watched {
        let mut version = self.first;
        let transactions = self.opened.body.transactions.into_iter().map(|one| {
            let recorded = Recorded { version, at: one.at, writes: one.writes };
            version = version.next();
            recorded
        });
        Watched { head: self.opened.head, transactions: transactions.collect() }
    }
}

/// Reads a commit that the state holds, and compares it with what it was.
pub(crate) async fn read(shared: &Arc<Shared>, n: u64) -> Result<Again, ReadError> {
    let known =
        shared.read_state(|state| Some((state.past(n)?.hash, state.past_before(n)?.version)));
    let (expected, before) = known.ok_or(Damage::Forgotten { n })?;
    let object =
        shared.log.read(n).await.map_err(ReadError::Unavailable)?.ok_or(Damage::Missing { n })?;
    let found = Hash::of(&object);
    if found != expected {
        return Err(Damage::Replaced { n, expected, found }.into());
    }
    let sealed = Sealed::parse(n, &object)?;
    let after = Head { n: n.saturating_sub(1), hash: sealed.previous };
    let keys = shared.keys();
    // Its hash is what replay found under the key in force then.
    let opened = sealed.open(keys.identity(), after, (&keys.keyring, sealed.key))?;
    Ok(Again { opened, first: before.next() })
}
