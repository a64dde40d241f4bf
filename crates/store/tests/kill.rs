//! A process that writes to a directory is killed at random moments: nothing acknowledged is lost, and nothing half-written is visible.
//!
//! The child is this test binary again, with a folder in its environment. `VOUCHSAFE_EXHAUSTIVE=1` kills ten thousand times.

// `cfg(test)` says to the lints that helpers are tests too.
#[cfg(test)]
#[path = "conformance/mod.rs"]
#[expect(dead_code, reason = "the suite itself runs elsewhere")]
mod conformance;
#[cfg(test)]
#[path = "process/mod.rs"]
mod process;

#[cfg(test)]
mod kill {
    #![expect(clippy::print_stderr, reason = "a long test says how far it is")]

    use std::{
        io::{BufRead, BufReader},
        path::{Path, PathBuf},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use crate::process;

    /// The child: writes and says so, until it is killed.
    #[test]
    fn child() {
        let Some(folder) = std::env::var_os("VOUCHSAFE_KILL_CHILD") else { return };
        let folder = PathBuf::from(folder);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = process::open(&folder).await.unwrap();
            process::write(&folder, &store, u32::MAX).await;
        });
    }

    #[test]
    fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
        let exhaustive = std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some();
        let kills = if exhaustive { 10_000 } else { 12 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (start, mut folder) = (Instant::now(), born(&runtime));
        let (mut acknowledged, mut total, mut under_way) = (0, 0, 0);
        let (mut seed, mut compacted) = (7_u64, false);
        for round in 0..kills {
            if round % 100 == 99 {
                compacted |= process::is_compacted(folder.path());
                folder = born(&runtime);
                acknowledged = 0;
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (lines, pause) = (seed >> 60, Duration::from_micros((seed >> 40) % 3000));
            let before = acknowledged;
            acknowledged = acknowledged.max(killed(folder.path(), lines, pause));
            let store = runtime.block_on(process::open(folder.path())).unwrap();
            let last = process::check(&store, acknowledged)
                .unwrap_or_else(|fault| panic!("kill {round}: {fault}"));
            total += last - before;
            under_way += last - acknowledged;
            acknowledged = last;
            if round % 1000 == 999 {
                eprintln!("{} kills in {:?}", round + 1, start.elapsed());
            }
        }
        let took = start.elapsed();
        eprintln!(
            "{kills} kills in {took:?}: {total} transactions, {under_way} kept that nobody was told of"
        );
        assert!(total > 0);
        compacted |= process::is_compacted(folder.path());
        assert!(compacted, "compaction has to be among what is killed");
    }

    fn born(runtime: &tokio::runtime::Runtime) -> tempfile::TempDir {
        // What a process has written outlives it, synchronised or not; `power` is about disks.
        let folder = process::memory();
        let objects = store::directory(&process::objects(folder.path())).unwrap();
        runtime.block_on(process::birth(folder.path(), &objects));
        folder
    }

    /// Runs a child until it has said so many lines and some time more, and kills it; the last number that it acknowledged.
    fn killed(folder: &Path, lines: u64, pause: Duration) -> u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture"])
            .env("VOUCHSAFE_KILL_CHILD", folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        let mut seen = 0;
        while seen < lines {
            let line = output.next().expect("the child ended by itself").unwrap();
            if let Some(n) = process::said(&line) {
                (last, seen) = (n, seen + 1);
            }
        }
        std::thread::sleep(pause);
        child.kill().unwrap();
        // What it still said before it died counts.
        let rest = output.map_while(Result::ok).filter_map(|line| process::said(&line));
        last = rest.last().unwrap_or(last);
        child.wait().unwrap();
        last
    }
}
