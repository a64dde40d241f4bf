//! A process that writes to a directory and says what was acknowledged, and what has to be there when it has died.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use object_store::ObjectStore;
use store::{
    AnchorStore, AnchorStoreError, CompactError, Demand, OpenError, Retention, RootKey,
    SealedAnchor, Share, Store, Transaction,
};

use crate::conformance::{key, newborn, now, settings, value};

/// An anchor in a file, replaced as a whole. Its storage is not the one that is tried, so nothing of it is ever lost.
pub(crate) struct FileAnchor(pub(crate) PathBuf);

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

/// A folder in memory, if the machine has such a place, for what does not ask for a disk.
pub(crate) fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What lies in the folder of a process: the objects, and beside them what a server keeps elsewhere.
pub(crate) fn anchor(folder: &Path) -> FileAnchor {
    FileAnchor(folder.join("anchor"))
}

pub(crate) fn objects(folder: &Path) -> PathBuf {
    folder.join("objects")
}

pub(crate) async fn open(folder: &Path) -> Result<Store, OpenError> {
    let objects = store::directory(&objects(folder)).unwrap();
    open_on(folder, &objects).await
}

pub(crate) async fn open_on(
    folder: &Path,
    objects: &Arc<dyn ObjectStore>,
) -> Result<Store, OpenError> {
    let root =
        RootKey::combine(&[Share::parse(&std::fs::read(folder.join("share")).unwrap()).unwrap()])
            .unwrap();
    let id = std::fs::read_to_string(folder.join("identity")).unwrap().parse().unwrap();
    let anchors = anchor(folder);
    let place: (&dyn AnchorStore, Demand) = (&anchors, Demand::Anchored);
    Store::open(objects, &root, &id, place, &settings()).await
}

pub(crate) async fn birth(folder: &Path, objects: &Arc<dyn ObjectStore>) -> Store {
    let rng = SystemRandom::new();
    let root = RootKey::generate(&rng).unwrap();
    let share = root.split(1, 1, &rng).unwrap().remove(0);
    std::fs::write(folder.join("share"), share.expose_secret()).unwrap();
    let newborn = newborn();
    let id = newborn.identity.public().id();
    std::fs::write(folder.join("identity"), id.to_string()).unwrap();
    let first = Transaction::new(now());
    let store = Store::create(objects, &root, newborn, first, &settings()).await.unwrap();
    store.raise_anchor(&anchor(folder)).await.unwrap();
    store
}

/// The number of the last transaction.
pub(crate) fn last(store: &Store) -> u32 {
    store
        .entry(&key("last"))
        .map_or(0, |entry| u32::from_be_bytes(entry.value.expose_secret().try_into().unwrap()))
}

/// Writes up to transaction `most` and says each that is acknowledged; in between it rotates, saves, anchors and compacts.
pub(crate) async fn write(folder: &Path, store: &Store, most: u32) {
    let anchors = anchor(folder);
    for i in last(store) + 1..=most {
        let bytes = i.to_be_bytes();
        let both = Transaction::new(now())
            .put(key("last"), value(&bytes))
            .put(key(&format!("left/{:02}", i % 50)), value(&bytes))
            .put(key(&format!("right/{:02}", i % 50)), value(&bytes))
            .audit(value(&bytes));
        store.commit(both).await.unwrap();
        say(i);
        match i % 32 {
            3 => drop(store.rotate().await.unwrap()),
            // Compaction wants two under the key in force.
            7 | 13 | 23 | 29 => drop(store.save().await.unwrap()),
            11 | 27 => drop(store.raise_anchor(&anchors).await.unwrap()),
            15 | 31 => match store.compact(Retention { commits: 10 }, &anchors).await {
                // It may have died instead of saving.
                Ok(_) | Err(CompactError::TooFewSnapshots { .. }) => {}
                Err(fault) => panic!("{fault}"),
            },
            _ => {}
        }
    }
}

/// Whether the log was ever compacted: a commit that is kept no longer has a mark in its place.
pub(crate) fn is_compacted(folder: &Path) -> bool {
    let places = std::fs::read_dir(objects(folder).join("log")).unwrap();
    places.into_iter().any(|place| place.unwrap().metadata().unwrap().len() == 8)
}

/// In one write, so that nobody sees half a line.
pub(crate) fn say(acknowledged: u32) {
    let mut out = std::io::stdout();
    out.write_all(format!("\nacked {acknowledged}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

pub(crate) fn said(line: &str) -> Option<u32> {
    line.strip_prefix("acked ").map(|n| n.parse().unwrap())
}

/// Is everything there that was acknowledged, at most the one transaction more that was under way, and nothing of it by halves?
pub(crate) fn check(store: &Store, acknowledged: u32) -> Result<u32, String> {
    let last = last(store);
    if last < acknowledged {
        return Err(format!("{acknowledged} was acknowledged, {last} is there"));
    }
    if last > acknowledged + 1 {
        return Err(format!("{last} is there, and only {} was ever sent", acknowledged + 1));
    }
    if store.audited() != u64::from(last) {
        return Err(format!("{} audit records of {last}", store.audited()));
    }
    for i in last.saturating_sub(49).max(1)..=last {
        for side in ["left", "right"] {
            let entry = store.entry(&key(&format!("{side}/{:02}", i % 50)));
            if entry.is_none_or(|entry| entry.value.expose_secret() != i.to_be_bytes()) {
                return Err(format!("{side} of {i} is not there"));
            }
        }
    }
    Ok(last)
}
