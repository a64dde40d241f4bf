//! The log as objects: `log/<n>`, n in 20 digits so that a listing is in order.
//!
//! Writing is create-if-absent of bytes that never change between tries. An error or a silence of the storage says nothing about whether the
//! object now exists, so the same bytes are put again, and when the place is taken, whoever holds it is read and compared: the salt of an attempt is
//! unique, so equal bytes are this attempt.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{Damage, Hash, OpenError, StorageError};

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of its last commit.
    pub n: u64,
    /// The hash of its last commit.
    pub hash: Hash,
}

impl Head {
    /// Before commit 1.
    pub(crate) const START: Self = Self { n: 0, hash: Hash::NONE };
}

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// One request.
    pub(crate) request: Duration,
    /// All tries of one write.
    pub(crate) write: Duration,
}

/// The objects of one log.
pub(crate) struct Log {
    objects: Arc<dyn ObjectStore>,
    patience: Patience,
}

/// What became of an attempt.
pub(crate) enum Sent {
    /// It is the commit.
    Kept,
    /// Another one is.
    Lost(Bytes),
    /// Not known.
    InDoubt(StorageError),
}

impl Log {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, patience: PATIENCE }
    }

    pub(crate) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// All names in a folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Path>, StorageError> {
        let mut listing = self.objects.list(Some(&Path::from(folder)));
        let mut names = Vec::new();
        while let Some(meta) = self.listed(listing.try_next(), folder).await? {
            names.push(meta.location);
        }
        Ok(names)
    }

    async fn listed<T>(
        &self,
        next: impl Future<Output = Result<T, Error>>,
        folder: &str,
    ) -> Result<T, StorageError> {
        let doing = || format!("listing {folder}");
        match timeout(self.patience.request, next).await {
            Err(_) => Err(StorageError::Silent { doing: doing() }),
            Ok(next) => next.map_err(|source| StorageError::Refused { doing: doing(), source }),
        }
    }

    /// Reads one object beside the log; `None` if it is not there.
    pub(crate) async fn read_object(&self, path: &Path) -> Result<Option<Bytes>, StorageError> {
        let doing = || format!("reading {path}");
        match timeout(self.patience.request, read(&*self.objects, path)).await {
            Err(_) => Err(StorageError::Silent { doing: doing() }),
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            Ok(result) => {
                result.map(Some).map_err(|source| StorageError::Refused { doing: doing(), source })
            }
        }
    }

    /// Deletes objects; those that are gone already are no fault.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), StorageError> {
        let doing = || format!("deleting {path}");
        match timeout(self.patience.request, self.objects.delete(path)).await {
            Err(_) => Err(StorageError::Silent { doing: doing() }),
            Ok(Ok(()) | Err(Error::NotFound { .. })) => Ok(()),
            Ok(Err(source)) => Err(StorageError::Refused { doing: doing(), source }),
        }
    }

    /// Reads commit `n`; `None` if there is none.
    pub(crate) async fn read(&self, n: u64) -> Result<Option<Bytes>, StorageError> {
        self.read_object(&path(n)).await
    }

    /// Reads commit 1; `None` if there is no log. A log without its beginning is no empty place: somebody removed the beginning. The listing comes
    /// first, so that a birth in between is not taken for that.
    pub(crate) async fn first(&self) -> Result<Option<Bytes>, OpenError> {
        let last = self.last().await?;
        match self.read(1).await.map_err(OpenError::Unavailable)? {
            None if last > 0 => Err(Damage::Missing { n: 1 }.into()),
            first => Ok(first),
        }
    }

    /// The highest number for which the listing has an object. Every object in the folder has to be a commit.
    pub(crate) async fn last(&self) -> Result<u64, OpenError> {
        self.last_after(0).await
    }

    /// The highest number beyond `after` for which the listing has an object; `after` if it has none.
    pub(crate) async fn last_after(&self, after: u64) -> Result<u64, OpenError> {
        let mut listing = self.objects.list_with_offset(Some(&Path::from(FOLDER)), &path(after));
        let mut last = after;
        loop {
            let next = self.listed(listing.try_next(), "the log").await;
            let Some(meta) = next.map_err(OpenError::Unavailable)? else { return Ok(last) };
            let n = number(&meta.location)
                .ok_or_else(|| Damage::UnexpectedObject { path: meta.location.to_string() })?;
            last = last.max(n);
        }
    }

    /// Sends an attempt at commit `n` until its fate is known or patience ends.
    pub(crate) async fn send(&self, n: u64, attempt: &Bytes) -> Sent {
        self.create(&path(n), attempt).await
    }

    /// Creates an object that nobody else may have created, until its fate is known or patience ends.
    pub(crate) async fn create(&self, path: &Path, content: &Bytes) -> Sent {
        let deadline = Instant::now() + self.patience.write;
        let mut pause = FIRST_PAUSE;
        loop {
            let fault = match self.try_once(path, content).await {
                Sent::InDoubt(fault) => fault,
                known @ (Sent::Kept | Sent::Lost(_)) => return known,
            };
            if hopeless(&fault) || Instant::now() + pause >= deadline {
                return Sent::InDoubt(fault);
            }
            tracing::debug!(%path, error = %fault, "putting the same object again");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The commits between 1 and `floor` that are not forgotten yet.
    pub(crate) async fn kept_before(&self, floor: u64) -> Result<Vec<u64>, StorageError> {
        let mut listing = self.objects.list_with_offset(Some(&Path::from(FOLDER)), &path(1));
        let mut kept = Vec::new();
        while let Some(meta) = self.listed(listing.try_next(), "the log").await? {
            let n = number(&meta.location).filter(|n| (2..floor).contains(n));
            if let Some(n) = n.filter(|_| meta.size != FORGOTTEN_LENGTH) {
                kept.push(n);
            }
        }
        Ok(kept)
    }

    /// Puts the mark of a commit that is no longer kept in the place of commit `n`. The place stays taken: a server that was stalled since before must not find it
    /// free.
    pub(crate) async fn forget(&self, n: u64) -> Result<(), StorageError> {
        let doing = || format!("forgetting commit {n}");
        let path = path(n);
        let put = self.objects.put(&path, PutPayload::from_static(FORGOTTEN));
        match timeout(self.patience.request, put).await {
            Err(_) => Err(StorageError::Silent { doing: doing() }),
            Ok(Err(source)) => Err(StorageError::Refused { doing: doing(), source }),
            Ok(Ok(_)) => Ok(()),
        }
    }

    async fn try_once(&self, path: &Path, content: &Bytes) -> Sent {
        let doing = || format!("writing {path}");
        let create = PutOptions::from(PutMode::Create);
        let put = self.objects.put_opts(path, PutPayload::from_bytes(content.clone()), create);
        match timeout(self.patience.request, put).await {
            Err(_) => Sent::InDoubt(StorageError::Silent { doing: doing() }),
            Ok(Ok(_)) => Sent::Kept,
            // Azure says 409 or, for the same condition, 412.
            Ok(Err(source @ (Error::AlreadyExists { .. } | Error::Precondition { .. }))) => {
                match self.read_object(path).await {
                    Ok(Some(winner)) if winner == *content => Sent::Kept,
                    Ok(Some(winner)) => Sent::Lost(winner),
                    // Taken and absent: somebody is deleting, or the storage lags. Ask again.
                    Ok(None) => Sent::InDoubt(StorageError::Refused { doing: doing(), source }),
                    Err(fault) => Sent::InDoubt(fault),
                }
            }
            Ok(Err(source)) => Sent::InDoubt(StorageError::Refused { doing: doing(), source }),
        }
    }
}

/// The whole of one object, unless it is larger than any of ours: whoever writes to the storage must not fill our memory.
pub(crate) async fn read(objects: &dyn ObjectStore, path: &Path) -> Result<Bytes, Error> {
    let found = objects.get(path).await?;
    if found.meta.size > LARGEST {
        let source = format!("{path} has {} bytes, at most {LARGEST} are read", found.meta.size);
        return Err(Error::Generic { store: "log", source: source.into() });
    }
    found.bytes().await
}

/// Would the same request get another answer soon? An attempt may still have been kept before its refusal, so it stays in doubt.
fn hopeless(fault: &StorageError) -> bool {
    matches!(
        fault,
        StorageError::Refused {
            source: Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::NotImplemented { .. },
            ..
        }
    )
}

pub(crate) fn path(n: u64) -> Path {
    Path::from(format!("{FOLDER}/{n:020}"))
}

pub(crate) fn number(path: &Path) -> Option<u64> {
    let name = path.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?;
    let n = name.parse().ok()?;
    (n > 0 && *path == self::path(n)).then_some(n)
}

pub(crate) const FOLDER: &str = "log";
/// What is in the place of a commit that is no longer kept.
pub(crate) const FORGOTTEN: &[u8] = b"vouchgap";
const FORGOTTEN_LENGTH: u64 = 8;
/// A commit has at most two transactions' worth of content, with padding less than 9 MiB.
const LARGEST: u64 = 16 << 20;
const PATIENCE: Patience =
    Patience { request: Duration::from_secs(20), write: Duration::from_secs(60) };
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn an_object_larger_than_any_commit_is_not_read() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let log = Log::new(Arc::clone(&objects));
        for (n, size) in [(1, LARGEST), (2, LARGEST + 1)] {
            let content = vec![0; usize::try_from(size).unwrap()];
            objects.put(&path(n), content.into()).await.unwrap();
        }
        assert!(log.read(1).await.unwrap().is_some());
        assert!(matches!(log.read(2).await, Err(StorageError::Refused { .. })));
    }

    #[test]
    fn names_are_in_order_and_only_ours_are_read() {
        assert_eq!(path(12).as_ref(), "log/00000000000000000012");
        assert_eq!(number(&path(u64::MAX)), Some(u64::MAX));
        for bad in [
            "log/12",
            "log/00000000000000000000",
            "log/0000000000000000001x",
            "log/a/00000000000000000001",
            "other/1",
        ] {
            assert_eq!(number(&Path::from(bad)), None, "{bad}");
        }
    }
}
