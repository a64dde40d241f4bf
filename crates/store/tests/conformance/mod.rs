//! What the store promises on any object storage. `run` is all of it; each case takes a folder of its own.
//!
//! Other crates include this file to run it on the storage that they have.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path, prefix::PrefixStore};
use store::{
    AnchorStore, AnchorStoreError, CommitError, CreateError, Demand, Hash, IdentityId, IdentityKey,
    Key, Newborn, OpenError, RecoverySet, RootKey, SealedAnchor, Settings, ShareRef, ShareSet,
    Store, Transaction, Value, Version, read_first,
};

/// Runs every case, each in a folder below `folder`.
pub(crate) async fn run(objects: Arc<dyn ObjectStore>, folder: &str) {
    let place = |name: &str| -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(&objects), Path::from(format!("{folder}/{name}"))))
    };
    what_was_committed_is_there_after_opening_again(place("reopen")).await;
    an_empty_place_holds_no_store(place("empty")).await;
    only_one_birth_counts(place("births")).await;
    preconditions_decide(place("preconditions")).await;
    a_transaction_is_whole_or_not_at_all(place("atomic")).await;
    audit_records_come_back_in_order(place("audit")).await;
    several_servers_share_one_log(place("servers")).await;
    many_writers_share_commits(place("writers")).await;
    snapshots_stand_still(place("snapshots")).await;
    large_values_survive(place("large")).await;
}

/// What a server keeps of a store while it is not running.
pub(crate) struct World {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) root: RootKey,
    pub(crate) id: IdentityId,
    pub(crate) anchors: MemoryAnchor,
}

impl World {
    /// A birth in an empty place.
    pub(crate) async fn birth(objects: Arc<dyn ObjectStore>) -> (Self, Store) {
        let root = RootKey::generate(&SystemRandom::new()).unwrap();
        let newborn = newborn();
        let id = newborn.identity.public().id();
        let first = put("born", b"yes");
        let store = Store::create(&objects, &root, newborn, first, &settings()).await.unwrap();
        let anchors = MemoryAnchor::default();
        store.raise_anchor(&anchors).await.unwrap();
        (Self { objects, root, id, anchors }, store)
    }

    /// The anchor, and whether one is demanded.
    pub(crate) fn anchored(&self, demand: Demand) -> (&dyn AnchorStore, Demand) {
        (&self.anchors, demand)
    }

    /// A later boot.
    pub(crate) async fn open(&self) -> Result<Store, OpenError> {
        Store::open(
            &self.objects,
            &self.root,
            &self.id,
            self.anchored(Demand::Anchored),
            &settings(),
        )
        .await
    }
}

/// An anchor in memory.
#[derive(Default)]
pub(crate) struct MemoryAnchor(pub(crate) Mutex<Option<String>>);

#[async_trait]
impl AnchorStore for MemoryAnchor {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        Ok(self.0.lock().unwrap().as_ref().map(|text| text.parse()).transpose()?)
    }

    async fn write(&self, anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        *self.0.lock().unwrap() = Some(anchor.to_string());
        Ok(())
    }
}

pub(crate) fn settings() -> Settings {
    Settings::new(Arc::new(SystemRandom::new()))
}

pub(crate) fn newborn() -> Newborn {
    let share =
        ShareRef { name: "unseal-1".into(), version: "1".into(), sha256: Hash::of(b"wrapped") };
    Newborn {
        identity: IdentityKey::generate().unwrap(),
        shares: ShareSet { threshold: 1, shares: vec![share] },
        recovery: RecoverySet { threshold: 0, shares: Vec::new() },
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

pub(crate) fn value(bytes: &[u8]) -> Value {
    Value::copied(bytes).unwrap()
}

pub(crate) fn put(name: &str, bytes: &[u8]) -> Transaction {
    Transaction::new(now()).put(key(name), value(bytes))
}

/// The bytes of a key now, as text.
pub(crate) fn text(store: &Store, name: &str) -> Option<String> {
    store
        .entry(&key(name))
        .map(|entry| String::from_utf8(entry.value.expose_secret().to_vec()).unwrap())
}

async fn what_was_committed_is_there_after_opening_again(objects: Arc<dyn ObjectStore>) {
    let (world, store) = World::birth(objects).await;
    store.commit(put("a", b"1").put(key("b"), value(b"2"))).await.unwrap();
    let last = store.commit(put("a", b"3").delete(key("b"))).await.unwrap();
    let signature = store.sign(b"test: hello").unwrap();
    let head = store.head();
    assert_eq!(last.head, head);
    drop(store);

    let again = world.open().await.unwrap();
    assert_eq!(again.head(), head);
    assert_eq!(text(&again, "born").as_deref(), Some("yes"));
    assert_eq!(text(&again, "a").as_deref(), Some("3"));
    assert_eq!(text(&again, "b"), None);
    assert_eq!(again.entry(&key("a")).unwrap().version, last.version);
    assert_eq!(again.latest_time(), Some(now()));
    again.identity().verify(b"test: hello", &signature).unwrap();
    let first = read_first(&world.objects).await.unwrap().unwrap();
    assert_eq!(first.identity(), again.identity());
    assert_eq!(first.shares(), again.first().shares());
}

async fn an_empty_place_holds_no_store(objects: Arc<dyn ObjectStore>) {
    assert!(read_first(&objects).await.unwrap().is_none());
    let root = RootKey::generate(&SystemRandom::new()).unwrap();
    let id = IdentityKey::generate().unwrap().public().id();
    let anchors = MemoryAnchor::default();
    let opened =
        Store::open(&objects, &root, &id, (&anchors, Demand::MayBeAbsent), &settings()).await;
    assert!(matches!(opened, Err(OpenError::NoStore)));
}

async fn only_one_birth_counts(objects: Arc<dyn ObjectStore>) {
    let births = (0..4).map(|_| {
        let objects = Arc::clone(&objects);
        async move {
            let root = RootKey::generate(&SystemRandom::new()).unwrap();
            Store::create(&objects, &root, newborn(), Transaction::new(now()), &settings()).await
        }
    });
    let results = futures::future::join_all(births).await;
    let winners: Vec<_> = results.iter().flatten().map(|store| store.identity().id()).collect();
    assert_eq!(winners.len(), 1);
    for result in results {
        match result {
            Ok(store) => drop(store.commit(put("a", b"1")).await.unwrap()),
            Err(CreateError::LostRace { winner }) => assert_eq!(winner, winners[0]),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn preconditions_decide(objects: Arc<dyn ObjectStore>) {
    let (_, store) = World::birth(objects).await;
    let create = || put("a", b"1").require_absent(key("a"));
    let first = store.commit(create()).await.unwrap();
    let conflict =
        |result| matches!(result, Err(CommitError::Conflict { key }) if key.as_str() == "a");
    assert!(conflict(store.commit(create()).await));
    let update = |version| put("a", b"2").require(key("a"), version);
    assert!(conflict(store.commit(update(Version::new(first.version.number() + 1))).await));
    let second = store.commit(update(first.version)).await.unwrap();
    assert!(conflict(store.commit(update(first.version)).await));
    store
        .commit(Transaction::new(now()).delete(key("a")).require(key("a"), second.version))
        .await
        .unwrap();
    assert!(conflict(store.commit(update(second.version)).await));
    store.commit(create()).await.unwrap();
    assert!(matches!(store.commit(Transaction::new(now())).await, Err(CommitError::Empty)));
}

async fn a_transaction_is_whole_or_not_at_all(objects: Arc<dyn ObjectStore>) {
    let (world, store) = World::birth(objects).await;
    let before = store.head();
    let refused = put("x", b"1")
        .put(key("y"), value(b"1"))
        .audit(value(b"no"))
        .require(key("z"), Version::new(1));
    assert!(matches!(store.commit(refused).await, Err(CommitError::Conflict { .. })));
    assert_eq!((store.head(), store.audited()), (before, 0));
    assert_eq!(text(&store, "x"), None);
    drop(store);
    assert_eq!(text(&world.open().await.unwrap(), "y"), None);
}

async fn audit_records_come_back_in_order(objects: Arc<dyn ObjectStore>) {
    let (world, store) = World::birth(objects).await;
    for i in 1..=5_u8 {
        let audited = store.append_audit(now(), value(&[i])).await.unwrap();
        assert_eq!(audited.sequence, u64::from(i));
        store.commit(put("between", &[i])).await.unwrap();
    }
    store.commit(put("a", b"1").audit(value(&[6])).audit(value(&[7]))).await.unwrap();
    let numbers = async |store: &Store, from, limit| {
        let records = store.audit(from, limit).await.unwrap();
        assert!(
            records
                .iter()
                .all(|record| u64::from(record.record.expose_secret()[0]) == record.sequence)
        );
        assert!(records.iter().all(|record| record.at == now()));
        records.iter().map(|record| record.sequence).collect::<Vec<_>>()
    };
    let again = world.open().await.unwrap();
    for store in [&store, &again] {
        assert_eq!(store.audited(), 7);
        assert_eq!(numbers(store, 0, 99).await, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(store, 4, 2).await, [4, 5]);
        assert_eq!(numbers(store, 7, 2).await, [7]);
        assert_eq!(numbers(store, 8, 2).await, [0; 0]);
    }
}

async fn several_servers_share_one_log(objects: Arc<dyn ObjectStore>) {
    let (world, store) = World::birth(objects).await;
    store.commit(put("count", b"0")).await.unwrap();
    let servers = [store, world.open().await.unwrap(), world.open().await.unwrap()];
    let rounds = 5;
    futures::future::join_all(servers.iter().map(|server| async move {
        for _ in 0..rounds {
            add_one(server).await;
        }
    }))
    .await;
    // Who wrote at one server reads it at another.
    let written = servers[0].commit(put("count", b"15")).await.unwrap();
    for server in &servers[1..] {
        assert!(server.at_least(written.head.n).await.unwrap().n >= written.head.n);
        assert_eq!(server.entry(&key("count")).unwrap().version, written.version);
    }
    let mut heads = Vec::new();
    for server in &servers {
        server.refresh().await.unwrap();
        assert_eq!(text(server, "count").unwrap(), (servers.len() * rounds).to_string());
        heads.push(server.head());
    }
    assert!(heads.iter().all(|head| *head == heads[0]));
}

/// Read, then write if nobody wrote in between, again until it works.
async fn add_one(server: &Store) {
    loop {
        let entry = server.entry(&key("count")).unwrap();
        let count: u64 = std::str::from_utf8(entry.value.expose_secret()).unwrap().parse().unwrap();
        let next = (count + 1).to_string();
        match server
            .commit(put("count", next.as_bytes()).require(key("count"), entry.version))
            .await
        {
            Ok(_) => return,
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

async fn many_writers_share_commits(objects: Arc<dyn ObjectStore>) {
    let (world, store) = World::birth(objects).await;
    let before = store.head().n;
    let writers = (0..64).map(|i| {
        let store = store.clone();
        async move { store.commit(put(&format!("writer/{i:02}"), b"1")).await.unwrap() }
    });
    let committed = futures::future::join_all(writers).await;
    let versions: std::collections::BTreeSet<_> = committed.iter().map(|one| one.version).collect();
    assert_eq!(versions.len(), 64, "each transaction has a version of its own");
    assert!(store.head().n - before < 64, "{} commits", store.head().n - before);
    assert_eq!(world.open().await.unwrap().range("writer/", None, 100).entries.len(), 64);
}

async fn snapshots_stand_still(objects: Arc<dyn ObjectStore>) {
    let (_, store) = World::birth(objects).await;
    store.commit(put("a", b"1").put(key("b"), value(b"1"))).await.unwrap();
    let snapshot = store.snapshot();
    store.commit(put("a", b"2").delete(key("b")).put(key("c"), value(b"2"))).await.unwrap();
    let seen = |page: store::Page| {
        page.entries.into_iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(snapshot.entry(&key("a")).unwrap().value.expose_secret(), b"1");
    assert_eq!(seen(snapshot.range("", None, 9)), ["a", "b", "born"]);
    assert_eq!(seen(store.range("", None, 9)), ["a", "born", "c"]);
    assert!(snapshot.head().n < store.head().n);
}

async fn large_values_survive(objects: Arc<dyn ObjectStore>) {
    let (world, store) = World::birth(objects).await;
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
    store.commit(put("large", &bytes)).await.unwrap();
    assert!(Value::copied(&[bytes.as_slice(), b"x"].concat()).is_err());
    let too_much =
        (0..5).fold(Transaction::new(now()), |all, i| all.put(key(&i.to_string()), value(&bytes)));
    assert!(matches!(store.commit(too_much).await, Err(CommitError::TooLarge { .. })));
    drop(store);
    assert_eq!(
        world.open().await.unwrap().entry(&key("large")).unwrap().value.expose_secret(),
        bytes
    );
}
