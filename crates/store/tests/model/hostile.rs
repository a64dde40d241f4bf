//! An object storage that delays, reorders, fails before or after doing, does later what it said had failed, and lists what was there a while ago. A seeded
//! scheduler decides everything, one request at a time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use tokio::sync::oneshot;

use crate::dice::Dice;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Do,
    FailBefore,
    FailAfter,
    /// The answer is an error, and it is done some time after.
    Later,
    /// For listings: as it was some requests ago.
    Stale(usize),
}

struct Inner {
    dice: Dice,
    /// Requests that wait for their turn.
    waiting: Vec<oneshot::Sender<Verdict>>,
    /// When each object was first seen, by a count of requests.
    born: BTreeMap<Path, usize>,
    requests: usize,
    /// Everything that was ever sent.
    sent: Vec<(Path, Bytes)>,
    kind: bool,
}

/// The storage. Clones are the same one.
#[derive(Clone)]
pub(super) struct Hostile {
    objects: Arc<InMemory>,
    inner: Arc<Mutex<Inner>>,
}

impl Hostile {
    pub(super) fn new(seed: u64) -> Self {
        let inner = Inner {
            dice: Dice(seed),
            waiting: Vec::new(),
            born: BTreeMap::new(),
            requests: 0,
            sent: Vec::new(),
            kind: false,
        };
        Self { objects: Arc::new(InMemory::new()), inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    /// The same objects, from a storage that does as it is asked.
    pub(super) fn honest(&self) -> Arc<dyn ObjectStore> {
        Arc::<InMemory>::clone(&self.objects)
    }

    /// From now on everything that waits is done.
    pub(super) fn be_kind(&self) {
        self.inner.lock().unwrap().kind = true;
    }

    pub(super) fn sent(&self) -> Vec<(Path, Bytes)> {
        self.inner.lock().unwrap().sent.clone()
    }

    /// Lets one request go on; false if none waits.
    pub(super) fn turn(&self) -> bool {
        let mut inner = self.inner.lock().unwrap();
        if inner.waiting.is_empty() {
            return false;
        }
        let count = inner.waiting.len();
        let chosen = inner.dice.roll(count);
        let waiting = inner.waiting.swap_remove(chosen);
        let verdict = match (inner.kind, inner.dice.roll(40)) {
            (true, _) => Verdict::Do,
            (false, 0) => Verdict::FailBefore,
            (false, 1) => Verdict::FailAfter,
            (false, 2) => Verdict::Later,
            (false, 3..=8) => Verdict::Stale(inner.dice.roll(30)),
            (false, _) => Verdict::Do,
        };
        // Whoever asked may have been dropped.
        let _dropped = waiting.send(verdict).is_err();
        true
    }

    async fn wait(&self) -> Verdict {
        let (turn, mine) = oneshot::channel();
        {
            let mut inner = self.inner.lock().unwrap();
            inner.requests += 1;
            inner.waiting.push(turn);
        }
        mine.await.unwrap()
    }

    fn note(&self, path: &Path) {
        let mut inner = self.inner.lock().unwrap();
        let now = inner.requests;
        inner.born.entry(path.clone()).or_insert(now);
    }
}

fn broken() -> Error {
    Error::Generic { store: "hostile", source: "the connection broke".into() }
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hostile")
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hostile")
    }
}

#[async_trait]
impl ObjectStore for Hostile {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = Bytes::from(payload.iter().flatten().copied().collect::<Vec<u8>>());
        self.inner.lock().unwrap().sent.push((path.clone(), bytes));
        let verdict = self.wait().await;
        match verdict {
            Verdict::FailBefore => return Err(broken()),
            Verdict::Later => {
                let (this, path) = (self.clone(), path.clone());
                drop(tokio::spawn(async move {
                    let _turn = this.wait().await;
                    if this.objects.put_opts(&path, payload, options).await.is_ok() {
                        this.note(&path);
                    }
                }));
                return Err(broken());
            }
            Verdict::Do | Verdict::FailAfter | Verdict::Stale(_) => {}
        }
        let done = self.objects.put_opts(path, payload, options).await;
        if done.is_ok() {
            self.note(path);
        }
        if verdict == Verdict::FailAfter { Err(broken()) } else { done }
    }

    async fn put_multipart_opts(
        &self,
        _path: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(broken())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.wait().await {
            Verdict::Do | Verdict::Stale(_) => self.objects.get_opts(path, options).await,
            Verdict::FailBefore | Verdict::FailAfter | Verdict::Later => Err(broken()),
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let deleted = paths.then(move |path| {
            let this = this.clone();
            async move {
                let path = path?;
                match this.wait().await {
                    Verdict::Do | Verdict::Stale(_) | Verdict::FailAfter => {
                        let one = futures::stream::once(async { Ok(path) }).boxed();
                        let deleted: Vec<_> = this.objects.delete_stream(one).try_collect().await?;
                        deleted.into_iter().next().ok_or_else(broken)
                    }
                    Verdict::FailBefore | Verdict::Later => Err(broken()),
                }
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let age = match this.wait().await {
                Verdict::Do => 0,
                Verdict::Stale(age) => age,
                Verdict::FailBefore | Verdict::FailAfter | Verdict::Later => return Err(broken()),
            };
            let all: Vec<_> = this.objects.list(prefix.as_ref()).try_collect().await?;
            let inner = this.inner.lock().unwrap();
            let until = inner.requests.saturating_sub(age);
            let seen = |meta: &ObjectMeta| {
                age == 0 || inner.born.get(&meta.location).is_some_and(|born| *born <= until)
            };
            Ok(futures::stream::iter(all.into_iter().filter(seen).map(Ok).collect::<Vec<_>>()))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(broken())
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(broken())
    }
}
