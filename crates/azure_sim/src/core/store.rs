//! State of one service: in memory behind a lock, and in one JSON file that is replaced whole.
//!
//! A request that was answered is on disk; a process killed at any point leaves the file as it was before or after the change.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One service's state and the file it lives in.
#[derive(Debug)]
pub struct Store<T> {
    path: PathBuf,
    state: Mutex<T>,
}

impl<T: Default + Serialize + DeserializeOwned> Store<T> {
    /// Reads `directory/NAME.json`, or starts from the default if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or is not this service's state.
    pub fn open(directory: &Path, name: &str) -> Result<Self, StoreError> {
        let path = directory.join(format!("{name}.json"));
        let state = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StoreError::Foreign { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => T::default(),
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// Looks at the state.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Alters the state and writes it before returning. If `alter` answers `Err`, state and file stay as they were.
    ///
    /// # Panics
    /// Never on input; if the file cannot be written the process stops, because what was promised would be lost.
    pub fn change<R, E>(&self, alter: impl FnOnce(&mut T) -> Result<R, E>) -> Result<R, E> {
        let mut state = self.lock();
        let before = serde_json::to_vec(&*state).unwrap_or_else(|error| fatal(&self.path, &error));
        match alter(&mut state) {
            Ok(answer) => {
                let after =
                    serde_json::to_vec(&*state).unwrap_or_else(|error| fatal(&self.path, &error));
                if after != before {
                    write_atomically(&self.path, &after)
                        .unwrap_or_else(|error| fatal(&self.path, &error));
                }
                Ok(answer)
            }
            Err(refusal) => {
                *state = serde_json::from_slice(&before)
                    .unwrap_or_else(|error| fatal(&self.path, &error));
                Err(refusal)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces a file (mode 0600) by way of a temporary beside it, synced before the rename.
///
/// # Errors
/// The file system's.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// State that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("reading {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what this version wrote.
    #[error("{} is not state of this version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        source: serde_json::Error,
    },
}

#[expect(
    clippy::exit,
    reason = "an acknowledged change that is not on disk would be a lie; stopping is honest"
)]
fn fatal(path: &Path, error: &dyn std::error::Error) -> ! {
    tracing::error!(path = %path.display(), %error, "state cannot be written; stopping");
    std::process::exit(70)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_change_is_undone_and_an_accepted_one_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store: Store<Vec<u32>> = Store::open(directory.path(), "x").unwrap();
        store
            .change(|v| {
                v.push(1);
                Ok::<_, ()>(())
            })
            .unwrap();
        store
            .change(|v| {
                v.push(2);
                Err::<(), _>(())
            })
            .unwrap_err();
        assert_eq!(store.read(Clone::clone), [1]);
        let again: Store<Vec<u32>> = Store::open(directory.path(), "x").unwrap();
        assert_eq!(again.read(Clone::clone), [1]);
    }

    #[test]
    fn foreign_state_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("x.json"), b"{}").unwrap();
        assert!(matches!(
            Store::<Vec<u32>>::open(directory.path(), "x"),
            Err(StoreError::Foreign { .. })
        ));
    }
}
