//! Whoever holds an old barrier key and writes the storage adds nothing that counts; and a rotation loses nothing that counted.

use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use object_store::memory::InMemory;

use super::*;
use crate::{
    AnchorStoreError, ChangeError, Damage, Demand, Hash, HeaderRef, IdentityId, KeyId, OpenError,
    Retention, RootKey, SealedAnchor, ShareRef,
    body::Content,
    commit::Draft,
    keys::Keys,
    saved::{Name, Seal},
    writer::Request,
};

#[derive(Default)]
struct InMemoryAnchor(Mutex<Option<SealedAnchor>>);

#[async_trait::async_trait]
impl AnchorStore for InMemoryAnchor {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn write(&self, anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        *self.0.lock().unwrap() = Some(anchor.clone());
        Ok(())
    }
}

struct World {
    objects: Arc<dyn ObjectStore>,
    root: RootKey,
    id: IdentityId,
    anchors: InMemoryAnchor,
}

fn settings() -> Settings {
    Settings::new(Arc::new(SystemRandom::new()))
}

fn put(value: &[u8]) -> Transaction {
    Transaction::new(Timestamp::UNIX_EPOCH)
        .put(Key::parse("a").unwrap(), Value::copied(value).unwrap())
}

impl World {
    /// A store with three commits, anchored at the last.
    async fn birth() -> (Self, Store) {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let root = RootKey::generate(&SystemRandom::new()).unwrap();
        let share = ShareRef { name: "s".into(), version: "1".into(), sha256: Hash::of(b"") };
        let newborn = Newborn {
            identity: IdentityKey::generate().unwrap(),
            shares: ShareSet { threshold: 1, shares: vec![share] },
            recovery: RecoverySet { threshold: 0, shares: Vec::new() },
        };
        let id = newborn.identity.public().id();
        let store = Store::create(&objects, &root, newborn, put(b"0"), &settings()).await.unwrap();
        let world = Self { objects, root, id, anchors: InMemoryAnchor::default() };
        store.commit(put(b"1")).await.unwrap();
        store.commit(put(b"2")).await.unwrap();
        store.raise_anchor(&world.anchors).await.unwrap();
        (world, store)
    }

    async fn open(&self) -> Result<Store, OpenError> {
        let anchors: &dyn AnchorStore = &self.anchors;
        let anchors = (anchors, Demand::Anchored);
        Store::open(&self.objects, &self.root, &self.id, anchors, &settings()).await
    }

    fn anchor(&self, head: Head, keys: &Keys) {
        let (key, _) = keys.keyring.newest().unwrap();
        let sealed = SealedAnchor::seal(self.id, head, (&keys.keyring, key)).unwrap();
        *self.anchors.0.lock().unwrap() = Some(sealed);
    }
}

/// Writes the commit that follows the head of the store under these keys.
async fn commit_under(store: &Store, keys: &Keys) {
    let (after, transaction) = (store.head(), put(b"forged"));
    let transactions = [&transaction];
    let content = Content { identity: None, transactions: &transactions, change: None };
    let draft = Draft { identity: keys.identity(), after, clear: &[], content };
    let object = draft.seal(&keys.keyring, &SystemRandom::new()).unwrap();
    drop(store.shared.log.send(after.n + 1, &object).await);
}

#[tokio::test]
async fn a_commit_under_an_old_key_is_refused_in_its_place() {
    for (old, rotated) in [(true, true), (false, true), (true, false)] {
        let (world, store) = World::birth().await;
        let stolen = store.shared.keys();
        if rotated {
            store.rotate().await.unwrap();
        }
        let follower = world.open().await.unwrap();
        let keys = if old { stolen } else { store.shared.keys() };
        commit_under(&store, &keys).await;
        if old && rotated {
            let n = store.head().n + 1;
            let damage = Damage::KeyNotInForce { n, key: KeyId(1), in_force: KeyId(2) };
            let refused = world.open().await.err().unwrap();
            assert!(matches!(refused, OpenError::Damaged(found) if found == damage));
            let refused = follower.refresh().await.err().unwrap();
            assert!(matches!(refused, CommitError::Damaged(found) if found == damage));
        } else {
            assert_eq!(world.open().await.unwrap().head().n, store.head().n + 1);
            follower.refresh().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_snapshot_under_an_old_key_does_not_count() {
    let (world, store) = World::birth().await;
    let stolen = store.shared.keys();
    store.save_under(&stolen).await.unwrap();
    assert!(world.open().await.unwrap().origin().snapshot.is_some());
    store.rotate().await.unwrap();
    store.save_under(&stolen).await.unwrap();
    store.commit(put(b"3")).await.unwrap();
    let opened = world.open().await.unwrap();
    assert_eq!((opened.origin().snapshot, opened.head()), (None, store.head()));
    let refused = &opened.origin().refused;
    let what = "sealed under a key that is no longer in force";
    assert_eq!(refused.len(), 2);
    assert!(
        refused.iter().all(|one| matches!(one, Damage::Snapshot { what: of, .. } if *of == what))
    );
    let refused = store.compact(Retention { commits: 0 }, &world.anchors).await;
    assert!(matches!(refused, Err(crate::CompactError::TooFewSnapshots { found: 0 })));
    let saved = store.save().await.unwrap();
    assert_eq!(world.open().await.unwrap().origin().snapshot, Some(saved));
}

/// One whose state says that nothing was ever rotated, of the last commit, so that no later one contradicts it.
#[tokio::test]
async fn a_made_up_snapshot_under_an_old_key_is_passed_over() {
    let (world, store) = World::birth().await;
    let stolen = store.shared.keys();
    store.rotate().await.unwrap();
    store.commit(put(b"3")).await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    let (view, mut spine) = Snapshot::take_with(Arc::clone(&store.shared), State::spine);
    spine.header = HeaderRef::FIRST;
    let name = Name::fresh(spine.head.n, &SystemRandom::new()).unwrap();
    let seal = Seal { name, identity: world.id, keyring: &stolen.keyring };
    store.save_parts(&seal, view, &spine, &mut Vec::new()).await.unwrap();
    let opened = world.open().await.unwrap();
    assert_eq!((opened.head(), opened.key()), (store.head(), store.key()));
    let what = "sealed under an older key than the commit that it is of";
    assert!(
        matches!(opened.origin().refused.as_slice(), [Damage::Snapshot { what: of, .. }] if *of == what),
        "{:?}",
        opened.origin()
    );
}

#[tokio::test]
async fn an_anchor_under_an_old_key_is_none_of_the_commits_after_the_rotation() {
    let (world, store) = World::birth().await;
    let (stolen, before) = (store.shared.keys(), store.head());
    store.rotate().await.unwrap();
    let rotation = store.head();
    store.commit(put(b"3")).await.unwrap();
    // A server that died before it anchored what followed.
    world.anchor(before, &stolen);
    world.open().await.unwrap();
    for head in [rotation, store.head()] {
        world.anchor(head, &stolen);
        let refused = world.open().await.err().unwrap();
        assert!(matches!(refused, OpenError::AnchorNotOurs { .. }), "{refused}");
        let refused = store.raise_anchor(&world.anchors).await.err().unwrap();
        assert!(matches!(refused, AnchorError::NotOurs(_)), "{refused}");
        world.anchor(head, &store.shared.keys());
        world.open().await.unwrap();
        store.raise_anchor(&world.anchors).await.unwrap();
    }
    // And a newer key was not in force yet before.
    world.anchor(before, &store.shared.keys());
    let refused = world.open().await.err().unwrap();
    assert!(matches!(refused, OpenError::AnchorNotOurs { .. }), "{refused}");
}

/// A store that opens from snapshots only.
async fn compacted() -> (World, Store) {
    let (world, store) = World::birth().await;
    for i in 3..9 {
        store.save().await.unwrap();
        store.commit(put(&[i])).await.unwrap();
    }
    store.compact(Retention { commits: 0 }, &world.anchors).await.unwrap();
    (world, store)
}

#[tokio::test]
async fn a_compacted_store_opens_right_after_a_rotation_from_either_of_two_snapshots() {
    let (world, store) = compacted().await;
    store.rotate().await.unwrap();
    for left in [2, 1, 0] {
        let opened = world.open().await;
        let Ok(opened) = opened else {
            assert_eq!(left, 0, "{:?}", opened.err());
            return;
        };
        assert_eq!((opened.head(), opened.key()), (store.head(), store.key()));
        let newest = save::list(&store.shared.log).await.unwrap().remove(0);
        store.shared.log.delete(&newest.part(crate::saved::INDEX)).await.unwrap();
    }
    panic!("without those two it has to be lost: snapshots under the old key count no longer");
}

#[tokio::test]
async fn a_rotation_does_not_rely_on_snapshots_that_a_compaction_has_passed() {
    let (world, store) = compacted().await;
    let other = world.open().await.unwrap();
    let prepared = store.prepare(None).await.unwrap();
    for i in 0..3 {
        other.commit(put(&[i])).await.unwrap();
        other.save().await.unwrap();
    }
    store.refresh().await.unwrap();
    other.compact(Retention { commits: 0 }, &world.anchors).await.unwrap();
    let refused = store.change(Request::Header(Box::new(prepared))).await;
    assert!(matches!(refused, Err(ChangeError::Superseded)), "{refused:?}");
    store.rotate().await.unwrap();
    assert_eq!(world.open().await.unwrap().head(), store.head());
}

#[tokio::test]
async fn a_compaction_leaves_the_snapshots_of_a_rotation_elsewhere() {
    let (world, store) = compacted().await;
    let other = world.open().await.unwrap();
    let prepared = store.prepare(None).await.unwrap();
    for i in 0..3 {
        other.commit(put(&[i])).await.unwrap();
        other.save().await.unwrap();
    }
    other.compact(Retention { commits: 99 }, &world.anchors).await.unwrap();
    store.change(Request::Header(Box::new(prepared))).await.unwrap();
    assert_eq!(world.open().await.unwrap().head(), store.head());
}

#[tokio::test]
async fn a_compaction_does_not_rely_on_snapshots_under_a_key_that_was_put_out_of_force() {
    let (_world, store) = compacted().await;
    let under = store.shared.keys().reference;
    store.rotate().await.unwrap();
    let floor = store.head().n;
    let refused = store.change(Request::Floor { floor, under }).await;
    assert!(matches!(refused, Err(ChangeError::Superseded)), "{refused:?}");
}

/// Two root keys of one generation: that of a rekey which stopped before its commit, and that of the next.
#[tokio::test]
async fn the_root_key_of_a_rekey_that_was_stopped_is_told_from_that_in_force() {
    for saved in [false, true] {
        let (mut world, store) = World::birth().await;
        let rng = SystemRandom::new();
        let rekey = |root: &RootKey| {
            let header = store.header();
            let (shares, recovery) = (header.shares().clone(), header.recovery().clone());
            Rekey { root: root.copy(), generation: 2, shares, recovery }
        };
        // Whichever of them is listed first.
        for _ in 0..4 {
            let stopped = RootKey::generate(&rng).unwrap();
            store.prepare(Some(&rekey(&stopped))).await.unwrap();
        }
        let stopped = RootKey::generate(&rng).unwrap();
        store.prepare(Some(&rekey(&stopped))).await.unwrap();
        let root = RootKey::generate(&rng).unwrap();
        store.rekey(rekey(&root)).await.unwrap();
        store.commit(put(b"3")).await.unwrap();
        if saved {
            store.save().await.unwrap();
        }
        store.raise_anchor(&world.anchors).await.unwrap();
        world.root = stopped;
        let refused = world.open().await.err().unwrap();
        let expected = matches!(refused, OpenError::WrongRootKey)
            || matches!(refused, OpenError::OtherGeneration { .. });
        assert!(expected, "{refused}");
        world.root = root;
        assert_eq!(world.open().await.unwrap().head(), store.head());
    }
}
