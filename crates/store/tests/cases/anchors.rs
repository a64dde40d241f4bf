//! Freshness: what is older than the anchor, forked from it or without it is refused.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use object_store::{ObjectStore, memory::InMemory};
use store::{
    AnchorError, AnchorStore, AnchorStoreError, CommitError, Demand, OpenError, SealedAnchor,
    Settings, Store, Uncovered,
};

use super::adversary::copy;
use crate::conformance::{MemoryAnchor, World, put, settings};

async fn open(
    world: &World,
    objects: &Arc<dyn ObjectStore>,
    demand: Demand,
) -> Result<Store, OpenError> {
    Store::open(objects, &world.root, &world.id, (&world.anchors, demand), &settings()).await
}

#[tokio::test]
async fn a_store_older_than_its_anchor_is_refused() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    store.commit(put("a", b"1")).await.unwrap();
    let old = copy(&world.objects, |_| true).await;
    store.commit(put("a", b"2")).await.unwrap();
    let anchored = store.raise_anchor(&world.anchors).await.unwrap();
    assert_eq!(anchored, store.head());
    let refused = open(&world, &old, Demand::MayBeAbsent).await.err().unwrap();
    let OpenError::RolledBack { anchored: seen, found } = refused else { panic!("{refused}") };
    assert_eq!((seen, found.n), (anchored, 2));
    assert_eq!(world.open().await.unwrap().head(), anchored);
}

#[tokio::test]
async fn a_store_forked_before_its_anchor_is_refused() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let fork = copy(&world.objects, |_| true).await;
    store.commit(put("a", b"here")).await.unwrap();
    let anchored = store.raise_anchor(&world.anchors).await.unwrap();

    let there = Store::open(
        &fork,
        &world.root,
        &world.id,
        (&MemoryAnchor::default(), Demand::MayBeAbsent),
        &settings(),
    )
    .await
    .unwrap();
    there.commit(put("a", b"there")).await.unwrap();
    let refused = there.raise_anchor(&world.anchors).await;
    assert!(
        matches!(refused, Err(AnchorError::Forked { .. })),
        "the same number with another hash"
    );
    there.commit(put("a", b"further")).await.unwrap();
    let refused = there.raise_anchor(&world.anchors).await;
    assert!(
        matches!(refused, Err(AnchorError::Forked { .. })),
        "a higher number with another past"
    );
    let refused = open(&world, &fork, Demand::Anchored).await.err().unwrap();
    let OpenError::Forked { anchored: seen, head, .. } = refused else { panic!("{refused}") };
    assert_eq!((seen, head), (anchored, there.head()));
}

/// Whoever holds the storage lets another server go further on a branch of its own, then puts ours back: the anchor is
/// ahead of us, which covers nothing that we commit.
#[tokio::test]
async fn an_anchor_that_another_branch_raised_covers_nothing() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    store.raise_anchor(&world.anchors).await.unwrap();
    let branch = copy(&world.objects, |_| true).await;
    let other = open(&world, &branch, Demand::Anchored).await.unwrap();
    for i in 0..5_u8 {
        other.commit(put("a", &[i])).await.unwrap();
    }
    let anchored = other.raise_anchor(&world.anchors).await.unwrap();
    store.commit(put("a", b"ours")).await.unwrap();
    let ahead = store.raise_anchor(&world.anchors).await;
    assert!(matches!(ahead, Err(AnchorError::Ahead { anchored: seen, .. }) if seen == anchored));
    for i in 0..5_u8 {
        store.commit(put("b", &[i])).await.unwrap();
    }
    let forked = store.raise_anchor(&world.anchors).await;
    assert!(matches!(forked, Err(AnchorError::Forked { .. })), "{forked:?}");
}

#[tokio::test]
async fn a_server_that_is_behind_the_anchor_reads_on_and_is_covered() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let other = world.open().await.unwrap();
    for i in 0..5_u8 {
        other.commit(put("a", &[i])).await.unwrap();
    }
    let anchored = other.raise_anchor(&world.anchors).await.unwrap();
    assert_eq!(store.raise_anchor(&world.anchors).await.unwrap(), anchored);
    assert_eq!(store.head(), anchored);
}

#[tokio::test]
async fn a_missing_anchor_is_refused_where_one_is_demanded() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    *world.anchors.0.lock().unwrap() = None;
    let refused = open(&world, &world.objects, Demand::Anchored).await.err().unwrap();
    let OpenError::Unanchored { found } = refused else { panic!("{refused}") };
    assert_eq!(found, store.head());
    open(&world, &world.objects, Demand::MayBeAbsent).await.unwrap();
}

#[tokio::test]
async fn an_anchor_of_another_store_or_a_changed_one_is_refused() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    store.commit(put("a", b"1")).await.unwrap();
    let (other, _) = World::birth(Arc::new(InMemory::new())).await;
    let own = world.anchors.0.lock().unwrap().clone().unwrap();
    let foreign = other.anchors.0.lock().unwrap().clone().unwrap();
    for text in [foreign, own.replacen("1.1.1.", "1.1.2.", 1), own.replacen("1.1.1.", "1.2.1.", 1)]
    {
        *world.anchors.0.lock().unwrap() = Some(text);
        let refused = open(&world, &world.objects, Demand::MayBeAbsent).await.err().unwrap();
        assert!(matches!(refused, OpenError::AnchorNotOurs { .. }), "{refused}");
        assert!(matches!(store.raise_anchor(&world.anchors).await, Err(AnchorError::NotOurs(_))));
    }
    *world.anchors.0.lock().unwrap() = Some("junk".into());
    let refused = open(&world, &world.objects, Demand::MayBeAbsent).await.err().unwrap();
    assert!(matches!(refused, OpenError::AnchorUnavailable(_)), "{refused}");
}

#[tokio::test]
async fn an_anchor_is_never_lowered() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let behind = world.open().await.unwrap();
    store.commit(put("a", b"1")).await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    assert_eq!(behind.head().n, 1);
    assert_eq!(behind.raise_anchor(&world.anchors).await.unwrap(), store.head());
    assert_eq!(world.open().await.unwrap().head(), store.head());
}

/// An anchor's place that can be read and not written.
struct Stuck<'a>(&'a MemoryAnchor);

#[async_trait]
impl AnchorStore for Stuck<'_> {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        self.0.read().await
    }

    async fn write(&self, _anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        Err(AnchorStoreError::Unavailable("no".into()))
    }
}

async fn bounded(uncovered: Uncovered) -> (World, Store) {
    let (world, _) = World::birth(Arc::new(InMemory::new())).await;
    let settings = Settings { uncovered, ..settings() };
    let anchors = world.anchored(Demand::Anchored);
    let store =
        Store::open(&world.objects, &world.root, &world.id, anchors, &settings).await.unwrap();
    (world, store)
}

#[tokio::test]
async fn writes_stop_at_a_bounded_number_of_uncovered_commits_and_go_on_by_themselves() {
    let (world, store) = bounded(Uncovered { commits: 3, age: Duration::from_secs(3600) }).await;
    for _ in 0..2 {
        for _ in 0..3 {
            store.commit(put("a", b"1")).await.unwrap();
            store.raise_anchor(&Stuck(&world.anchors)).await.unwrap_err();
        }
        let head = store.head();
        for _ in 0..2 {
            let refused = store.commit(put("a", b"2")).await;
            assert!(
                matches!(refused, Err(CommitError::Uncovered { anchored, head: at })
                    if anchored == head.n - 3 && at == head),
                "{refused:?}"
            );
        }
        assert_eq!(store.head(), head);
        assert_eq!(store.refresh().await.unwrap(), head, "reading goes on");
        store.raise_anchor(&world.anchors).await.unwrap();
    }
    store.commit(put("a", b"3")).await.unwrap();
}

#[tokio::test]
async fn writes_stop_when_a_commit_stays_uncovered_for_too_long() {
    let (world, store) = bounded(Uncovered { commits: u64::MAX, age: Duration::ZERO }).await;
    for _ in 0..2 {
        store.commit(put("a", b"1")).await.expect("a store without uncovered commits");
        let refused = store.commit(put("a", b"2")).await;
        assert!(matches!(refused, Err(CommitError::Uncovered { .. })), "{refused:?}");
        store.raise_anchor(&world.anchors).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_died_far_ahead_of_its_anchor_opens_and_writes() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    for _ in 0..5 {
        store.commit(put("a", b"1")).await.unwrap();
    }
    let settings = Settings {
        uncovered: Uncovered { commits: 3, age: Duration::from_secs(3600) },
        ..settings()
    };
    let anchors = world.anchored(Demand::Anchored);
    let store =
        Store::open(&world.objects, &world.root, &world.id, anchors, &settings).await.unwrap();
    store.commit(put("a", b"2")).await.unwrap();
}
