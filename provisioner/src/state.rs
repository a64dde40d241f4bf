//! Files that this machine keeps: written whole or not at all, readable by their owner only.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// The folder of a deployment on this machine.
#[derive(Debug, Clone)]
pub struct State {
    folder: PathBuf,
}

/// At most one provisioner of this machine works on a deployment while this is held.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

impl State {
    /// Makes the folder if there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| {
            let doing = format!("making the folder {}", folder.display());
            Failure::of(doing, error, "choose another with --state")
        })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A file's path.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Keeps other provisioners of this machine out.
    ///
    /// # Errors
    /// One is at work.
    pub fn hold(&self) -> Result<Held, Failure> {
        let path = self.path("deploy.lock");
        let open = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let doing = || format!("locking {}", path.display());
        let file = open.map_err(|error| Failure::of(doing(), error, "check its permissions"))?;
        match file.try_lock() {
            Ok(()) => Ok(Held { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(Failure::new(
                "another deployment of this manifest is running on this machine",
                "wait until it is done",
            )
            .exiting(Exit::Busy)),
            Err(fs::TryLockError::Error(error)) => {
                Err(Failure::of(doing(), error, "check the file system"))
            }
        }
    }
}

/// Reads a file, if there is one.
///
/// # Errors
/// There is one and it cannot be read, or it is larger than any that we write.
pub fn read(path: &Path) -> Result<Option<String>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::of(format!("reading {}", path.display()), error, "check the file")
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(about) if about.len() > LARGEST => {
            return Err(Failure::new(
                format!("{} has more than {LARGEST} bytes", path.display()),
                "check the path",
            ));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}

/// Replaces a file at once, with these permission bits.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let next = path.with_extension(format!("next-{}", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, path)
    })();
    written.map_err(|error| {
        Failure::of(format!("writing {}", path.display()), error, "check the folder's permissions")
    })
}

/// Removes a file, if there is one.
///
/// # Errors
/// There is one and it cannot be removed.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::of(
            format!("removing {}", path.display()),
            error,
            "check the folder's permissions",
        )),
        _ => Ok(()),
    }
}

const LARGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_provisioner_of_this_machine_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let held = state.hold().unwrap();
        assert_eq!(state.hold().unwrap_err().exit(), Exit::Busy);
        drop(held);
        state.hold().unwrap();
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, "one", 0o600).unwrap();
        write(&path, "two", 0o600).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
