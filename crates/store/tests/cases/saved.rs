//! Stored snapshots, and what is dropped when they are there.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use store::{
    CommitError, CompactError, Damage, Demand, OpenError, Retention, Settings, Store, Transaction,
    Uncovered,
};

use super::adversary::copy;
use crate::conformance::{World, key, now, put, settings, text, value};

/// A world with two snapshots: of commit 41 and of commit 61, behind which there are 20 more.
async fn saved() -> (World, Store) {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    for i in 0..80_u32 {
        let name = format!("key/{:02}", i % 30);
        let record = value(format!("record {i}").as_bytes());
        store.commit(put(&name, &i.to_be_bytes()).audit(record)).await.unwrap();
        if i == 39 || i == 59 {
            assert_eq!(store.save().await.unwrap().n, u64::from(i) + 2);
        }
    }
    store.raise_anchor(&world.anchors).await.unwrap();
    (world, store)
}

async fn open(world: &World, objects: &Arc<dyn ObjectStore>) -> Result<Store, OpenError> {
    let anchors = world.anchored(Demand::Anchored);
    Store::open(objects, &world.root, &world.id, anchors, &settings()).await
}

fn same(one: &Store, other: &Store) {
    assert_eq!(one.head(), other.head());
    assert_eq!((one.audited(), one.latest_time()), (other.audited(), other.latest_time()));
    let all = |store: &Store| {
        let page = store.range("", None, usize::MAX);
        page.entries
            .into_iter()
            .map(|one| (one.key, one.version, one.value.expose_secret().to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(one), all(other));
    assert_eq!(one.prove_growth(7, 60), other.prove_growth(7, 60));
}

/// What lies in a folder, in order.
pub(super) async fn names(objects: &Arc<dyn ObjectStore>, folder: &str) -> Vec<Path> {
    use futures::TryStreamExt;
    let listed = objects.list(Some(&Path::from(folder)));
    let mut paths: Vec<Path> = listed.map_ok(|meta| meta.location).try_collect().await.unwrap();
    paths.sort();
    paths
}

async fn snapshots(objects: &Arc<dyn ObjectStore>) -> Vec<Path> {
    names(objects, "snapshot").await
}

#[tokio::test]
async fn a_store_opens_from_its_newest_snapshot_as_from_its_log() {
    let (world, store) = saved().await;
    let again = world.open().await.unwrap();
    assert_eq!(again.origin().snapshot.unwrap().n, 61);
    assert!(again.origin().refused.is_empty());
    same(&store, &again);
    let log = copy(&world.objects, |path| !path.as_ref().starts_with("snapshot")).await;
    let from_log = open(&world, &log).await.unwrap();
    assert!(from_log.origin().snapshot.is_none());
    same(&store, &from_log);
    let audited = again.audit(1, 99).await.unwrap();
    assert_eq!(audited.len(), 80);
    again.commit(put("after", b"1")).await.unwrap();
    assert_eq!(text(&world.open().await.unwrap(), "after").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over() {
    let (world, store) = saved().await;
    let all = snapshots(&world.objects).await;
    assert!(all.len() >= 6, "{all:?}");
    for path in &all {
        let whole = world.objects.get(path).await.unwrap().bytes().await.unwrap();
        let mut changes: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
        for at in [0, 9, 13, 23, 30, 43, 50, whole.len() / 2, whole.len() - 1] {
            let mut bad = whole.to_vec();
            bad[at] ^= 1;
            changes.push(Some(bad));
            changes.push(Some(whole[..at].to_vec()));
        }
        for other in &all {
            let bytes = world.objects.get(other).await.unwrap().bytes().await.unwrap();
            changes.extend((other != path).then(|| Some(bytes.to_vec())));
        }
        for change in changes {
            let objects = copy(&world.objects, |_| true).await;
            match change {
                None => objects.delete(path).await.unwrap(),
                Some(bad) => drop(objects.put(path, bad.into()).await.unwrap()),
            }
            let opened = open(&world, &objects).await.unwrap();
            same(&store, &opened);
            let newest = path.as_ref().contains("/00000000000000000061-");
            let missing_index =
                path.as_ref().ends_with("index") && objects.head(path).await.is_err();
            let expected = if newest { 41 } else { 61 };
            assert_eq!(opened.origin().snapshot.unwrap().n, expected, "{path}");
            let named = opened.origin().refused.iter().all(
                |damage| matches!(damage, Damage::Snapshot { name, .. } if path.as_ref().starts_with(name)),
            );
            assert!(named, "{:?}", opened.origin().refused);
            assert_eq!(opened.origin().refused.is_empty(), !newest || missing_index, "{path}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_of_another_history_or_store_is_passed_over() {
    let (world, store) = saved().await;
    // The operator lets the store run on a copy, and offers the copy's snapshot.
    let objects =
        copy(&world.objects, |path| *path <= Path::from("log/00000000000000000020")).await;
    let settings = Settings {
        uncovered: Uncovered { commits: u64::MAX, ..Uncovered::default() },
        ..settings()
    };
    let anchors = world.anchored(Demand::DangerAnyHistory);
    let fork = Store::open(&objects, &world.root, &world.id, anchors, &settings).await.unwrap();
    for i in 0..55_u32 {
        fork.commit(put("forged", &i.to_be_bytes())).await.unwrap();
    }
    fork.save().await.unwrap();
    let (_, other) = saved().await;
    drop(other);
    for path in snapshots(&objects).await {
        let bytes = objects.get(&path).await.unwrap().bytes().await.unwrap();
        world.objects.put(&path, bytes.into()).await.unwrap();
    }
    let opened = world.open().await.unwrap();
    same(&store, &opened);
    assert_eq!(opened.origin().snapshot.unwrap().n, 61);
    assert!(matches!(opened.origin().refused.as_slice(), [Damage::Snapshot { .. }]));
    assert_eq!(text(&opened, "forged"), None);

    let (stranger, _) = saved().await;
    let all = snapshots(&stranger.objects).await;
    for path in all {
        let bytes = stranger.objects.get(&path).await.unwrap().bytes().await.unwrap();
        world.objects.put(&path, bytes.into()).await.unwrap();
    }
    same(&store, &world.open().await.unwrap());
}

#[tokio::test]
async fn compaction_drops_the_log_and_keeps_the_state() {
    let (world, store) = saved().await;
    let keep = Retention { commits: 30 };
    let compacted = store.compact(keep, &world.anchors).await.unwrap();
    assert_eq!((compacted.floor, compacted.dropped), (41, 39));
    let again = world.open().await.unwrap();
    assert_eq!(again.head(), store.head());
    assert_eq!(text(&again, "born").as_deref(), Some("yes"));
    for store in [&store, &again] {
        let records = store.audit(1, 99).await.unwrap();
        assert_eq!(records.first().unwrap().sequence, 40, "those of commits that are kept");
        assert_eq!(records.len(), 41);
        assert!(store.prove_growth(39, 80).is_some() && store.prove_record(40, 80).is_some());
        assert!(store.prove_record(30, 80).is_none());
    }
    assert_eq!(store.compact(keep, &world.anchors).await.unwrap().dropped, 0);

    // One of the two snapshots that are left may break, not both.
    let names = snapshots(&world.objects).await;
    let index =
        |n: &str| names.iter().find(|p| p.as_ref().contains(n) && p.as_ref().ends_with("index"));
    world.objects.put(index("061-").unwrap(), "junk".into()).await.unwrap();
    assert_eq!(world.open().await.unwrap().origin().snapshot.unwrap().n, 41);
    world.objects.put(index("041-").unwrap(), "junk".into()).await.unwrap();
    let refused = world.open().await.err().unwrap();
    assert!(matches!(refused, OpenError::Damaged(Damage::Snapshot { .. })), "{refused}");
    for path in &names {
        world.objects.delete(path).await.unwrap();
    }
    let refused = world.open().await.err().unwrap();
    assert!(matches!(refused, OpenError::Damaged(Damage::Forgotten { n: 2 })), "{refused}");
}

#[tokio::test]
async fn nothing_is_dropped_without_two_snapshots_that_open() {
    let (world, store) = saved().await;
    let names = snapshots(&world.objects).await;
    world.objects.put(&names[0], "junk".into()).await.unwrap();
    let refused = store.compact(Retention { commits: 0 }, &world.anchors).await;
    assert!(matches!(refused, Err(CompactError::TooFewSnapshots { found: 1 })), "{refused:?}");
    store.save().await.unwrap();
    let compacted = store.compact(Retention { commits: 0 }, &world.anchors).await.unwrap();
    assert_eq!(compacted.floor, 61);
}

#[tokio::test]
async fn a_server_that_was_stalled_since_before_a_compaction_cannot_write() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let stalled = world.open().await.unwrap();
    for i in 0..9_u8 {
        store.commit(put("a", &[i])).await.unwrap();
        store.save().await.unwrap();
    }
    store.compact(Retention { commits: 0 }, &world.anchors).await.unwrap();
    for _ in 0..2 {
        let refused = stalled.commit(put("a", b"late")).await;
        assert!(
            matches!(refused, Err(CommitError::Damaged(Damage::Forgotten { n: 2 }))),
            "{refused:?}"
        );
    }
    assert_eq!(text(&world.open().await.unwrap(), "a").unwrap().as_bytes(), [8]);
}

#[tokio::test]
async fn an_anchor_older_than_the_log_is_refused() {
    let (world, store) = saved().await;
    let old = {
        let (fresh, _) = World::birth(Arc::new(InMemory::new())).await;
        drop(fresh);
        let objects =
            copy(&world.objects, |path| *path <= Path::from("log/00000000000000000020")).await;
        let anchors = world.anchored(Demand::DangerAnyHistory);
        let past =
            Store::open(&objects, &world.root, &world.id, anchors, &settings()).await.unwrap();
        let place = crate::conformance::MemoryAnchor::default();
        past.raise_anchor(&place).await.unwrap();
        place.0.into_inner().unwrap()
    };
    store.compact(Retention { commits: 10 }, &world.anchors).await.unwrap();
    *world.anchors.0.lock().unwrap() = old;
    let refused = world.open().await.err().unwrap();
    assert!(matches!(refused, OpenError::AnchorTooOld { floor: 41, .. }), "{refused}");
}

#[tokio::test]
async fn a_snapshot_is_of_one_commit_while_others_write() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    for i in 0..50_u32 {
        let all = (0..40).fold(Transaction::new(now()), |all, k| {
            all.put(key(&format!("{k:04}")), value(&i.to_be_bytes()))
        });
        let (saved, written) = tokio::join!(store.save(), store.commit(all));
        written.unwrap();
        saved.unwrap();
    }
    let opened = world.open().await.unwrap();
    same(&store, &opened);
    assert!(opened.origin().snapshot.is_some() && opened.origin().refused.is_empty());
}
