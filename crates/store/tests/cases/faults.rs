//! Storage that fails, is silent, or answers too late.

use std::{sync::Arc, time::Duration};

use object_store::{ObjectStoreExt, path::Path};
use store::{CommitError, Damage, Demand, Settings, Store, Transaction};

use super::faulty::{Fault, Faulty};
use crate::conformance::{World, key, newborn, now, put, settings, text, value};

/// One try and no patience.
fn hasty() -> Settings {
    Settings { request: Duration::from_millis(100), patience: Duration::ZERO, ..settings() }
}

async fn hasty_world(storage: &Faulty) -> (World, Store) {
    let (world, store) = World::birth(storage.objects()).await;
    drop(store);
    let store = Store::open(
        &world.objects,
        &world.root,
        &world.id,
        (&world.anchors, Demand::Anchored),
        &hasty(),
    )
    .await
    .unwrap();
    (world, store)
}

#[tokio::test]
async fn an_attempt_is_sent_again_unchanged_until_its_fate_is_known() {
    for faults in [
        &[Fault::Before][..],
        &[Fault::After],
        &[Fault::Before, Fault::After],
        &[Fault::Before, Fault::Before],
    ] {
        let storage = Faulty::new();
        let (world, store) = World::birth(storage.objects()).await;
        storage.next(faults);
        let before = storage.sent().len();
        let committed = store.commit(put("a", b"1")).await.unwrap();
        let sent = &storage.sent()[before..];
        assert_eq!(sent.len(), faults.len() + 1, "{faults:?}");
        assert!(sent.iter().all(|attempt| *attempt == sent[0]), "{faults:?}");
        assert_eq!(
            committed.head.n, 2,
            "its own commit acknowledged late is not somebody else's: {faults:?}"
        );
        assert_eq!(world.open().await.unwrap().head(), committed.head, "{faults:?}");
    }
}

#[tokio::test]
async fn silence_is_doubt_and_not_refusal() {
    let storage = Faulty::new();
    let (world, store) = hasty_world(&storage).await;
    storage.next(&[Fault::Silence]);
    assert!(matches!(store.commit(put("a", b"1")).await, Err(CommitError::InDoubt(_))));
    assert_eq!(text(&store, "a"), None, "not visible before it is known to be durable");
    // The next look settles it: it was kept.
    store.refresh().await.unwrap();
    assert_eq!(text(&store, "a").as_deref(), Some("1"));
    assert_eq!(text(&world.open().await.unwrap(), "a").as_deref(), Some("1"));
}

#[tokio::test]
async fn what_is_in_doubt_is_settled_with_the_same_bytes_before_anything_else_is_sent() {
    let storage = Faulty::new();
    let (world, store) = hasty_world(&storage).await;
    let before = storage.sent().len();
    storage.next(&[Fault::Before, Fault::Before]);
    assert!(matches!(store.commit(put("a", b"1")).await, Err(CommitError::InDoubt(_))));
    assert!(matches!(store.commit(put("b", b"1")).await, Err(CommitError::Unavailable(_))));
    store.commit(put("c", b"1")).await.unwrap();
    let sent = &storage.sent()[before..];
    assert_eq!(sent.len(), 4);
    assert!(sent[..3].iter().all(|attempt| *attempt == sent[0]));
    let again = world.open().await.unwrap();
    let seen = ["a", "b", "c"].map(|name| text(&again, name));
    assert_eq!(seen, [Some("1".into()), None, Some("1".into())]);
}

#[tokio::test]
async fn an_attempt_in_doubt_gives_way_to_another_servers_commit() {
    let storage = Faulty::new();
    let (world, store) = hasty_world(&storage).await;
    let other = world.open().await.unwrap();
    storage.next(&[Fault::Before]);
    assert!(matches!(store.commit(put("a", b"mine")).await, Err(CommitError::InDoubt(_))));
    other.commit(put("a", b"theirs")).await.unwrap();
    store.commit(put("b", b"1")).await.unwrap();
    assert_eq!(text(&store, "a").as_deref(), Some("theirs"));
    assert_eq!(store.head().n, 3);
    assert_eq!(world.open().await.unwrap().head(), store.head());
}

#[tokio::test]
async fn a_refusal_for_want_of_permission_is_not_tried_for_a_minute() {
    let storage = Faulty::new();
    let (_, store) = World::birth(storage.objects()).await;
    let before = storage.sent().len();
    storage.next(&[Fault::Forbidden]);
    assert!(matches!(store.commit(put("a", b"1")).await, Err(CommitError::InDoubt(_))));
    assert_eq!(storage.sent().len(), before + 1);
}

#[tokio::test]
async fn the_loser_of_a_race_follows_and_tries_again() {
    let storage = Faulty::new();
    let (world, store) = World::birth(storage.objects()).await;
    let other = world.open().await.unwrap();
    let theirs = other.commit(put("a", b"theirs").audit(value(b"theirs"))).await.unwrap();
    let mine = store.commit(put("b", b"mine")).await.unwrap();
    assert_eq!(mine.head.n, theirs.head.n + 1);
    assert_eq!(text(&store, "a").as_deref(), Some("theirs"));
    assert_eq!(store.audited(), 1);
    // With a precondition that the winner broke, it is a conflict.
    other.refresh().await.unwrap();
    other.commit(put("a", b"again")).await.unwrap();
    let stale = put("a", b"mine").require(key("a"), theirs.version);
    assert!(matches!(store.commit(stale).await, Err(CommitError::Conflict { .. })));
}

#[tokio::test]
async fn a_false_commit_in_the_way_stops_all_writing() {
    let storage = Faulty::new();
    let (_, store) = World::birth(storage.objects()).await;
    storage.honest().put(&Path::from("log/00000000000000000002"), "junk".into()).await.unwrap();
    for _ in 0..2 {
        let refused = store.commit(put("a", b"1")).await;
        assert!(
            matches!(refused, Err(CommitError::Damaged(Damage::Truncated { n: 2 }))),
            "{refused:?}"
        );
    }
    assert_eq!(text(&store, "born").as_deref(), Some("yes"), "what was verified is still there");
}

#[tokio::test]
async fn the_writer_ends_with_the_last_handle() {
    let storage = Faulty::new();
    let (_, store) = World::birth(storage.objects()).await;
    let mut heads = store.heads();
    let clone = store.clone();
    drop(store);
    clone.commit(put("a", b"1")).await.unwrap();
    heads.changed().await.unwrap();
    assert_eq!(heads.borrow_and_update().n, 2);
    drop(clone);
    assert!(heads.changed().await.is_err(), "nobody is left who could commit");
}

#[tokio::test]
async fn a_birth_whose_answer_was_lost_is_still_this_birth() {
    for fault in [Fault::Before, Fault::After] {
        let storage = Faulty::new();
        storage.next(&[fault]);
        let (world, store) = World::birth(storage.objects()).await;
        assert_eq!(world.open().await.unwrap().identity(), store.identity(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_log_without_its_beginning_is_no_empty_place() {
    let storage = Faulty::new();
    let (world, store) = World::birth(storage.objects()).await;
    store.commit(put("a", b"1")).await.unwrap();
    storage.honest().delete(&Path::from("log/00000000000000000001")).await.unwrap();
    let missing = |damage: &Damage| *damage == Damage::Missing { n: 1 };
    let first = store::read_first(&world.objects).await;
    assert!(
        matches!(&first, Err(store::OpenError::Damaged(damage)) if missing(damage)),
        "{first:?}"
    );
    let opened = world.open().await.err().unwrap();
    assert!(matches!(&opened, store::OpenError::Damaged(damage) if missing(damage)), "{opened}");
    let objects: Arc<dyn object_store::ObjectStore> = storage.objects();
    let born =
        Store::create(&objects, &world.root, newborn(), Transaction::new(now()), &settings()).await;
    assert!(matches!(&born, Err(store::CreateError::Damaged(damage)) if missing(damage)));
}

#[tokio::test]
async fn a_birth_is_read_back() {
    let storage = Faulty::new();
    storage.next(&[Fault::Lie]);
    let root = store::RootKey::generate(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let born =
        Store::create(&storage.objects(), &root, newborn(), Transaction::new(now()), &settings())
            .await;
    assert!(matches!(born, Err(store::CreateError::Damaged(Damage::Missing { n: 1 }))));
}
