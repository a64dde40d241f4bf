//! What a store of a thousand to a million secrets of 200 bytes costs, on a directory: writing them, saving a snapshot, and, in a process of its own that only opened the store
//! from that snapshot, opening, memory, listing and point reads. Then what a durable write costs.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    hint::black_box,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use futures::future::join_all;
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
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(folder) = std::env::var_os("VOUCHSAFE_CURVE_OF") {
        let count = std::env::var("VOUCHSAFE_CURVE_COUNT").unwrap().parse().unwrap();
        runtime.block_on(measure(Path::new(&folder), count));
        return;
    }
    println!("| secrets | write | save | open | memory | of data | list all | point reads |");
    println!("|---|---|---|---|---|---|---|---|");
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        runtime.block_on(fill(folder.path(), count));
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.env("VOUCHSAFE_CURVE_OF", folder.path());
        child.env("VOUCHSAFE_CURVE_COUNT", count.to_string());
        assert!(child.status().unwrap().success());
    }
    runtime.block_on(durable());
}

/// Durable writes beside the file system's own calls for one, turn by turn: a disk that others use too is not the same from one second to the next.
async fn durable() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = birth(folder.path()).await;
    let put = |i: u64| {
        let value = Value::new(vec![7; SIZE]).unwrap();
        store.commit(Transaction::new(now()).put(Key::parse(&name(i)).unwrap(), value))
    };
    let (mut bare_calls, mut one_writer, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..ROUNDS {
        // Each comes after each other as often.
        for turn in if i % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] } {
            let start = Instant::now();
            match turn {
                0 => {
                    bare(folder.path(), i);
                    bare_calls.push(start.elapsed());
                }
                1 => {
                    put(i).await.unwrap();
                    one_writer.push(start.elapsed());
                }
                _ => {
                    join_all((0..WRITERS).map(|writer| put(writer * ROUNDS + i))).await;
                    many.push(start.elapsed());
                }
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times.get(times.len() / 2).unwrap().as_secs_f64()
    };
    let (bare, one, many) = (median(bare_calls), median(one_writer), median(many));
    note("durable write/the bare calls", bare);
    note("durable write/one writer", one);
    note("durable write/64 writers", many);
    let (rate, writers) = (1.0 / one, f64::from(u32::try_from(WRITERS).unwrap()));
    println!(
        "\nthe bare calls {:.2} ms, one writer {:.2} ms: {:.2} ×",
        bare * 1e3,
        one * 1e3,
        one / bare
    );
    println!(
        "one writer {rate:.0}/s, {WRITERS} writers {:.0}/s: {:.0} ×",
        writers / many,
        writers * one / many
    );
}

/// Notes a time where criterion does, for `cargo xtask bench`.
fn note(id: &str, seconds: f64) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    );
    let folder = target.join("criterion").join(id).join("new");
    std::fs::create_dir_all(&folder).unwrap();
    let estimates = serde_json::json!({ "median": { "point_estimate": seconds * 1e9 } });
    std::fs::write(folder.join("estimates.json"), estimates.to_string()).unwrap();
}

/// What one durable creation costs without us: create, write, fsync, link, fsync of the folder.
fn bare(folder: &Path, i: u64) {
    let draft = folder.join(format!("{i}#1"));
    let mut file = std::fs::File::create_new(&draft).unwrap();
    file.write_all(&[7; 640]).unwrap();
    file.sync_all().unwrap();
    std::fs::hard_link(&draft, folder.join(format!("{i}"))).unwrap();
    std::fs::File::open(folder).unwrap().sync_all().unwrap();
    std::fs::remove_file(&draft).unwrap();
}

fn now() -> jiff::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

async fn birth(folder: &Path) -> Store {
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
    let first = Transaction::new(now());
    Store::create(&objects, &root, newborn, first, &settings()).await.unwrap()
}

async fn fill(folder: &Path, count: u64) {
    let store = birth(folder).await;
    let start = Instant::now();
    let mut written = 0;
    while written < count {
        let until = (written + 10_000).min(count);
        let all = (written..until).fold(Transaction::new(now()), |all, i| {
            all.put(Key::parse(&name(i)).unwrap(), Value::new(vec![7; SIZE]).unwrap())
        });
        store.commit(all).await.unwrap();
        written = until;
    }
    let wrote = start.elapsed();
    let start = Instant::now();
    store.save().await.unwrap();
    print!("| {count} | {wrote:.1?} | {:.1?} ", start.elapsed());
    std::io::stdout().flush().unwrap();
}

async fn measure(folder: &Path, count: u64) {
    let before = resident();
    let share = Share::parse(&std::fs::read(folder.join("share")).unwrap()).unwrap();
    let root = RootKey::combine(&[share]).unwrap();
    let id = std::fs::read_to_string(folder.join("identity")).unwrap().parse().unwrap();
    let objects = store::directory(&folder.join("objects")).unwrap();
    let anchors: (&dyn AnchorStore, _) = (&NoAnchor, Demand::MayBeAbsent);
    let settings = settings();
    let start = Instant::now();
    let store = Store::open(&objects, &root, &id, anchors, &settings).await.unwrap();
    let took = start.elapsed();
    note(&format!("open from a snapshot/keys/{count}"), took.as_secs_f64());
    assert!(store.origin().snapshot.is_some());
    let used = resident().saturating_sub(before);
    let data = count * u64::try_from(SIZE + name(0).len()).unwrap() / 1024;
    let times = f64::from(u32::try_from(used).unwrap()) / f64::from(u32::try_from(data).unwrap());

    let start = Instant::now();
    let (mut listed, mut after) = (0, None);
    loop {
        let page = store.range("kv/", after.as_ref(), 1000);
        listed += page.entries.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let list = start.elapsed();
    assert_eq!(u64::try_from(listed).unwrap(), count);

    // Each key is read once in a row, and no two neighbours after each other.
    let names: Vec<Key> =
        (0..count).map(|i| Key::parse(&name(i * 7_919 % count)).unwrap()).collect();
    let rounds = 1_000_000 / count;
    let start = Instant::now();
    for _ in 0..rounds {
        names.iter().for_each(|name| drop(black_box(store.entry(name).unwrap())));
    }
    let reads = f64::from(u32::try_from(rounds * count).unwrap()) / start.elapsed().as_secs_f64();
    println!("| {took:.1?} | {used} KiB | {times:.2} × | {list:.1?} | {reads:.0}/s |");
}

/// `VmRSS` in KiB (proc_pid_status(5)).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const SIZE: usize = 200;
const ROUNDS: u64 = 200;
const WRITERS: u64 = 64;
