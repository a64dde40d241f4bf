//! The storage that this crate makes itself: a directory on one machine. Azure Blob is made by who knows the account.

use std::{path::Path, sync::Arc};

use object_store::{ObjectStore, local::LocalFileSystem};

use crate::StorageError;

/// A directory as object storage; it is made if it is absent. What is acknowledged is on disk: files and their directories are synchronised.
pub fn directory(path: &Path) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let doing = || format!("opening the directory {}", path.display());
    let refused = |source| StorageError::Refused { doing: doing(), source };
    std::fs::create_dir_all(path).map_err(|fault| {
        refused(object_store::Error::Generic { store: "directory", source: Box::new(fault) })
    })?;
    Ok(Arc::new(LocalFileSystem::new_with_prefix(path).map_err(refused)?.with_fsync(true)))
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
