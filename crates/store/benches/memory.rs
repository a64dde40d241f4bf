//! How much memory a million secrets of 200 bytes take, in a process of its own that only opened the store from its snapshot.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use store::{
    AnchorStore, AnchorStoreError, Demand, Hash, IdentityKey, Key, Newborn, RecoverySet, RootKey,
    SealedAnchor, Settings, Share, ShareRef, ShareSet, Store, Transaction, Uncovered, Value,
};

struct NoAnchor;

#[async_trait]
impl AnchorStore for NoAnchor {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        Ok(None)
    }

    async fn write(&self, _anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        Ok(())
    }
}

fn settings() -> Settings {
    let uncovered = Uncovered { commits: u64::MAX, age: Duration::MAX };
    Settings { uncovered, ..Settings::new(Arc::new(SystemRandom::new())) }
}

fn name(i: u64) -> String {
    format!("kv/team/{i:08}")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(folder) = std::env::var_os("VOUCHSAFE_MEMORY_OF") {
        runtime.block_on(measure(Path::new(&folder)));
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    runtime.block_on(fill(folder.path()));
    let mut child = Command::new(std::env::current_exe().unwrap());
    assert!(child.env("VOUCHSAFE_MEMORY_OF", folder.path()).status().unwrap().success());
}

async fn fill(folder: &Path) {
    let rng = SystemRandom::new();
    let root = RootKey::generate(&rng).unwrap();
    let share = root.split(1, 1, &rng).unwrap().remove(0);
    std::fs::write(folder.join("share"), share.expose_secret()).unwrap();
    let share = ShareRef { name: "unseal".into(), version: "1".into(), sha256: Hash::of(b"") };
    let newborn = Newborn {
        identity: IdentityKey::generate().unwrap(),
        shares: ShareSet { threshold: 1, shares: vec![share] },
        recovery: RecoverySet { threshold: 0, shares: Vec::new() },
    };
    let id = newborn.identity.public().id();
    std::fs::write(folder.join("identity"), id.to_string()).unwrap();
    let objects = store::directory(&folder.join("objects")).unwrap();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let first = Transaction::new(now);
    let store = Store::create(&objects, &root, newborn, first, &settings()).await.unwrap();
    for thousand in 0..COUNT / 10_000 {
        let all = (0..10_000).fold(Transaction::new(now), |all, i| {
            let key = Key::parse(&name(thousand * 10_000 + i)).unwrap();
            all.put(key, Value::new(vec![7; SIZE]).unwrap())
        });
        store.commit(all).await.unwrap();
    }
    store.save().await.unwrap();
}

async fn measure(folder: &Path) {
    let before = resident();
    let share = Share::parse(&std::fs::read(folder.join("share")).unwrap()).unwrap();
    let root = RootKey::combine(&[share]).unwrap();
    let id = std::fs::read_to_string(folder.join("identity")).unwrap().parse().unwrap();
    let objects = store::directory(&folder.join("objects")).unwrap();
    let anchors: (&dyn AnchorStore, _) = (&NoAnchor, Demand::MayBeAbsent);
    let settings = settings();
    let start = std::time::Instant::now();
    let store = Store::open(&objects, &root, &id, anchors, &settings).await.unwrap();
    let took = start.elapsed();
    assert!(store.origin().snapshot.is_some());
    let used = resident().saturating_sub(before);
    let data = COUNT / 1024 * u64::try_from(SIZE + name(0).len()).unwrap();
    println!("opened in {took:?}; {used} KiB for {data} KiB of names and values");
}

/// `VmRSS` in KiB (proc_pid_status(5)).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const COUNT: u64 = 1_000_000;
const SIZE: usize = 200;
