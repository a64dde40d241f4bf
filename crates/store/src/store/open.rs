//! Opening a store that exists.

use std::sync::{Arc, Mutex, RwLock};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::watch;

use super::{
    Settings, Shared, Store,
    save::{self, Loaded},
};
use crate::{
    AnchorStore, Damage, Demand, FirstHeader, Head, HeaderRef, IdentityId, IdentityKey, OpenError,
    RootKey, SealedAnchor, anchor,
    body::Change,
    commit::Sealed,
    coverage::Coverage,
    first::{first_header, later_headers},
    keys::{Keys, Unfollowed},
    log::Log,
    state::State,
};

/// What the state was made from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The stored snapshot that was read, if one was; the log from its end on.
    pub snapshot: Option<Head>,
    /// Snapshots that were passed over, and why.
    pub refused: Vec<Damage>,
}

impl Store {
    /// Opens the store, in the order:
    /// 1. there is a first commit, and its header has a form that we know;
    /// 2. it names the expected identity;
    /// 3. the root key opens its keyring, or that of a later header;
    /// 4. the anchor, if it is there, was made by this store; if it is not there, that is allowed;
    /// 5. the newest snapshot that opens, is whole, is of a commit that the log has, and is sealed under the key that is in force at the log's end, or a later one; or none;
    /// 6. every commit after it up to the last that is listed, and every later one that is found, is there, in its place, behind its predecessor, under the key in force
    ///    there, and opens;
    /// 7. the identity key inside is that of the identity outside, and the header in force is one that this root key opens;
    /// 8. the history reaches the anchor and agrees with it, and the anchor's key was in force there.
    pub async fn open(
        objects: &Arc<dyn ObjectStore>,
        root: &RootKey,
        expected: &IdentityId,
        (anchors, demand): (&dyn AnchorStore, Demand),
        settings: &Settings,
    ) -> Result<Self, OpenError> {
        let log = settings.log(objects);
        let object = log.first().await?.ok_or(OpenError::NoStore)?;
        let first = first_header(&object)?;
        let id = first.identity().id();
        if id != *expected {
            return Err(OpenError::OtherStore { expected: *expected, found: id });
        }
        let candidates = candidates(&log, &first, root).await?;

        // Read before the log: other servers may raise it while we read on, and never beyond what is durable.
        let anchor = match demand {
            Demand::DangerAnyHistory => None,
            Demand::Anchored | Demand::MayBeAbsent => {
                anchors.read().await.map_err(OpenError::AnchorUnavailable)?
            }
        };

        // Under a key that a rolled-back log does not name yet, it is still ours: the header of that key lies beside the log.
        let early = anchor.as_ref().and_then(|anchor| {
            candidates.iter().find_map(|keys| anchor.open(id, &keys.keyring).ok())
        });

        let (fold, origin) = read(&log, &first, candidates).await?;
        let head = fold.state.head();
        let identity = fold.identity.filter(|key| key.public() == first.identity());
        let identity = identity.ok_or(Damage::OtherIdentityInside { named: id })?;
        let current = fold.state.header().generation;
        if fold.keys.reference.generation != current {
            let given = fold.keys.reference.generation;
            return Err(OpenError::OtherGeneration { given, current });
        }
        let open =
            |anchor: SealedAnchor| early.map_or_else(|| anchor.open(id, &fold.keys.keyring), Ok);
        match anchor.map(open).transpose() {
            Err(fault) => return Err(OpenError::AnchorNotOurs { reason: fault.0, found: head }),
            Ok(Some(anchored)) => anchor::check(anchored, &fold.state)?,
            Ok(None) if demand == Demand::Anchored => {
                return Err(OpenError::Unanchored { found: head });
            }
            Ok(None) => {}
        }
        let (heads, _) = watch::channel(head);
        let rng = Arc::clone(&settings.rng);
        Ok(Self::start(Shared {
            log,
            identity,
            rng,
            first,
            keys: Mutex::new(Arc::new(fold.keys)),
            origin,
            state: RwLock::new(fold.state),
            heads,
            coverage: Coverage::new(settings.uncovered, head),
        }))
    }
}

/// The headers whose keyring the root key opens, the newest first.
///
/// The newest may be one that no commit names. It holds all keys that came before it all the same, and from the first commit on that names a header of this generation,
/// that one is used.
async fn candidates(
    log: &Log,
    first: &FirstHeader,
    root: &RootKey,
) -> Result<Vec<Keys>, OpenError> {
    let later = later_headers(log, first.identity()).await?;
    let all = later.into_iter().chain([(first.clone(), HeaderRef::FIRST)]);
    let candidates: Vec<Keys> =
        all.filter_map(|(header, reference)| Keys::open(header, reference, root)).collect();
    if candidates.is_empty() { Err(OpenError::WrongRootKey) } else { Ok(candidates) }
}

/// Reads the newest snapshot that is good, and the log after it.
async fn read(
    log: &Log,
    first: &FirstHeader,
    candidates: Vec<Keys>,
) -> Result<(Fold, Origin), OpenError> {
    let mut origin = Origin::default();
    for name in save::list(log).await.map_err(OpenError::Unavailable)? {
        let mut refused = None;
        for keys in &candidates {
            let Loaded { state, identity, key } =
                match save::load(log, name, first.identity().id(), &keys.keyring).await {
                    Ok(loaded) => loaded,
                    Err(OpenError::Damaged(damage)) => {
                        refused = Some(damage);
                        continue;
                    }
                    Err(other) => return Err(other),
                };
            let head = state.head();
            let tried = async {
                save::check_place(log, name, head, key).await?;
                let mut fold = Fold { state, identity: Some(identity), keys: keys.copy() };
                fold.use_header(log, first).await?;
                fold.follow(log, first).await?;
                save::check_key(name, key, &fold.state)?;
                Ok(fold)
            };
            match tried.await {
                Ok(fold) => {
                    origin.snapshot = Some(head);
                    return Ok((fold, origin));
                }
                Err(OpenError::Damaged(damage)) => {
                    refused = Some(damage);
                    break;
                }
                Err(other) => return Err(other),
            }
        }
        if let Some(damage) = refused {
            tracing::warn!(%damage, "a snapshot is passed over");
            origin.refused.push(damage);
        }
    }
    let keys = candidates.into_iter().next().ok_or(OpenError::WrongRootKey)?;
    let mut fold = Fold { state: State::new(), identity: None, keys };
    match fold.follow(log, first).await {
        // The log alone does not do: what is wrong with the snapshots says more.
        Err(OpenError::Damaged(Damage::Forgotten { .. })) if !origin.refused.is_empty() => {
            Err(origin.refused.swap_remove(0).into())
        }
        Err(other) => Err(other),
        Ok(()) => {
            // Without a commit that names a header, the first one is in force.
            fold.use_header(log, first).await?;
            Ok((fold, origin))
        }
    }
}

/// The fold of the log up to some commit.
struct Fold {
    state: State,
    identity: Option<IdentityKey>,
    keys: Keys,
}

impl Fold {
    /// Reads on to the end.
    async fn follow(&mut self, log: &Log, first: &FirstHeader) -> Result<(), OpenError> {
        let head = self.state.head().n;
        let last = log.last_after(head).await?;
        // Several reads are under way at once; they arrive in order.
        let mut commits = stream::iter(head + 1..=last).map(|n| log.read(n)).buffered(READ_AHEAD);
        while let Some(object) = commits.try_next().await.map_err(OpenError::Unavailable)? {
            let n = self.state.head().n.saturating_add(1);
            let object = object.ok_or(Damage::Missing { n })?;
            self.add(log, first, &object).await?;
        }
        loop {
            let n = self.state.head().n.saturating_add(1);
            let Some(object) = log.read(n).await.map_err(OpenError::Unavailable)? else {
                return Ok(());
            };
            self.add(log, first, &object).await?;
        }
    }

    async fn add(
        &mut self,
        log: &Log,
        first: &FirstHeader,
        object: &[u8],
    ) -> Result<(), OpenError> {
        let after = self.state.head();
        let opened = Sealed::parse(after.n.saturating_add(1), object)?.open(
            self.keys.identity(),
            after,
            (&self.keys.keyring, self.state.header().key()),
        )?;
        let _applied = self.state.apply(opened.head, &opened.body.transactions);
        if let Some(key) = opened.body.identity {
            self.identity = Some(key);
        }
        if let Some(change) = opened.body.change {
            self.state.change(change);
            if let Change::Header(_) = change {
                self.use_header(log, first).await?;
            }
        }
        Ok(())
    }

    /// Takes over the keys of the header in force. A root key of a later generation opens what came before it with its own keyring.
    async fn use_header(&mut self, log: &Log, first: &FirstHeader) -> Result<(), OpenError> {
        let (reference, given) = (self.state.header(), self.keys.reference.generation);
        if reference == self.keys.reference || reference.generation < given {
            return Ok(());
        }
        match self.keys.follow(log, first, reference).await {
            Ok(keys) => {
                self.keys = keys;
                Ok(())
            }
            Err(Unfollowed::Damaged(damage)) => Err(damage.into()),
            Err(Unfollowed::OtherRoot(_)) => Err(OpenError::WrongRootKey),
            Err(Unfollowed::Unavailable(fault)) => Err(OpenError::Unavailable(fault)),
            Err(Unfollowed::Rekeyed(current)) => Err(OpenError::OtherGeneration { given, current }),
        }
    }
}

const READ_AHEAD: usize = 16;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use object_store::memory::InMemory;

    use super::*;
    use crate::{
        AnchorStoreError, FirstHeader, Hash, Head, RecoverySet, SealedAnchor, ShareRef, ShareSet,
        body::Content, commit::Draft, first::FIRST_GENERATION, keyring::Keyring, log::Sent,
    };

    struct NoAnchor;

    #[async_trait::async_trait]
    impl AnchorStore for NoAnchor {
        async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
            Ok(None)
        }

        async fn write(&self, _anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
            Ok(())
        }
    }

    /// A store whose header names `outside` and whose first commit holds `inside`.
    async fn opened(outside: &IdentityKey, inside: &IdentityKey) -> Result<Store, OpenError> {
        let rng = SystemRandom::new();
        let (root, keyring) = (RootKey::generate(&rng).unwrap(), Keyring::generate(&rng).unwrap());
        let id = outside.public().id();
        let sealed = keyring.seal(&root, id, FIRST_GENERATION, &rng).unwrap();
        let share = ShareRef { name: "unseal".into(), version: "1".into(), sha256: Hash::of(b"") };
        let shares = ShareSet { threshold: 1, shares: vec![share] };
        let recovery = RecoverySet { threshold: 0, shares: Vec::new() };
        let header = FirstHeader::new(outside.public().clone(), sealed, shares, recovery).unwrap();
        let clear = header.to_bytes().unwrap();
        let draft = Draft {
            identity: id,
            after: Head::START,
            clear: &clear,
            content: Content { identity: Some(inside), transactions: &[], change: None },
        };
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let settings = Settings::new(Arc::new(SystemRandom::new()));
        let sent = settings.log(&objects).send(1, &draft.seal(&keyring, &rng).unwrap()).await;
        assert!(matches!(sent, Sent::Kept));
        Store::open(&objects, &root, &id, (&NoAnchor, Demand::MayBeAbsent), &settings).await
    }

    #[tokio::test]
    async fn the_identity_key_inside_is_that_of_the_identity_outside() {
        let (key, other) = (IdentityKey::generate().unwrap(), IdentityKey::generate().unwrap());
        assert!(opened(&key, &key).await.is_ok());
        let refused = opened(&key, &other).await.err().unwrap();
        let inside = matches!(refused, OpenError::Damaged(Damage::OtherIdentityInside { .. }));
        assert!(inside, "{refused}");
    }
}
