//! The storage that this crate makes itself: a directory on one machine. Azure Blob is made by who knows the account.
//!
//! What is acknowledged is on disk, and so is what is read: an object that another process has named, and whose folder it has not synchronised yet, or could not, would
//! be gone when the power fails.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    local::LocalFileSystem, path::Path as Name,
};

use crate::StorageError;

/// A directory as object storage; it is made if it is absent. What is acknowledged is on disk: files and their directories are synchronised.
pub fn directory(path: &Path) -> std::result::Result<Arc<dyn ObjectStore>, StorageError> {
    let doing = || format!("opening the directory {}", path.display());
    let refused = |source| StorageError::Refused { doing: doing(), source };
    make(path).map_err(|fault| refused(broken(fault)))?;
    let files = LocalFileSystem::new_with_prefix(path).map_err(refused)?.with_fsync(true);
    Ok(Arc::new(Directory { files, root: path.to_owned() }))
}

/// Makes a folder and those above it, each of which is synchronised with the folder that it is in.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), make)?;
    match fs::create_dir(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    synchronise(above.unwrap_or(Path::new(".")))
}

fn synchronise(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn broken(fault: io::Error) -> Error {
    Error::Generic { store: "directory", source: Box::new(fault) }
}

/// Files whose creation is durable before anybody hears of it.
#[derive(Debug)]
struct Directory {
    files: LocalFileSystem,
    root: PathBuf,
}

impl Directory {
    /// Synchronises the folder of an object that is there.
    async fn keep(&self, name: &Name) -> Result<()> {
        let object = self.root.join(name.as_ref());
        let folder = object.parent().unwrap_or(&self.root).to_owned();
        let synchronised = tokio::task::spawn_blocking(move || synchronise(&folder)).await;
        synchronised.map_err(io::Error::from).flatten().map_err(broken)
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Directory {
    async fn put_opts(
        &self,
        name: &Name,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.files.put_opts(name, payload, options).await;
        if let Err(Error::AlreadyExists { .. }) = put {
            // It may be our own, named and not synchronised before an error.
            self.keep(name).await?;
        }
        put
    }

    async fn put_multipart_opts(
        &self,
        name: &Name,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(name, options).await
    }

    async fn get_opts(&self, name: &Name, options: GetOptions) -> Result<GetResult> {
        let found = self.files.get_opts(name, options).await?;
        if let GetResultPayload::File(file, _) = &found.payload {
            // Whoever creates an object removes its other name, the draft's, when the folder is synchronised and not before.
            if file.metadata().map_err(broken)?.nlink() > 1 {
                self.keep(name).await?;
            }
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        names: BoxStream<'static, Result<Name>>,
    ) -> BoxStream<'static, Result<Name>> {
        self.files.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Name>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Name>,
        offset: &Name,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Name>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Name, to: &Name, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_synchronised() {
        let folder = tempfile::tempdir().unwrap();
        let objects = directory(&folder.path().join("new/store")).unwrap();
        assert!(format!("{objects:?}").contains("fsync: true"), "{objects:?}");
    }
}
