//! An object storage in memory that fails by a script, and remembers everything that it was sent.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};

/// What happens to the next put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// An error, and nothing is kept.
    Before,
    /// It is kept, and the answer is an error.
    After,
    /// It is kept, and no answer ever comes.
    Silence,
    /// The answer is a success, and nothing is kept.
    Lie,
    /// An error for want of a permission.
    Forbidden,
    /// The process that is being served dies before the put: this and everything later fails.
    DeathBefore,
    /// The process dies after the put.
    DeathAfter,
}

#[derive(Default)]
struct Script {
    faults: VecDeque<Fault>,
    dead: bool,
    sent: Vec<(Path, Bytes)>,
}

/// The storage. Clones are the same one.
#[derive(Clone)]
pub(super) struct Faulty {
    pub(super) inner: Arc<InMemory>,
    script: Arc<Mutex<Script>>,
}

impl Faulty {
    pub(super) fn new() -> Self {
        Self { inner: Arc::new(InMemory::new()), script: Arc::default() }
    }

    /// What happens to the next puts, one each; later ones are well.
    pub(super) fn next(&self, faults: &[Fault]) {
        self.script.lock().unwrap().faults = faults.iter().copied().collect();
    }

    /// Every put so far, as it was sent.
    pub(super) fn sent(&self) -> Vec<(Path, Bytes)> {
        self.script.lock().unwrap().sent.clone()
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    /// The same objects, seen by a new process.
    pub(super) fn after_death(&self) -> Arc<dyn ObjectStore> {
        Arc::<InMemory>::clone(&self.inner)
    }

    fn alive(&self) -> Result<()> {
        if self.script.lock().unwrap().dead { Err(broken()) } else { Ok(()) }
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "the connection broke".into() }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.alive()?;
        let fault = {
            let mut script = self.script.lock().unwrap();
            script.sent.push((
                path.clone(),
                Bytes::from(payload.iter().flatten().copied().collect::<Vec<u8>>()),
            ));
            let fault = script.faults.pop_front().unwrap_or(Fault::None);
            script.dead = matches!(fault, Fault::DeathBefore | Fault::DeathAfter);
            fault
        };
        match fault {
            Fault::Before | Fault::DeathBefore => return Err(broken()),
            Fault::Lie => {
                return Ok(PutResult { e_tag: None, version: None, extensions: <_>::default() });
            }
            Fault::Forbidden => {
                return Err(Error::PermissionDenied {
                    path: path.to_string(),
                    source: "no".into(),
                });
            }
            Fault::None | Fault::After | Fault::Silence | Fault::DeathAfter => {}
        }
        let result = self.inner.put_opts(path, payload, options).await;
        match fault {
            Fault::After | Fault::DeathAfter => Err(broken()),
            Fault::Silence => futures::future::pending().await,
            Fault::None | Fault::Before | Fault::Lie | Fault::Forbidden | Fault::DeathBefore => {
                result
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.alive()?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.alive()?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.alive() {
            Ok(()) => self.inner.list(prefix),
            Err(fault) => Box::pin(futures::stream::once(async { Err(fault) })),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.alive()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.alive()?;
        self.inner.copy_opts(from, to, options).await
    }
}
