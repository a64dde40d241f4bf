//! A consistent view of the state as it was at one commit.

use std::sync::Arc;

use crate::{Entry, Head, Key, Page, Version, state::State, store::Shared};

/// The state after one commit; later commits do not change it. Holding one keeps overwritten values in memory, so drop it soon.
pub struct Snapshot {
    shared: Arc<Shared>,
    head: Head,
    at: Version,
}

impl Snapshot {
    pub(crate) fn take(shared: Arc<Shared>) -> Self {
        Self::take_with(shared, |_| ()).0
    }

    /// Also looks at the rest of the state, at the same commit.
    pub(crate) fn take_with<T>(shared: Arc<Shared>, look: impl FnOnce(&State) -> T) -> (Self, T) {
        let (head, at, seen) =
            shared.write_state(|state| (state.head(), state.hold(), look(state)));
        (Self { shared, head, at }, seen)
    }

    /// The commit that this is the state of.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The value of a key.
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.shared.read_state(|state| state.get_at(key, self.at))
    }

    /// At most `limit` entries whose names begin with `prefix` and follow `after`.
    pub fn range(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Page {
        self.shared.read_state(|state| state.range(prefix, after, limit, self.at))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.shared.write_state(|state| state.release(self.at));
    }
}
