//! The storage operator at work: every object truncated, changed, swapped, duplicated, deleted or replaced.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use store::{Damage, OpenError, ReadError, Store};

use crate::conformance::{World, now, put, text, value};

fn path(n: u64) -> Path {
    Path::from(format!("log/{n:020}"))
}

async fn bytes(objects: &Arc<dyn ObjectStore>, n: u64) -> Bytes {
    objects.get(&path(n)).await.unwrap().bytes().await.unwrap()
}

/// A copy of those objects whose path is wanted.
pub(super) async fn copy(
    objects: &Arc<dyn ObjectStore>,
    wanted: impl Fn(&Path) -> bool,
) -> Arc<dyn ObjectStore> {
    let copy = InMemory::new();
    let all: Vec<_> = objects.list(None).try_collect().await.unwrap();
    for meta in all.into_iter().filter(|meta| wanted(&meta.location)) {
        let bytes = objects.get(&meta.location).await.unwrap().bytes().await.unwrap();
        copy.put(&meta.location, bytes.into()).await.unwrap();
    }
    Arc::new(copy)
}

/// A store with four commits, anchored at the last.
async fn four() -> (World, Store) {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    store.commit(put("a", b"1")).await.unwrap();
    store.append_audit(now(), value(b"somebody read a")).await.unwrap();
    store.commit(put("a", b"2")).await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    (world, store)
}

/// Opens a copy of the world in which commit `n` has these bytes.
async fn with(world: &World, n: u64, bytes: impl Into<Bytes>) -> Result<Store, OpenError> {
    let objects = copy(&world.objects, |_| true).await;
    objects.put(&path(n), bytes.into().into()).await.unwrap();
    open(world, objects).await
}

async fn open(world: &World, objects: Arc<dyn ObjectStore>) -> Result<Store, OpenError> {
    use store::Demand;
    Store::open(
        &objects,
        &world.root,
        &world.id,
        (&world.anchors, Demand::Anchored),
        &crate::conformance::settings(),
    )
    .await
}

fn damage(opened: Result<Store, OpenError>) -> Damage {
    let refused = opened.err().expect("a damaged store was opened");
    let OpenError::Damaged(damage) = refused else { panic!("{refused}") };
    damage
}

#[tokio::test]
async fn every_truncation_is_refused() {
    let (world, _store) = four().await;
    for n in 1..=4 {
        let whole = bytes(&world.objects, n).await;
        for length in 0..whole.len() {
            assert_eq!(
                damage(with(&world, n, whole.slice(..length)).await),
                Damage::Truncated { n },
                "{length}"
            );
        }
        let longer = [whole.as_ref(), &[0]].concat();
        assert_eq!(damage(with(&world, n, longer).await), Damage::TrailingBytes { n });
    }
}

#[tokio::test]
async fn every_changed_byte_is_refused() {
    let (world, _store) = four().await;
    for n in 1..=4 {
        let whole = bytes(&world.objects, n).await;
        for at in 0..whole.len() {
            let mut bad = whole.to_vec();
            bad[at] ^= 0x10;
            let refused = with(&world, n, bad)
                .await
                .err()
                .unwrap_or_else(|| panic!("commit {n}, byte {at}: opened"));
            let damaged = matches!(refused, OpenError::Damaged(_));
            // The clear part of commit 1 names another identity, or holds another keyring.
            let other = matches!(refused, OpenError::OtherStore { .. } | OpenError::WrongRootKey);
            assert!(damaged || (other && n == 1), "commit {n}, byte {at}: {refused}");
        }
    }
}

#[tokio::test]
async fn swapped_and_duplicated_commits_are_refused() {
    let (world, _store) = four().await;
    for (n, other) in [(2, 3), (3, 2), (4, 2), (2, 1), (1, 2)] {
        let found = bytes(&world.objects, other).await;
        assert_eq!(damage(with(&world, n, found).await), Damage::WrongPlace { n, found: other });
    }
    let again = with(&world, 5, bytes(&world.objects, 4).await).await;
    assert_eq!(damage(again), Damage::WrongPlace { n: 5, found: 4 });
}

#[tokio::test]
async fn every_deletion_is_refused() {
    let (world, _store) = four().await;
    for n in 1..=3 {
        let objects = copy(&world.objects, |at| *at != path(n)).await;
        assert_eq!(damage(open(&world, objects).await), Damage::Missing { n });
    }
    let objects = copy(&world.objects, |at| *at != path(4)).await;
    let refused = open(&world, objects).await.err().unwrap();
    assert!(matches!(refused, OpenError::RolledBack { .. }), "{refused}");
    let nothing = copy(&world.objects, |_| false).await;
    assert!(matches!(open(&world, nothing).await, Err(OpenError::NoStore)));
}

#[tokio::test]
async fn a_commit_of_another_history_of_this_store_is_refused() {
    let (world, _store) = four().await;
    // The operator runs the store on a copy of its first two commits.
    let objects = copy(&world.objects, |at| *at <= path(2)).await;
    let other = World { objects, anchors: <_>::default(), id: world.id, root: clone_root(&world) };
    let fork = Store::open(
        &other.objects,
        &other.root,
        &other.id,
        (&other.anchors, store::Demand::MayBeAbsent),
        &crate::conformance::settings(),
    )
    .await
    .unwrap();
    fork.commit(put("a", b"forged")).await.unwrap();
    fork.commit(put("a", b"forged")).await.unwrap();

    let third = with(&world, 3, bytes(&other.objects, 3).await).await;
    assert!(matches!(damage(third), Damage::BrokenChain { n: 4, .. }));
    let fourth = with(&world, 4, bytes(&other.objects, 4).await).await;
    assert!(matches!(damage(fourth), Damage::BrokenChain { n: 4, .. }));
    let fifth = bytes(&other.objects, 4).await;
    assert!(matches!(damage(with(&world, 5, fifth).await), Damage::WrongPlace { .. }));
}

/// The operator of a storage has no root key; the test lends it one.
fn clone_root(world: &World) -> store::RootKey {
    let shares = world.root.split(1, 1, &aws_lc_rs::rand::SystemRandom::new()).unwrap();
    store::RootKey::combine(&shares).unwrap()
}

#[tokio::test]
async fn commits_of_another_store_are_refused() {
    let (world, _store) = four().await;
    let (other, _other_store) = four().await;
    for n in 2..=4 {
        let refused = damage(with(&world, n, bytes(&other.objects, n).await).await);
        assert!(matches!(refused, Damage::BrokenChain { .. }), "{refused}");
    }
    // With the right predecessor written into its header, the seal does not open.
    let mut forged = bytes(&other.objects, 4).await.to_vec();
    forged[24..56].copy_from_slice(&bytes(&world.objects, 4).await[24..56]);
    assert_eq!(damage(with(&world, 4, forged).await), Damage::NotOurs { n: 4 });

    let refused = open(&world, copy(&other.objects, |_| true).await).await.err().unwrap();
    let OpenError::OtherStore { expected, found } = refused else { panic!("{refused}") };
    assert_eq!((expected, found), (world.id, other.id));
    let expecting_other =
        World { objects: other.objects, root: world.root, id: other.id, anchors: other.anchors };
    assert!(matches!(expecting_other.open().await, Err(OpenError::WrongRootKey)));
}

#[tokio::test]
async fn a_header_of_ours_before_a_commit_of_theirs_does_not_open() {
    let (world, _store) = four().await;
    let (other, _other_store) = four().await;
    let (ours, theirs) = (bytes(&world.objects, 1).await, bytes(&other.objects, 1).await);
    let length = |object: &[u8]| {
        usize::try_from(u32::from_be_bytes(object[88..92].try_into().unwrap())).unwrap()
    };
    let mut forged = theirs[..88].to_vec();
    forged.extend_from_slice(&ours[88..92]);
    forged.extend_from_slice(&theirs[92..96]);
    forged.extend_from_slice(&ours[96..96 + length(&ours)]);
    forged.extend_from_slice(&theirs[96 + length(&theirs)..]);
    assert_eq!(damage(with(&world, 1, forged).await), Damage::NotOurs { n: 1 });
}

#[tokio::test]
async fn objects_that_are_no_commits_are_refused() {
    let (world, _store) = four().await;
    let objects = copy(&world.objects, |_| true).await;
    objects.put(&Path::from("log/5"), "junk".into()).await.unwrap();
    let refused = damage(open(&world, objects).await);
    assert_eq!(refused, Damage::UnexpectedObject { path: "log/5".into() });
    assert_eq!(damage(with(&world, 5, "junkjunkjunk").await), Damage::NotACommit { n: 5 });
    let mut newer = bytes(&world.objects, 4).await.to_vec();
    newer[9] = 2;
    assert_eq!(damage(with(&world, 4, newer).await), Damage::UnknownFormat { n: 4, version: 2 });
    let mut key = bytes(&world.objects, 4).await.to_vec();
    key[15] = 2;
    assert!(matches!(damage(with(&world, 4, key).await), Damage::KeyNotInForce { n: 4, .. }));
}

#[tokio::test]
async fn a_commit_replaced_behind_our_back_is_noticed_when_it_is_read_again() {
    let (world, store) = four().await;
    assert_eq!(store.audit(1, 9).await.unwrap().len(), 1);
    let other = bytes(&world.objects, 2).await;
    world.objects.put(&path(3), other.into()).await.unwrap();
    assert!(matches!(
        store.audit(1, 9).await,
        Err(ReadError::Damaged(Damage::Replaced { n: 3, .. }))
    ));
    world.objects.delete(&path(3)).await.unwrap();
    assert!(matches!(store.audit(1, 9).await, Err(ReadError::Damaged(Damage::Missing { n: 3 }))));
    assert_eq!(text(&store, "a").as_deref(), Some("2"), "reads of state do not touch the storage");
}

#[tokio::test]
async fn nothing_that_is_stored_shows_a_path_or_a_value() {
    let (world, store) = four().await;
    store.commit(put("secret/path/of/somebody", b"value of somebody")).await.unwrap();
    for n in 1..=5 {
        let object = bytes(&world.objects, n).await;
        for needle in [&b"secret/path"[..], b"value of somebody", b"somebody read", b"born"] {
            assert!(!object.windows(needle.len()).any(|window| window == needle), "commit {n}");
        }
    }
}
