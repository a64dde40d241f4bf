//! Opening a store that exists.

use std::sync::{Arc, RwLock};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::watch;

use super::{Settings, Shared, Store};
use crate::{
    AnchorStore, Damage, Demand, IdentityId, IdentityKey, OpenError, RootKey, anchor,
    commit::{Opened, Sealed},
    coverage::Coverage,
    first::first_header,
    keyring::Keyring,
    log::Log,
    state::State,
};

impl Store {
    /// Opens the store, in the order:
    /// 1. there is a first commit, and its header has a form that we know;
    /// 2. it names the expected identity;
    /// 3. the root key opens its keyring;
    /// 4. the anchor, if it is there, was made by this store; if it is not there, that is allowed;
    /// 5. every commit up to the last that is listed, and every later one that is found, is there, in its place, behind its predecessor, and opens;
    /// 6. the identity key inside commit 1 is that of the identity outside;
    /// 7. the history reaches the anchor and agrees with it.
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
        let keyring = Keyring::open(first.keyring(), root, id, first.generation())
            .map_err(|_| OpenError::WrongRootKey)?;

        // Read before the log: other servers may raise it while we read on, and never beyond what is durable.
        let anchor = anchors.read().await.map_err(OpenError::AnchorUnavailable)?;
        let anchored = anchor.map(|anchor| anchor.open(id, &keyring)).transpose();

        let fold = fold(&log, id, &keyring).await?;
        let head = fold.state.head();
        let identity = fold.identity.filter(|key| key.public() == first.identity());
        let identity = identity.ok_or(Damage::OtherIdentityInside { named: id })?;
        match anchored {
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
            keyring,
            rng,
            first,
            state: RwLock::new(fold.state),
            heads,
            coverage: Coverage::new(settings.uncovered, head),
        }))
    }
}

/// The fold of the whole log.
struct Fold {
    state: State,
    identity: Option<IdentityKey>,
}

impl Fold {
    fn add(&mut self, opened: Opened) {
        let _applied = self.state.apply(opened.head, &opened.body.transactions);
        if let Some(key) = opened.body.identity {
            self.identity = Some(key);
        }
    }
}

async fn fold(log: &Log, id: IdentityId, keyring: &Keyring) -> Result<Fold, OpenError> {
    let mut fold = Fold { state: State::new(), identity: None };
    let last = log.last().await?;
    // Several reads are under way at once; they arrive in order.
    let mut commits = stream::iter(1..=last).map(|n| log.read(n)).buffered(READ_AHEAD);
    while let Some(object) = commits.try_next().await.map_err(OpenError::Unavailable)? {
        let n = fold.state.head().n.saturating_add(1);
        let object = object.ok_or(Damage::Missing { n })?;
        fold.add(Sealed::parse(n, &object)?.open(id, fold.state.head(), keyring)?);
    }
    loop {
        let n = fold.state.head().n.saturating_add(1);
        let Some(object) = log.read(n).await.map_err(OpenError::Unavailable)? else {
            return Ok(fold);
        };
        fold.add(Sealed::parse(n, &object)?.open(id, fold.state.head(), keyring)?);
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
        commit::Draft, first::FIRST_GENERATION, log::Sent,
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
            key: Some(inside),
            transactions: &[],
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
