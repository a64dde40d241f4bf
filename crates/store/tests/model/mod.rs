#![expect(clippy::print_stderr, reason = "a test says which seed it was, and what it saw")]

mod hostile;
mod register;
mod run;

use std::{
    io::Write,
    panic::AssertUnwindSafe,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use run::Outcome;

/// Runs one seed; if it fails, saves it.
fn replay(seed: u64) -> Outcome {
    let once = std::panic::catch_unwind(AssertUnwindSafe(|| run::run(seed)));
    once.unwrap_or_else(|fault| {
        let mut file = std::fs::OpenOptions::new().append(true).open(SEEDS).unwrap();
        writeln!(file, "{seed}").unwrap();
        eprintln!("seed {seed} failed and is saved in {SEEDS}");
        std::panic::resume_unwind(fault)
    })
}

#[test]
fn every_history_is_linearizable_and_no_key_and_nonce_seal_two_texts() {
    if let Ok(seed) = std::env::var("VOUCHSAFE_SEED") {
        let outcome = run::run(seed.parse().unwrap());
        eprintln!("{outcome:?}");
        return;
    }
    let mut total = Outcome::default();
    let saved = std::fs::read_to_string(SEEDS).unwrap();
    for seed in saved.lines().filter(|line| !line.starts_with('#')) {
        total.add(replay(seed.parse().unwrap()));
    }
    let exhaustive = std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some();
    let most = if exhaustive { 1_000_000 } else { 3_000 };
    let (start, seeds, total) = (Instant::now(), AtomicU64::new(0), Mutex::new(total));
    let worker = || {
        while total.lock().unwrap().operations < most {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            let outcome = replay(seed);
            total.lock().unwrap().add(outcome);
            if seed % 1000 == 999 {
                eprintln!("{} seeds in {:?}", seed + 1, start.elapsed());
            }
        }
    };
    // Each seed has a scheduler and a thread of its own; none knows of the others.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    let (seeds, total) = (seeds.into_inner(), total.into_inner().unwrap());
    eprintln!("seeds 0 to {}, in {:?}: {total:?}", seeds - 1, start.elapsed());
    // The storage has to have been hostile, and the servers busy.
    assert!(total.in_doubt > 0 && total.conflicts > 0 && total.reopened > 0, "{total:?}");
    assert!(total.rotated > 0 && total.saved > 0 && total.compacted > 0, "{total:?}");
    assert!(total.acknowledged * 4 > total.operations, "{total:?}");
}

#[test]
fn the_checker_notices_a_lost_write_and_a_stale_read() {
    use register::{Operation, linearizable};
    let write = |value| Operation::Write { keys: vec![0], value };
    let read = |value| Operation::Read { seen: [value, 0, 0] };
    let sequence = |all: &[Operation]| {
        let events = all.iter().enumerate().flat_map(|(i, one)| {
            [(i, register::Event::Call(one.clone())), (i, register::Event::Return(one.clone()))]
        });
        events.collect::<Vec<_>>()
    };
    assert!(linearizable(sequence(&[write(1), read(1), write(2), read(2)])));
    assert!(!linearizable(sequence(&[write(1), write(2), read(1)])));
    assert!(!linearizable(sequence(&[write(1), read(0)])));
    assert!(!linearizable(sequence(&[read(7)])), "nobody wrote it");
}

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model/seeds");
