//! What has been verified before, so that it need not be verified again.
//!
//! The keys of processors and the endorsements of utility VMs are few, and their certificates cost more to verify than the
//! report itself. A [`Verifier`] remembers those that passed, under the digest of the very bytes that passed.
//!
//! What keeps it honest:
//! - Only what was verified is kept, and only after the step that verified it; a verifier's entries are under its own
//!   anchors, which cannot be exchanged.
//! - The answer is the same with and without it: what depends on the time, on a policy or on a revocation list is judged
//!   anew each time, and a chain that has run out is judged from its certificates.
//! - It is bounded, and one key or one endorsement has one place in it, however many ways there are to write its
//!   certificates or its unsigned headers: whoever has one processor can drive out one entry, its own.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::endorsement::KnownEndorsement;
use crate::hardware::Chain;
use crate::revocation::Content;
use crate::{
    Anchors, Binding, Policy, RawEvidence, RawVmEvidence, Refusal, ReportPolicy, Sha256,
    VerifiedReport, VerifiedSnp, VerifiedVm, VmBinding, VmPolicy, verify, vm,
};

/// Verifies evidence under fixed anchors and remembers what it has verified. Many threads may use one.
#[derive(Debug)]
pub struct Verifier {
    anchors: Anchors,
    cache: Cache,
}

impl Verifier {
    /// A verifier that remembers what a server meets: up to 1024 processors and as many endorsements.
    #[must_use]
    pub fn new(anchors: Anchors) -> Self {
        Self::with_capacity(anchors, DEFAULT_CAPACITY)
    }

    /// A verifier that remembers up to `capacity` keys, and as many endorsements.
    #[must_use]
    pub fn with_capacity(anchors: Anchors, capacity: NonZeroUsize) -> Self {
        Self { anchors, cache: Cache::new(capacity) }
    }

    /// The anchors.
    #[must_use]
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// As [`crate::verify()`].
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        &self,
        policy: &Policy,
        evidence: &RawEvidence,
        binding: &Binding,
        now: Timestamp,
    ) -> Result<VerifiedReport, Refusal> {
        verify::container(policy, self.trust(), evidence, binding, now)
    }

    /// As [`crate::verify_snp`].
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify_snp(
        &self,
        policy: &ReportPolicy,
        report: &[u8],
        certificates: &str,
        binding: &Binding,
        now: Timestamp,
    ) -> Result<VerifiedSnp, Refusal> {
        verify::snp(policy, self.trust(), report, certificates, binding, now)
    }

    /// As [`crate::verify_vm`].
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify_vm(
        &self,
        policy: &VmPolicy,
        evidence: &RawVmEvidence,
        binding: &VmBinding,
        now: Timestamp,
    ) -> Result<VerifiedVm, Refusal> {
        vm::verify_under(policy, self.trust(), evidence, binding, now)
    }

    fn trust(&self) -> Trust<'_> {
        Trust { anchors: &self.anchors, cache: Some(&self.cache) }
    }
}

/// Under what a verification is made.
#[derive(Clone, Copy)]
pub(crate) struct Trust<'a> {
    pub(crate) anchors: &'a Anchors,
    /// What was verified before under these anchors.
    pub(crate) cache: Option<&'a Cache>,
}

impl<'a> Trust<'a> {
    /// Under these anchors, remembering nothing.
    pub(crate) fn once(anchors: &'a Anchors) -> Self {
        Self { anchors, cache: None }
    }
}

/// What was verified before under one set of anchors.
#[derive(Debug)]
pub(crate) struct Cache {
    /// By the digest of the certificates' text.
    pub(crate) chains: Known<Chain>,
    /// By the digests of authority and root.
    pub(crate) authorities: Known<()>,
    /// By the digest of the message.
    pub(crate) endorsements: Known<KnownEndorsement>,
    /// By the digests of the list and its root.
    pub(crate) lists: Known<Content>,
}

impl Cache {
    fn new(capacity: NonZeroUsize) -> Self {
        Self {
            chains: Known::new(capacity),
            authorities: Known::new(capacity),
            endorsements: Known::new(capacity),
            lists: Known::new(capacity),
        }
    }
}

/// A bounded number of things that were verified, the least recently used of which goes first.
#[derive(Debug)]
pub(crate) struct Known<T> {
    capacity: NonZeroUsize,
    entries: Mutex<Entries<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    clock: u64,
    by_bytes: BTreeMap<Sha256, Entry<T>>,
    /// Under which bytes each thing is kept.
    by_thing: BTreeMap<Sha256, Sha256>,
}

#[derive(Debug)]
struct Entry<T> {
    used: u64,
    thing: Sha256,
    value: Arc<T>,
}

impl<T> Known<T> {
    fn new(capacity: NonZeroUsize) -> Self {
        let entries = Entries { clock: 0, by_bytes: BTreeMap::new(), by_thing: BTreeMap::new() };
        Self { capacity, entries: Mutex::new(entries) }
    }

    /// What was verified of exactly these bytes.
    pub(crate) fn get(&self, bytes: &Sha256) -> Option<Arc<T>> {
        self.with(|entries| {
            entries.clock += 1;
            let clock = entries.clock;
            entries.by_bytes.get_mut(bytes).map(|entry| {
                entry.used = clock;
                Arc::clone(&entry.value)
            })
        })
    }

    /// Keeps what was verified of these bytes. `thing` says what it is, however it was written: it takes the place of
    /// what was kept of the same thing.
    pub(crate) fn keep(&self, bytes: Sha256, thing: Sha256, value: Arc<T>) {
        self.with(|entries| {
            if let Some(older) = entries.by_thing.get(&thing).copied() {
                entries.remove(&older);
            }
            entries.remove(&bytes);
            if entries.by_bytes.len() >= self.capacity.get() {
                let oldest = entries.by_bytes.iter().min_by_key(|(_, entry)| entry.used);
                if let Some(oldest) = oldest.map(|(bytes, _)| *bytes) {
                    entries.remove(&oldest);
                }
            }
            entries.clock += 1;
            let used = entries.clock;
            entries.by_thing.insert(thing, bytes);
            entries.by_bytes.insert(bytes, Entry { used, thing, value });
        });
    }

    /// Forgets what was verified of these bytes.
    pub(crate) fn forget(&self, bytes: &Sha256) {
        self.with(|entries| entries.remove(bytes));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.with(|entries| {
            assert_eq!(entries.by_bytes.len(), entries.by_thing.len());
            entries.by_bytes.len()
        })
    }

    /// The entries are whole between any two calls, so a thread that died while holding them spoils nothing.
    fn with<R>(&self, act: impl FnOnce(&mut Entries<T>) -> R) -> R {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Entries<T> {
    fn remove(&mut self, bytes: &Sha256) {
        if let Some(entry) = self.by_bytes.remove(bytes) {
            self.by_thing.remove(&entry.thing);
        }
    }
}

/// A large deployment's machines; each takes about 2 KB.
const DEFAULT_CAPACITY: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(capacity) => capacity,
    None => NonZeroUsize::MIN,
};

#[cfg(test)]
impl Verifier {
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Sha256 {
        Sha256::of(text.as_bytes())
    }

    #[test]
    fn keeps_the_most_recently_used() {
        let known = Known::new(NonZeroUsize::new(2).unwrap());
        for name in ["a", "b"] {
            known.keep(digest(name), digest(&name.repeat(2)), Arc::new(name));
        }
        assert_eq!(known.get(&digest("a")).as_deref(), Some(&"a"));
        known.keep(digest("c"), digest("cc"), Arc::new("c"));
        assert_eq!(known.get(&digest("b")), None);
        assert_eq!((known.len(), known.get(&digest("a")).as_deref()), (2, Some(&"a")));
        known.forget(&digest("a"));
        assert_eq!((known.len(), known.get(&digest("a"))), (1, None));
    }

    #[test]
    fn one_thing_has_one_place() {
        let known = Known::new(NonZeroUsize::new(3).unwrap());
        known.keep(digest("other"), digest("it"), Arc::new(0));
        for number in 1..100 {
            known.keep(digest(&number.to_string()), digest("this"), Arc::new(number));
        }
        assert_eq!(known.len(), 2);
        assert_eq!(known.get(&digest("other")).as_deref(), Some(&0));
        assert_eq!(known.get(&digest("99")).as_deref(), Some(&99));
        assert_eq!(known.get(&digest("98")), None);
        // The same bytes again are the same entry.
        known.keep(digest("99"), digest("this"), Arc::new(100));
        known.keep(digest("99"), digest("that"), Arc::new(101));
        assert_eq!((known.len(), known.get(&digest("99")).as_deref()), (2, Some(&101)));
    }
}
