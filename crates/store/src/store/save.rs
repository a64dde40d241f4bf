//! Storing snapshots, and dropping what they make superfluous.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use object_store::path::Path;

use super::{Shared, Store};
use crate::{
    AnchorStore, CompactError, Damage, Hash, Head, IdentityId, IdentityKey, KeyId, OpenError,
    SaveError, Snapshot, StorageError, commit,
    keyring::Keyring,
    keys::Keys,
    log::{Log, Sent},
    saved::{self, Loading, Name, Part, Records, Seal},
    state::{Spine, State},
    writer::Request,
};

/// What compaction keeps.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// At least this many commits, for history and audit.
    pub commits: u64,
}

/// What compaction has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The first commit that is kept besides commit 1.
    pub floor: u64,
    /// How many commits were dropped now.
    pub dropped: usize,
}

impl Default for Retention {
    /// A million commits: of one write each, about a gigabyte.
    fn default() -> Self {
        Self { commits: 1_000_000 }
    }
}

impl Store {
    /// Stores a snapshot of the state as it is now. Writers go on meanwhile. Answers the commit that it is of. One
    /// that fails leaves nothing behind, if the storage still deletes.
    pub async fn save(&self) -> Result<Head, SaveError> {
        self.save_under(&self.shared.keys()).await
    }

    /// Stores one under these keys.
    pub(super) async fn save_under(&self, keys: &Keys) -> Result<Head, SaveError> {
        let (view, spine) = Snapshot::take_with(Arc::clone(&self.shared), State::spine);
        let rng = &*self.shared.rng;
        let name = Name::fresh(spine.head.n, rng).map_err(crate::SealError::from)?;
        let seal = Seal { name, identity: keys.identity(), keyring: &keys.keyring };
        let mut parts = Vec::new();
        let saved = self.save_parts(&seal, view, &spine, &mut parts).await;
        if saved.is_err() {
            // The index first: a snapshot with an index and without parts would be read in vain. The last part may be there although nobody said so.
            for part in 0..=u32::try_from(parts.len()).unwrap_or(u32::MAX).saturating_add(1) {
                drop(self.shared.log.delete(&name.part(part)).await);
            }
        }
        saved
    }

    pub(super) async fn save_parts(
        &self,
        seal: &Seal<'_>,
        view: Snapshot,
        spine: &Spine,
        parts: &mut Vec<Hash>,
    ) -> Result<Head, SaveError> {
        let shared = &self.shared;
        let mut part = Part::entries();
        let mut after = None;
        loop {
            let page = view.range("", after.as_ref(), PAGE);
            for entry in &page.entries {
                part.add(entry)?;
                if part.is_full() {
                    put(shared, seal, parts, part.content()).await?;
                    part.clear();
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(view);
        if !part.is_empty() {
            put(shared, seal, parts, part.content()).await?;
        }
        for list in saved::lists(spine) {
            put(shared, seal, parts, &list).await?;
        }
        let index = saved::index(spine, &shared.identity, parts)?;
        let object = seal.object(saved::INDEX, &index, &*shared.rng)?;
        create(&shared.log, seal.name, saved::INDEX, &object).await?;
        Ok(spine.head)
    }

    /// Drops commits that are older than the retention says, and snapshots that are no longer needed, in the order:
    /// 1. the anchor is raised, and two snapshots are read and opened that are sealed under the key in force;
    /// 2. the first commit that is kept is committed: not later than the older of the two, than the anchor, and than the retention;
    /// 3. each older commit is replaced by a mark, so that its place stays taken;
    /// 4. snapshots older than those two are deleted, other than those that a rotation elsewhere may be about to rely on.
    ///
    /// Stopped anywhere, the store opens, and doing it again goes on.
    pub async fn compact(
        &self,
        retention: Retention,
        anchors: &dyn AnchorStore,
    ) -> Result<Compacted, CompactError> {
        let anchored = self.raise_anchor(anchors).await?;
        let keys = self.shared.keys();
        let log = &self.shared.log;
        let unavailable = CompactError::Unavailable;
        let mut good = Vec::new();
        for name in list(log).await.map_err(unavailable)? {
            match examine(log, name, keys.identity(), &keys.keyring).await {
                Ok((head, key)) => match self.counts(name, head, key) {
                    Ok(()) => good.push(name),
                    Err(fault) => tracing::warn!(%fault, "a snapshot does not count"),
                },
                Err(OpenError::Unavailable(fault)) => return Err(unavailable(fault)),
                Err(fault) => tracing::warn!(%fault, "a snapshot does not open"),
            }
            if good.len() == 2 {
                break;
            }
        }
        let [_, older] = good.as_slice() else {
            return Err(CompactError::TooFewSnapshots { found: good.len() });
        };
        let head = self.head();
        let floor = older.n.min(anchored.n).min(head.n.saturating_sub(retention.commits));
        if floor > self.shared.read_state(State::floor) {
            self.change(Request::Floor { floor, under: keys.reference }).await?;
        }
        let floor = self.shared.read_state(State::floor);
        let mut dropped = 0;
        for n in log.kept_before(floor).await.map_err(unavailable)? {
            log.forget(n).await.map_err(unavailable)?;
            dropped += 1;
        }
        self.prune(older.n, floor).await.map_err(unavailable)?;
        Ok(Compacted { floor, dropped })
    }

    /// Deletes snapshots older than commit `oldest`.
    ///
    /// Below the floor all of them. Above it, in a log that is compacted, one under a key that is not known here, or one without an index, may be what a rotation is being
    /// prepared with; it stays until the floor has passed it, and that rotation is then refused.
    async fn prune(&self, oldest: u64, floor: u64) -> Result<(), StorageError> {
        let (log, keys) = (&self.shared.log, self.shared.keys());
        let mut old: BTreeMap<Name, Vec<Path>> = BTreeMap::new();
        for path in log.list(saved::FOLDER).await? {
            if let Some((name, _)) = Name::of(&path).filter(|(name, _)| name.n < oldest) {
                old.entry(name).or_default().push(path);
            }
        }
        for (name, paths) in old {
            if floor > 1 && name.n >= floor {
                let index = log.read_object(&name.part(saved::INDEX)).await?;
                let known = index.as_deref().and_then(saved::key_of);
                if known.is_none_or(|id| keys.keyring.key(id).is_none()) {
                    continue;
                }
            }
            // Without its index the rest counts for nothing.
            log.delete(&name.part(saved::INDEX)).await?;
            for path in paths {
                log.delete(&path).await?;
            }
        }
        Ok(())
    }

    /// Is this a snapshot of our history, under the key in force?
    fn counts(&self, name: Name, head: Head, key: KeyId) -> Result<(), Damage> {
        self.shared.read_state(|state| {
            check_key(name, key, state)?;
            match state.hash_of(head.n) {
                Some(hash) if hash == head.hash => Ok(()),
                Some(_) | None => Err(name.damage("it is of another history")),
            }
        })
    }
}

async fn put(
    shared: &Shared,
    seal: &Seal<'_>,
    parts: &mut Vec<Hash>,
    content: &[u8],
) -> Result<(), SaveError> {
    let part = u32::try_from(parts.len() + 1).map_err(|_| crate::SealError::TooLarge)?;
    let object = seal.object(part, content, &*shared.rng)?;
    create(&shared.log, seal.name, part, &object).await?;
    parts.push(Hash::of(&object));
    Ok(())
}

async fn create(log: &Log, name: Name, part: u32, object: &Bytes) -> Result<(), SaveError> {
    match log.create(&name.part(part), object).await {
        Sent::Kept => Ok(()),
        Sent::Lost(_) => Err(name.damage("something else lies in its place").into()),
        Sent::InDoubt(fault) => Err(SaveError::Unavailable(fault)),
    }
}

/// The stored snapshots that have an index, the newest first.
pub(super) async fn list(log: &Log) -> Result<Vec<Name>, StorageError> {
    let paths = log.list(saved::FOLDER).await?;
    let names: BTreeSet<Name> = paths
        .iter()
        .filter_map(Name::of)
        .filter_map(|(name, is_index)| is_index.then_some(name))
        .collect();
    Ok(names.into_iter().rev().collect())
}

/// A stored snapshot, read.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) identity: IdentityKey,
    /// That its index is sealed under; the index names the parts by their hashes.
    pub(super) key: KeyId,
}

/// Reads one snapshot and opens all of it. Whether it counts, the end of the log tells.
pub(super) async fn load(
    log: &Log,
    name: Name,
    identity: IdentityId,
    keyring: &Keyring,
) -> Result<Loaded, OpenError> {
    let (loading, key) = read(log, (name, identity), keyring, Records::parse, Loading::add).await?;
    let (state, identity) = loading.finish()?;
    Ok(Loaded { state, identity, key })
}

/// Reads one snapshot and opens all of it, and keeps nothing: which commit it is of, and the key that it is sealed under.
async fn examine(
    log: &Log,
    name: Name,
    identity: IdentityId,
    keyring: &Keyring,
) -> Result<(Head, KeyId), OpenError> {
    let (loading, key) = read(log, (name, identity), keyring, |_, _| Ok(()), |_, ()| {}).await?;
    Ok((loading.head(), key))
}

/// Reads a snapshot. Each part is opened and looked at beside the reading of others, which is what opening a store takes its time for, and added in order.
async fn read<T: Send + 'static>(
    log: &Log,
    (name, identity): (Name, IdentityId),
    keyring: &Keyring,
    look: fn(Name, &[u8]) -> Result<T, Damage>,
    mut add: impl FnMut(&mut Loading, T),
) -> Result<(Loading, KeyId), OpenError> {
    let object = async |part| -> Result<Bytes, OpenError> {
        let object = log.read_object(&name.part(part)).await.map_err(OpenError::Unavailable)?;
        Ok(object.ok_or(name.damage("a part is missing"))?)
    };
    let index = object(saved::INDEX).await?;
    let mut loading =
        Loading::parse(name, &Seal { name, identity, keyring }.open(saved::INDEX, index.clone())?)?;
    let key = saved::key_of(&index).ok_or(name.damage("no index"))?;
    let parts: Vec<(u32, Hash)> = (1..).zip(loading.parts().iter().copied()).collect();
    let (object, keyring) = (&object, Arc::new(keyring.copy()));
    let mut opened = stream::iter(parts)
        .map(|(part, hash)| {
            let keyring = Arc::clone(&keyring);
            async move {
                let object = object(part).await?;
                let small = object.len() < WORTH_A_THREAD;
                let open = move || {
                    if Hash::of(&object) != hash {
                        return Err(name.damage("a part is another one"));
                    }
                    look(name, &Seal { name, identity, keyring: &keyring }.open(part, object)?)
                };
                if small {
                    return Ok::<_, OpenError>(open()?);
                }
                let opening = tokio::task::spawn_blocking(open);
                Ok(opening.await.map_err(|_| name.damage("opening a part broke off"))??)
            }
        })
        .buffered(READ_AHEAD);
    while let Some(part) = opened.try_next().await? {
        add(&mut loading, part);
    }
    drop(opened);
    Ok((loading, key))
}

/// Whether a stored snapshot counts at the end of a log: under a key that was put out of force, whoever holds that key may have made it up.
pub(super) fn check_key(name: Name, key: KeyId, state: &State) -> Result<(), Damage> {
    if key < state.header().key() {
        return Err(name.damage("sealed under a key that is no longer in force"));
    }
    Ok(())
}

/// Whether a stored snapshot belongs to what the log says now: the commit that it is of is there, and was not sealed under a later key. Whoever holds only an old key may make up a
/// state in which that key is still in force; the commit says otherwise.
pub(super) async fn check_place(
    log: &Log,
    name: Name,
    head: Head,
    key: KeyId,
) -> Result<(), OpenError> {
    let object = log.read(head.n).await.map_err(OpenError::Unavailable)?;
    match object {
        Some(object) if Hash::of(&object) == head.hash => match commit::key_of(&object) {
            Some(sealed) if sealed > key => {
                Err(name.damage("sealed under an older key than the commit that it is of").into())
            }
            Some(_) | None => Ok(()),
        },
        Some(_) => Err(name.damage("the log has another commit in its place").into()),
        None => Err(Damage::Missing { n: head.n }.into()),
    }
}

const PAGE: usize = 1024;
/// Parts have a little over 4 MiB.
const READ_AHEAD: usize = 4;
/// Opening fewer bytes takes no longer than waking a thread up.
const WORTH_A_THREAD: usize = 64 << 10;
