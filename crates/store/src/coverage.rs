//! How far the log may run ahead of the anchor.
//!
//! What is acknowledged and not yet anchored could be rolled back unnoticed. While the anchor's place does not answer, that part would grow without end, so
//! after a bounded number of commits and a bounded time no more are made. The first anchor that is raised ends that by itself.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::Head;

/// How much may be acknowledged without being anchored. Whichever bound is met first counts.
#[derive(Clone, Copy, Debug)]
pub struct Uncovered {
    /// How many commits since the anchored one, or since this process opened the store if that is later.
    pub commits: u64,
    /// How long the first of them has been waiting, as far as this process saw.
    pub age: Duration,
}

impl Default for Uncovered {
    /// 10,000 commits, one minute. The anchor is raised every few seconds in normal life.
    fn default() -> Self {
        Self { commits: 10_000, age: Duration::from_secs(60) }
    }
}

pub(crate) struct Coverage {
    most: Uncovered,
    seen: Mutex<Seen>,
}

struct Seen {
    anchored: u64,
    /// When the first commit beyond the anchored one was seen.
    since: Option<Instant>,
}

impl Coverage {
    /// At birth or opening: what is there counts from now on. A store that died far ahead of its anchor has to be able to open and raise it.
    pub(crate) fn new(most: Uncovered, head: Head) -> Self {
        Self { most, seen: Mutex::new(Seen { anchored: head.n, since: None }) }
    }

    /// The log has grown.
    pub(crate) fn grown(&self, head: Head) {
        let mut seen = self.lock();
        if head.n > seen.anchored && seen.since.is_none() {
            seen.since = Some(Instant::now());
        }
    }

    /// The anchor is at `anchored`; later commits than `head` were made after `at`.
    pub(crate) fn raised(&self, anchored: u64, head: Head, at: Instant) {
        let mut seen = self.lock();
        if anchored < seen.anchored {
            return;
        }
        seen.anchored = anchored;
        seen.since = seen.since.filter(|_| head.n > anchored).map(|_| at);
    }

    /// May another commit be made on top of `head`?
    pub(crate) fn check(&self, head: Head) -> Result<(), Exceeded> {
        let seen = self.lock();
        let many = head.n.saturating_sub(seen.anchored) >= self.most.commits;
        let long = seen.since.is_some_and(|since| since.elapsed() >= self.most.age);
        if many || long {
            return Err(Exceeded { anchored: seen.anchored });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Every change is one assignment, so a poisoned lock guards a whole value.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bound is met; the newest commit that is covered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exceeded {
    pub(crate) anchored: u64,
}
