//! Copies of a folder as it stands between two requests, for tests that go on from there.
//!
//! State files are replaced whole, never written in place, so large ones may be hard links; what is appended to is copied.
//! Not copied: the log and the pid of the running cloud, and half-written files. Processes are not state: a cloud that is
//! started on a copy starts its container groups anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Copies `folder` to `into/N/state`, N one more than there are copies, and writes what was called to `into/N/call`.
///
/// # Errors
/// The file system's.
pub fn save(folder: &Path, into: &Path, call: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(into)?;
    let number = fs::read_dir(into)?.count().saturating_add(1);
    let place = into.join(format!("{number:04}"));
    fs::create_dir(&place)?;
    copy(folder, &place.join("state"))?;
    fs::write(place.join("call"), call)?;
    Ok(place)
}

/// Copies a tree of files as [`save`] does.
///
/// # Errors
/// The file system's.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "log" || name == "pid" || name.ends_with(".tmp") || name.ends_with(".new") {
            continue;
        }
        let done = if kind.is_dir() {
            copy(&path, &target)
        } else if !kind.is_file() {
            Ok(())
        } else if entry.metadata()?.len() > LINKED && !path.iter().any(|part| part == UPLOADS) {
            fs::hard_link(&path, &target)
        } else {
            fs::copy(&path, &target).map(drop)
        };
        match done {
            // A client replaces its own files meanwhile.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Files above this many bytes are linked.
const LINKED: u64 = 1 << 20;
/// The folder whose files are appended to.
const UPLOADS: &str = "uploads";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        fs::create_dir_all(state.join("cloud/registry")).unwrap();
        fs::write(state.join("cloud/log"), b"not copied").unwrap();
        fs::write(state.join("record.json"), b"one").unwrap();
        crate::core::store::write_atomically(&state.join("cloud/registry/large"), &[7; 2 << 20])
            .unwrap();
        let into = directory.path().join("saved");
        let first = save(&state, &into, "PUT /one").unwrap();
        fs::write(state.join("record.json"), b"two").unwrap();
        crate::core::store::write_atomically(&state.join("cloud/registry/large"), b"other")
            .unwrap();
        let second = save(&state, &into, "PUT /two").unwrap();
        let read = |place: &Path, file: &str| fs::read(place.join("state").join(file)).unwrap();
        assert_eq!(read(&first, "record.json"), b"one");
        assert_eq!(read(&first, "cloud/registry/large").len(), 2 << 20);
        assert_eq!(read(&second, "record.json"), b"two");
        assert_eq!(read(&second, "cloud/registry/large"), b"other");
        assert_eq!(fs::read(second.join("call")).unwrap(), b"PUT /two");
        assert!(!first.join("state/cloud/log").exists());
    }
}
