//! An object storage in memory, between which and its user stands something that decides what is done.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};

/// What decides.
#[async_trait]
pub(crate) trait Weather: Send + Sync + 'static {
    /// Puts an object, or does not.
    async fn put(
        &self,
        objects: &Arc<InMemory>,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult>;

    /// Comes before an object is read.
    async fn read(&self) -> Result<()>;

    /// Comes before an object is deleted.
    async fn delete(&self) -> Result<()>;

    /// What a listing shows.
    async fn list(&self, objects: &InMemory, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>>;
}

/// The storage. Clones are the same one.
pub(crate) struct Weathered<W> {
    pub(crate) weather: Arc<W>,
    objects: Arc<InMemory>,
    sent: Arc<Mutex<Vec<(Path, Bytes)>>>,
}

impl<W> Clone for Weathered<W> {
    fn clone(&self) -> Self {
        let Self { weather, objects, sent } = self;
        Self { weather: Arc::clone(weather), objects: Arc::clone(objects), sent: Arc::clone(sent) }
    }
}

impl<W: Weather> Weathered<W> {
    pub(crate) fn under(weather: W) -> Self {
        Self { weather: Arc::new(weather), objects: Arc::default(), sent: Arc::default() }
    }

    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    /// The same objects, from a storage that does as it is asked.
    pub(crate) fn honest(&self) -> Arc<dyn ObjectStore> {
        Arc::<InMemory>::clone(&self.objects)
    }

    /// Every put so far, as it was sent.
    pub(crate) fn sent(&self) -> Vec<(Path, Bytes)> {
        self.sent.lock().unwrap().clone()
    }
}

pub(crate) fn broken() -> Error {
    Error::Generic { store: "weathered", source: "the connection broke".into() }
}

impl<W> fmt::Debug for Weathered<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weathered")
    }
}

impl<W> fmt::Display for Weathered<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weathered")
    }
}

#[async_trait]
impl<W: Weather> ObjectStore for Weathered<W> {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = Bytes::from(payload.iter().flatten().copied().collect::<Vec<u8>>());
        self.sent.lock().unwrap().push((path.clone(), bytes));
        self.weather.put(&self.objects, path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        _path: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(broken())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.weather.read().await?;
        self.objects.get_opts(path, options).await
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
                this.weather.delete().await?;
                let one = stream::once(async { Ok(path) }).boxed();
                let deleted: Vec<_> = this.objects.delete_stream(one).try_collect().await?;
                deleted.into_iter().next().ok_or_else(broken)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let shown = this.weather.list(&this.objects, prefix.as_ref()).await?;
            Ok::<_, Error>(stream::iter(shown.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(broken())
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(broken())
    }
}
