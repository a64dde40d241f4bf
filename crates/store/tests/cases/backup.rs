//! Copies of a store in use, and a store as it was.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use store::{
    BackupError, Damage, Demand, OpenError, ReadError, Retention, Store, Write, backup, restore,
};

use crate::conformance::{World, key, now, put, settings, text, value};

fn empty() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn open(
    world: &World,
    objects: &Arc<dyn ObjectStore>,
    demand: Demand,
) -> Result<Store, OpenError> {
    Store::open(objects, &world.root, &world.id, world.anchored(demand), &settings()).await
}

async fn used() -> (World, Store) {
    let (world, store) = World::birth(empty()).await;
    for i in 0..10_u8 {
        store.commit(put("a", &[i])).await.unwrap();
        if i % 4 == 1 {
            store.rotate().await.unwrap();
            store.save().await.unwrap();
        }
    }
    store.raise_anchor(&world.anchors).await.unwrap();
    (world, store)
}

#[tokio::test]
async fn a_copy_of_a_store_in_use_opens_and_is_brought_up_to_date() {
    let (world, store) = used().await;
    let to = empty();
    let writing = async {
        for i in 0..200_u32 {
            store.commit(put("b", &i.to_be_bytes())).await.unwrap();
            if i % 50 == 0 {
                store.rotate().await.unwrap();
                store.save().await.unwrap();
                store.save().await.unwrap();
                store.compact(Retention { commits: 5 }, &world.anchors).await.unwrap();
            }
        }
    };
    let copying = async {
        for _ in 0..20 {
            let copied = backup(&world.objects, &to).await.unwrap();
            let opened = open(&world, &to, Demand::DangerAnyHistory).await.unwrap();
            assert_eq!(opened.head().n, copied.last);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, copying);
    let last = backup(&world.objects, &to).await.unwrap();
    assert_eq!(last.last, store.head().n);
    assert_eq!(backup(&world.objects, &to).await.unwrap().objects, 0);
    let opened = open(&world, &to, Demand::Anchored).await.unwrap();
    assert_eq!((opened.head(), text(&opened, "a").unwrap().as_bytes()), (store.head(), &[9][..]));
}

#[tokio::test]
async fn a_store_is_restored_to_a_commit() {
    let (world, store) = used().await;
    for until in 1..=store.head().n {
        let to = empty();
        assert_eq!(restore(&world.objects, &to, until).await.unwrap().last, until);
        assert!(matches!(restore(&world.objects, &to, until).await, Err(BackupError::NotEmpty)));
        if until < store.head().n {
            let refused = open(&world, &to, Demand::Anchored).await.err().unwrap();
            assert!(matches!(refused, OpenError::RolledBack { .. }), "{refused}");
        }
        let opened = open(&world, &to, Demand::DangerAnyHistory).await.unwrap();
        assert_eq!(opened.head().n, until);
        opened.commit(put("after", b"yes")).await.unwrap();
        let anchors = crate::conformance::MemoryAnchor::default();
        *anchors.0.lock().unwrap() = world.anchors.0.lock().unwrap().clone();
        let lowered = opened.danger_reset_anchor(&anchors).await.unwrap();
        assert_eq!(lowered, opened.head());
        assert_eq!(opened.raise_anchor(&anchors).await.unwrap(), opened.head());
    }
    let (one, other) = (empty(), empty());
    assert!(matches!(restore(&one, &other, 9).await, Err(BackupError::NoStore)));
    for _ in 0..3 {
        store.commit(put("a", b"later")).await.unwrap();
    }
    let n = store.head().n - 1;
    world.objects.delete(&Path::from(format!("log/{n:020}"))).await.unwrap();
    let torn = backup(&world.objects, &one).await;
    assert!(matches!(torn, Err(BackupError::Torn { n: at }) if at == n), "{torn:?}");
}

#[tokio::test]
async fn watching_gives_every_commit_once_in_order() {
    let (world, store) = used().await;
    let other = world.open().await.unwrap();
    let mut watched = Box::pin(other.watch(3));
    for n in 3..=store.head().n {
        let commit = watched.next().await.unwrap().unwrap();
        assert_eq!(commit.head.n, n);
        for one in commit.transactions {
            let [Write::Put(name, bytes)] = one.writes.as_slice() else { panic!("other writes") };
            assert_eq!((name.as_str(), bytes.expose_secret().len()), ("a", 1));
            assert_eq!(one.at, now());
        }
    }
    let next = watched.next();
    let writing = async {
        let committed = store.commit(put("new", b"1")).await.unwrap();
        other.refresh().await.unwrap();
        committed
    };
    let (seen, committed) = tokio::join!(next, writing);
    let seen = seen.unwrap().unwrap();
    assert_eq!(seen.head, committed.head);
    assert_eq!(seen.transactions[0].version, committed.version);

    store.save().await.unwrap();
    store.compact(Retention { commits: 2 }, &world.anchors).await.unwrap();
    let first = Box::pin(store.watch(1)).try_next().await;
    assert!(matches!(first, Err(ReadError::Damaged(Damage::Forgotten { n: 1 }))));
}

#[tokio::test]
async fn a_key_has_a_history_as_far_as_it_is_kept() {
    let (world, store) = used().await;
    store.commit(put("b", b"other").delete(key("a"))).await.unwrap();
    store.commit(put("a", b"x").put(key("a"), value(b"y"))).await.unwrap();
    let history = store.history(&key("a"), 99).await.unwrap();
    let values: Vec<_> = history
        .iter()
        .map(|one| one.value.as_ref().map(|value| value.expose_secret().to_vec()))
        .collect();
    let mut expected = vec![Some(b"y".to_vec()), None];
    expected.extend((0..10_u8).rev().map(|i| Some(vec![i])));
    assert_eq!(values, expected);
    assert_eq!(history[0].version, store.entry(&key("a")).unwrap().version);
    assert!(history.windows(2).all(|pair| pair[0].version > pair[1].version));
    assert_eq!(store.history(&key("a"), 3).await.unwrap().len(), 3);
    store.save().await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    store.compact(Retention { commits: 0 }, &world.anchors).await.unwrap();
    assert!(store.history(&key("a"), 99).await.unwrap().len() < 12);
}

#[tokio::test]
async fn a_copy_of_another_store_is_left_as_it_is() {
    let ((mine, _one), (other, _another)) = (used().await, used().await);
    let to = empty();
    backup(&mine.objects, &to).await.unwrap();
    let begun_anew = backup(&other.objects, &to).await;
    assert!(matches!(begun_anew, Err(BackupError::OtherStore)), "{begun_anew:?}");
    assert_eq!(backup(&mine.objects, &to).await.unwrap().objects, 0);
}
