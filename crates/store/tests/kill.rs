//! A process that writes to a directory is killed at random moments: nothing acknowledged is lost, and nothing half-written is visible.
//!
//! The child is this test binary again, with a folder in its environment. `VOUCHSAFE_EXHAUSTIVE=1` kills ten thousand times.

// `cfg(test)` says to the lints that helpers are tests too.
#[cfg(test)]
#[path = "conformance/mod.rs"]
#[expect(dead_code, reason = "the suite itself runs elsewhere")]
mod conformance;

#[cfg(test)]
mod kill {
    use std::{
        io::{BufRead, BufReader, Write},
        path::{Path, PathBuf},
        process::{Command, Stdio},
        sync::Arc,
        time::Duration,
    };

    use async_trait::async_trait;
    use aws_lc_rs::rand::SystemRandom;
    use store::{
        AnchorStore, AnchorStoreError, Demand, Retention, RootKey, SealedAnchor, Settings, Share,
        Store, Transaction,
    };

    use crate::conformance::{key, newborn, now, settings, value};

    /// An anchor in a file, replaced as a whole.
    struct FileAnchor(PathBuf);

    #[async_trait]
    impl AnchorStore for FileAnchor {
        async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
            let text = std::fs::read_to_string(&self.0).ok();
            Ok(text.map(|text| text.parse()).transpose()?)
        }

        async fn write(&self, anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
            let draft = self.0.with_extension("new");
            std::fs::write(&draft, anchor.to_string()).unwrap();
            std::fs::rename(draft, &self.0).unwrap();
            Ok(())
        }
    }

    async fn open(folder: &Path) -> Store {
        let root = RootKey::combine(&[
            Share::parse(&std::fs::read(folder.join("share")).unwrap()).unwrap()
        ])
        .unwrap();
        let objects = store::directory(&folder.join("objects")).unwrap();
        let id = std::fs::read_to_string(folder.join("identity")).unwrap().parse().unwrap();
        let anchors = FileAnchor(folder.join("anchor"));
        let place: (&dyn AnchorStore, Demand) = (&anchors, Demand::Anchored);
        Store::open(&objects, &root, &id, place, &settings()).await.unwrap()
    }

    async fn birth(folder: &Path) {
        let rng = SystemRandom::new();
        let root = RootKey::generate(&rng).unwrap();
        let share = root.split(1, 1, &rng).unwrap().remove(0);
        std::fs::write(folder.join("share"), share.expose_secret()).unwrap();
        let newborn = newborn();
        let id = newborn.identity.public().id();
        std::fs::write(folder.join("identity"), id.to_string()).unwrap();
        let objects = store::directory(&folder.join("objects")).unwrap();
        let first = Transaction::new(now());
        let settings = Settings::new(Arc::new(SystemRandom::new()));
        let store = Store::create(&objects, &root, newborn, first, &settings).await.unwrap();
        store.raise_anchor(&FileAnchor(folder.join("anchor"))).await.unwrap();
    }

    fn last(store: &Store) -> u32 {
        store
            .entry(&key("last"))
            .map_or(0, |entry| u32::from_be_bytes(entry.value.expose_secret().try_into().unwrap()))
    }

    /// The child: writes and says so, until it is killed.
    #[test]
    fn child() {
        let Some(folder) = std::env::var_os("VOUCHSAFE_KILL_CHILD") else { return };
        let folder = PathBuf::from(folder);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(&folder).await;
            let anchors = FileAnchor(folder.join("anchor"));
            let mut out = std::io::stdout();
            for i in last(&store) + 1.. {
                let bytes = i.to_be_bytes();
                let both = Transaction::new(now())
                    .put(key("last"), value(&bytes))
                    .put(key(&format!("left/{:02}", i % 50)), value(&bytes))
                    .put(key(&format!("right/{:02}", i % 50)), value(&bytes))
                    .audit(value(&bytes));
                store.commit(both).await.unwrap();
                out.write_all(format!("\nacked {i}\n").as_bytes()).unwrap();
                out.flush().unwrap();
                match i % 16 {
                    3 => drop(store.rotate().await.unwrap()),
                    7 => drop(store.save().await.unwrap()),
                    11 => drop(store.raise_anchor(&anchors).await.unwrap()),
                    // Without two snapshots there is nothing to drop yet.
                    15 => drop(store.compact(Retention { commits: 20 }, &anchors).await),
                    _ => {}
                }
            }
        });
    }

    #[test]
    fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
        let exhaustive = std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some();
        let kills = if exhaustive { 10_000 } else { 12 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut folder = tempfile::tempdir().unwrap();
        runtime.block_on(birth(folder.path()));
        let mut acknowledged = 0;
        let mut seed: u64 = 7;
        for round in 0..kills {
            if round % 100 == 99 {
                folder = tempfile::tempdir().unwrap();
                runtime.block_on(birth(folder.path()));
                acknowledged = 0;
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (lines, pause) = (seed >> 60, Duration::from_micros((seed >> 40) % 3000));
            acknowledged = acknowledged.max(killed(folder.path(), lines, pause));
            runtime.block_on(async {
                let store = open(folder.path()).await;
                let last = last(&store);
                assert!(last >= acknowledged, "{last} is there, {acknowledged} was acknowledged");
                assert!(last <= acknowledged + 1, "one was under way");
                assert_eq!(store.audited(), u64::from(last));
                for i in last.saturating_sub(49).max(1)..=last {
                    for side in ["left", "right"] {
                        let name = key(&format!("{side}/{:02}", i % 50));
                        let entry = store.entry(&name).unwrap();
                        assert_eq!(entry.value.expose_secret(), i.to_be_bytes(), "{side} {i}");
                    }
                }
                acknowledged = last;
            });
        }
        assert!(acknowledged > 0);
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
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: String| line.strip_prefix("acked ").map(|n| n.parse::<u32>().unwrap());
        let mut last = 0;
        let mut seen = 0;
        while seen < lines {
            let line = said.next().expect("the child ended by itself").unwrap();
            if let Some(n) = number(line) {
                (last, seen) = (n, seen + 1);
            }
        }
        std::thread::sleep(pause);
        child.kill().unwrap();
        // What it still said before it died counts.
        last = said.map_while(Result::ok).filter_map(number).last().unwrap_or(last);
        child.wait().unwrap();
        last
    }
}
