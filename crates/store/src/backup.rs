//! Backup and restore: copies of a store's objects. No key is needed and none is seen.
//!
//! The objects may be in use meanwhile: what they hold never changes once it is there, apart from being dropped by compaction, and a copy that such a change tore is
//! noticed and made again.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};

use crate::{
    StorageError, commit,
    log::{self, FORGOTTEN},
    saved,
};

/// A finished copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last commit that is in it.
    pub last: u64,
    /// How many objects were copied now; those that were there already are not counted.
    pub objects: usize,
}

/// Copies a store, also one in use, into a place of its own. A copy that is there already is brought up to date.
pub async fn backup(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
) -> Result<Copied, BackupError> {
    let mut torn = BackupError::Torn { n: 0 };
    for _ in 0..TRIES {
        match copy(from, to, u64::MAX).await {
            Err(fault @ BackupError::Torn { .. }) => torn = fault,
            other => return other,
        }
    }
    Err(torn)
}

/// Copies a store as it was at commit `until` into an empty place, or goes on with a restore of the same store that was stopped. The first commit is
/// copied last, so a restore that was stopped is no store.
///
/// The result is older than its anchor: it opens with [`crate::Demand::DangerAnyHistory`], which is for a quorum to decide.
pub async fn restore(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    until: u64,
) -> Result<Copied, BackupError> {
    let existing = list(to, log::FOLDER).await?;
    if existing.keys().filter_map(log::number).any(|n| n == 1 || n > until) {
        return Err(BackupError::NotEmpty);
    }
    copy(from, to, until).await
}

/// A copy goes on only with the store that it was begun with: commit 1 is the same, or is not there yet.
async fn same_store(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
) -> Result<(), BackupError> {
    let first = log::path(1);
    let unavailable = |source| {
        let doing = format!("reading {first}");
        BackupError::Unavailable(StorageError::Refused { doing, source })
    };
    let there = match log::read(&**to, &first).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        read => read.map_err(unavailable)?,
    };
    match log::read(&**from, &first).await {
        Err(object_store::Error::NotFound { .. }) => Err(BackupError::NoStore),
        Ok(here) if here == there => Ok(()),
        Ok(_) => Err(BackupError::OtherStore),
        Err(source) => Err(unavailable(source)),
    }
}

/// Snapshots before the log, whose later commits go on where they end; headers after the log, whose commits name them; commit 1 last.
async fn copy(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    until: u64,
) -> Result<Copied, BackupError> {
    same_store(from, to).await?;
    let mut objects = 0;
    let mut indices = Vec::new();
    let listed = list(from, saved::FOLDER).await?;
    let there = list(to, saved::FOLDER).await?;
    for path in listed.keys() {
        let Some((name, is_index)) = saved::Name::of(path).filter(|(name, _)| name.n <= until)
        else {
            continue;
        };
        if is_index {
            indices.push(name);
        }
        objects += one(from, to, path, &there).await?;
    }
    let listed = list(from, log::FOLDER).await?;
    let there = list(to, log::FOLDER).await?;
    let commits: BTreeMap<u64, &Path> = listed
        .keys()
        .filter_map(|path| Some((log::number(path)?, path)))
        .filter(|(n, _)| *n <= until)
        .collect();
    let last = commits.last_key_value().map_or(0, |(n, _)| *n);
    for (n, path) in &commits {
        if *n > 1 {
            objects += one(from, to, path, &there).await?;
        }
    }
    for folder in FOLDERS {
        let (listed, there) = (list(from, folder).await?, list(to, folder).await?);
        for path in listed.keys() {
            objects += one(from, to, path, &there).await?;
        }
    }
    let first = commits.get(&1).ok_or(BackupError::NoStore)?;
    let forgotten = u64::try_from(FORGOTTEN.len()).unwrap_or(u64::MAX);
    let copied = list(to, log::FOLDER).await?;
    for n in begins_after(to, &indices, last).await?.max(2)..=last {
        if copied.get(&log::path(n)).is_none_or(|size| *size == forgotten) {
            return Err(BackupError::Torn { n });
        }
    }
    objects += one(from, to, first, &there).await?;
    Ok(Copied { last, objects })
}

/// The commit of the newest snapshot that counts as far as one can tell without keys, 1 if there is none: one under an older key than the last commit's counts no
/// longer.
async fn begins_after(
    to: &Arc<dyn ObjectStore>,
    indices: &[saved::Name],
    last: u64,
) -> Result<u64, BackupError> {
    let key = copied(to, &log::path(last)).await?.as_deref().and_then(commit::key_of);
    let mut newest = 1;
    for name in indices {
        let index = copied(to, &name.part(saved::INDEX)).await?;
        if index.as_deref().and_then(saved::key_of) >= key {
            newest = newest.max(name.n);
        }
    }
    Ok(newest)
}

async fn copied(to: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<Bytes>, BackupError> {
    match log::read(&**to, path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => {
            let doing = format!("reading the copy of {path}");
            Err(BackupError::Unavailable(StorageError::Refused { doing, source }))
        }
    }
}

/// Copies one object unless it is there. What an object holds never changes, apart from being dropped, so what was once copied is never written over:
/// whoever spoils the source does not spoil the copy.
async fn one(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    path: &Path,
    there: &BTreeMap<Path, u64>,
) -> Result<usize, BackupError> {
    let forgotten = u64::try_from(FORGOTTEN.len()).unwrap_or(u64::MAX);
    let known = there.get(path);
    if known.is_some_and(|size| *size != forgotten) {
        return Ok(0);
    }
    let refused = |doing: &str, source| {
        BackupError::Unavailable(StorageError::Refused { doing: format!("{doing} {path}"), source })
    };
    match log::read(&**from, path).await {
        // Dropped since it was listed; the check at the end tells whether it is needed.
        Err(object_store::Error::NotFound { .. }) => Ok(0),
        Err(source) => Err(refused("reading", source)),
        Ok(bytes) if known.is_some() && bytes == FORGOTTEN => Ok(0),
        Ok(bytes) => {
            let put = to.put(path, PutPayload::from_bytes(bytes)).await;
            put.map_err(|source| refused("writing", source))?;
            Ok(1)
        }
    }
}

async fn list(
    objects: &Arc<dyn ObjectStore>,
    folder: &str,
) -> Result<BTreeMap<Path, u64>, BackupError> {
    let listed = objects.list(Some(&Path::from(folder)));
    listed.map_ok(|meta| (meta.location, meta.size)).try_collect().await.map_err(|source| {
        BackupError::Unavailable(StorageError::Refused {
            doing: format!("listing {folder}"),
            source,
        })
    })
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no store here")]
    NoStore,
    /// The place of a restore is taken.
    #[error("there is a store already, or a later part of one")]
    NotEmpty,
    /// The copy is of another store, or the source is spoilt.
    #[error("the copy that is there is not of this store")]
    OtherStore,
    /// A commit is missing, or was dropped while the copy was made, or before the commit that was asked for.
    #[error("commit {n} is not there")]
    Torn {
        /// Its number.
        n: u64,
    },
    /// One of the two storages did not do as asked.
    #[error("copying the store")]
    Unavailable(#[source] StorageError),
}

const TRIES: usize = 3;
/// Beside log and snapshots.
const FOLDERS: [&str; 2] = [crate::first::FOLDER, "recovery"];
