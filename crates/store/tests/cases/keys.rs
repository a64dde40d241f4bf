//! New barrier keys and new root keys while the store is in use, and deaths at every step of getting there.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use object_store::{ObjectStore, memory::InMemory};
use store::{
    AnchorStore, ChangeError, CommitError, Demand, Hash, OpenError, RecoverySet, Rekey, Retention,
    RootKey, Settings, ShareRef, ShareSet, Store, read_headers, write_later_recovery,
};

use super::faulty::{Fault, Faulty};
use crate::conformance::{World, put, settings, text};

fn rekey(generation: u32) -> (RootKey, Rekey) {
    let rng = SystemRandom::new();
    let root = RootKey::generate(&rng).unwrap();
    let shares = root.split(1, 1, &rng).unwrap();
    let named = ShareRef {
        name: format!("unseal-{generation}"),
        version: "1".into(),
        sha256: Hash::of(shares[0].expose_secret()),
    };
    let rekey = Rekey {
        root: RootKey::combine(&shares).unwrap(),
        generation,
        shares: ShareSet { threshold: 1, shares: vec![named] },
        recovery: RecoverySet { threshold: 0, shares: Vec::new() },
    };
    (root, rekey)
}

async fn open(
    objects: &Arc<dyn ObjectStore>,
    world: &World,
    root: &RootKey,
) -> Result<Store, OpenError> {
    let anchors = world.anchored(Demand::Anchored);
    Store::open(objects, root, &world.id, anchors, &settings()).await
}

#[tokio::test]
async fn everything_after_a_rotation_is_under_the_new_key_and_other_servers_follow() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let follower = world.open().await.unwrap();
    let first = store.key();
    store.commit(put("a", b"1")).await.unwrap();
    let second = store.rotate().await.unwrap();
    assert_ne!(first, second);
    store.commit(put("a", b"2")).await.unwrap();
    follower.refresh().await.unwrap();
    assert_eq!((follower.key(), text(&follower, "a").as_deref()), (second, Some("2")));
    let third = follower.rotate().await.unwrap();
    follower.commit(put("a", b"3")).await.unwrap();
    store.commit(put("b", b"4")).await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    assert_eq!(store.key(), third);
    assert_eq!(store.header().sequence(), 2);

    for saved in [false, true] {
        if saved {
            store.save().await.unwrap();
        }
        let again = world.open().await.unwrap();
        assert_eq!(again.origin().snapshot.is_some(), saved);
        assert_eq!((again.head(), again.key()), (store.head(), third));
        assert_eq!(text(&again, "a").as_deref(), Some("3"));
    }
}

#[tokio::test]
async fn two_servers_that_rotate_at_once_agree() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let other = world.open().await.unwrap();
    let (one, two) = tokio::join!(store.rotate(), other.rotate());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one, two, "the loser makes a key on top of the winner's");
    store.commit(put("a", b"1")).await.unwrap();
    other.commit(put("b", b"1")).await.unwrap();
    store.refresh().await.unwrap();
    assert_eq!(store.key(), other.key());
    let again = world.open().await.unwrap();
    assert_eq!((again.head(), again.key()), (store.head(), store.key()));
    assert!(read_headers(&world.objects).await.unwrap().len() >= 3);
}

#[tokio::test]
async fn an_old_root_key_opens_nothing_after_a_rekey() {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    let elsewhere = world.open().await.unwrap();
    store.commit(put("a", b"before")).await.unwrap();
    store.save().await.unwrap();
    let (root, new) = rekey(2);
    store.rekey(new).await.unwrap();
    store.commit(put("a", b"after")).await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    assert_eq!(store.header().generation(), 2);

    for _ in 0..2 {
        let refused = elsewhere.commit(put("a", b"late")).await;
        assert!(matches!(refused, Err(CommitError::Rekeyed { generation: 2 })), "{refused:?}");
    }
    let refused = world.open().await.err().unwrap();
    assert!(matches!(refused, OpenError::OtherGeneration { given: 1, current: 2 }), "{refused}");
    let again = open(&world.objects, &world, &root).await.unwrap();
    assert_eq!(text(&again, "a").as_deref(), Some("after"));
    again.rotate().await.unwrap();
    again.save().await.unwrap();
    let again = open(&world.objects, &world, &root).await.unwrap();
    assert!(again.origin().snapshot.is_some_and(|head| head == again.head()));
    let newest = read_headers(&world.objects).await.unwrap();
    assert_eq!((newest[0].generation(), newest[0].sequence()), (2, 2));
    assert_eq!(newest[0].shares().shares[0].name, "unseal-2");
    assert_eq!(newest.last().unwrap().generation(), 1);

    let (_, wrong) = rekey(2);
    let refused = again.rekey(wrong).await;
    assert!(matches!(refused, Err(ChangeError::OtherGeneration { current: 2 })), "{refused:?}");
}

/// One way to change the keys, with how many puts it makes.
async fn change(store: &Store, way: Way<'_>, objects: &Arc<dyn ObjectStore>) -> (RootKey, bool) {
    let (root, mut new) = rekey(2);
    let done = match way {
        Way::Rotate => store.rotate().await.is_ok(),
        Way::Rekey => {
            let rng = SystemRandom::new();
            let holder = age::x25519::Identity::generate().to_public().to_string();
            let shares = root.split(1, 1, &rng).unwrap();
            let id = store.identity().id();
            let recipients = [holder.parse().unwrap()];
            match write_later_recovery(objects, (id, 2), 1, &shares, &recipients, &rng).await {
                Err(_) => false,
                Ok(recovery) => {
                    new.recovery = recovery;
                    store.rekey(new).await.is_ok()
                }
            }
        }
        Way::Compact(anchors) => store.compact(Retention { commits: 1 }, anchors).await.is_ok(),
        Way::Save => store.save().await.is_ok(),
    };
    (root, done)
}

#[derive(Clone, Copy)]
enum Way<'a> {
    Rotate,
    Rekey,
    Save,
    Compact(&'a dyn AnchorStore),
}

/// What the store is like before the change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    WholeLog,
    /// It opens from snapshots only.
    Compacted,
}

async fn dies(way: impl for<'a> Fn(&'a World) -> Way<'a>, most: usize) {
    dies_after(Before::WholeLog, way, most).await;
}

async fn dies_after(before: Before, way: impl for<'a> Fn(&'a World) -> Way<'a>, most: usize) {
    let mut completed = 0;
    for step in 0..=most {
        for death in [Fault::DeathBefore, Fault::DeathAfter] {
            let storage = Faulty::new();
            let (world, store) = World::birth(storage.objects()).await;
            drop(store);
            let hasty = Settings { patience: std::time::Duration::ZERO, ..settings() };
            let anchors = world.anchored(Demand::Anchored);
            let store =
                Store::open(&world.objects, &world.root, &world.id, anchors, &hasty).await.unwrap();
            for i in 0..4_u8 {
                store.commit(put("a", &[i])).await.unwrap();
                store.save().await.unwrap();
            }
            if before == Before::Compacted {
                store.compact(Retention { commits: 1 }, &world.anchors).await.unwrap();
            }
            let other = open(&storage.honest(), &world, &world.root).await.unwrap();
            let mut script = vec![Fault::None; step];
            script.push(death);
            storage.next(&script);
            let (new_root, done) = change(&store, way(&world), &storage.objects()).await;
            completed += usize::from(done);
            drop(store);

            // Whichever root key is in force opens it, and exactly one is.
            let objects = storage.honest();
            let mut opened = Vec::new();
            for root in [&world.root, &new_root] {
                opened.extend(open(&objects, &world, root).await.ok());
            }
            assert_eq!(opened.len(), 1, "step {step}, {death:?}");
            let again = opened.remove(0);
            assert_eq!(text(&again, "a").unwrap().as_bytes(), [3]);
            assert_eq!(text(&again, "born").as_deref(), Some("yes"));
            // And it can be done again, by another process.
            again.rotate().await.unwrap();
            again.save().await.unwrap();
            again.save().await.unwrap();
            again.compact(Retention { commits: 1 }, &world.anchors).await.unwrap();
            again.commit(put("after", b"yes")).await.unwrap();
            match other.commit(put("other", b"yes")).await {
                Ok(_) => {}
                Err(CommitError::Rekeyed { .. }) => assert_eq!(again.header().generation(), 2),
                // It was behind the new beginning.
                Err(CommitError::Damaged(store::Damage::Forgotten { .. })) => {}
                Err(fault) => panic!("step {step}, {death:?}: {fault}"),
            }
            again.refresh().await.unwrap();
            let root = if again.header().generation() == 2 { &new_root } else { &world.root };
            let last = open(&objects, &world, root).await.unwrap();
            assert_eq!(text(&last, "after").as_deref(), Some("yes"));
        }
    }
    assert!(completed > 0, "the steps have to reach the end");
    assert!(completed < 2 * most, "the deaths have to be on the way");
}

#[tokio::test]
async fn a_rotation_that_dies_anywhere_is_done_or_not() {
    dies(|_| Way::Rotate, 3).await;
}

#[tokio::test]
async fn a_rekey_that_dies_anywhere_is_done_or_not() {
    dies(|_| Way::Rekey, 4).await;
}

/// Snapshots under the old key count no longer, and there is no log to read instead.
#[tokio::test]
async fn a_rotation_of_a_compacted_store_that_dies_anywhere_is_done_or_not() {
    dies_after(Before::Compacted, |_| Way::Rotate, 9).await;
}

#[tokio::test]
async fn a_rekey_of_a_compacted_store_that_dies_anywhere_is_done_or_not() {
    dies_after(Before::Compacted, |_| Way::Rekey, 10).await;
}

#[tokio::test]
async fn a_snapshot_that_dies_anywhere_is_done_or_not() {
    dies(|_| Way::Save, 5).await;
}

#[tokio::test]
async fn a_compaction_that_dies_anywhere_is_done_or_goes_on() {
    dies(|world| Way::Compact(&world.anchors), 6).await;
}

#[tokio::test]
async fn a_header_that_was_tampered_with_is_refused_by_name() {
    use object_store::{ObjectStoreExt, path::Path};
    use store::Damage;

    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    store.rotate().await.unwrap();
    store.rotate().await.unwrap();
    store.commit(put("a", b"1")).await.unwrap();
    store.raise_anchor(&world.anchors).await.unwrap();
    let names = super::saved::names(&world.objects, "keyring").await;
    let whole: Vec<_> = {
        let mut whole = Vec::new();
        for path in &names {
            whole.push(world.objects.get(path).await.unwrap().bytes().await.unwrap());
        }
        whole
    };
    assert_eq!(names.len(), 2);
    for (i, path) in names.iter().enumerate() {
        let mut bad = vec![whole[1 - i].to_vec(), Vec::new(), b"{}".to_vec()];
        for at in [0, whole[i].len() / 3, whole[i].len() / 2, whole[i].len() - 1] {
            let mut flipped = whole[i].to_vec();
            flipped[at] ^= 1;
            bad.extend([flipped, whole[i][..at].to_vec()]);
        }
        for bytes in bad {
            let objects = super::adversary::copy(&world.objects, |_| true).await;
            objects.put(path, bytes.into()).await.unwrap();
            let refused = open(&objects, &world, &world.root).await.err().unwrap();
            let OpenError::Damaged(Damage::Header { object, .. }) = refused else {
                panic!("{refused}")
            };
            assert_eq!(object, path.as_ref());
        }
        let objects = super::adversary::copy(&world.objects, |at| at != path).await;
        let refused = open(&objects, &world, &world.root).await.err().unwrap();
        let OpenError::Damaged(Damage::MissingHeader { object }) = refused else {
            panic!("{refused}")
        };
        assert_eq!(object, path.as_ref());
    }
    // Junk beside them, and the headers of another store, are passed over.
    let (stranger, other) = World::birth(Arc::new(InMemory::new())).await;
    other.rotate().await.unwrap();
    for path in super::saved::names(&stranger.objects, "keyring").await {
        let bytes = stranger.objects.get(&path).await.unwrap().bytes().await.unwrap();
        world.objects.put(&path, bytes.into()).await.unwrap();
    }
    let junk = "keyring/4294967295-4294967295-".to_owned() + &"0".repeat(64);
    world.objects.put(&Path::from(junk), "junk".into()).await.unwrap();
    world.objects.put(&Path::from("keyring/junk"), "junk".into()).await.unwrap();
    assert_eq!(world.open().await.unwrap().head(), store.head());
}
