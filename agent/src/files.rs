//! Writing a file whole or not at all, and only where nobody else can redirect it.
//!
//! The way to the file is opened folder by folder and follows no symbolic link, so what is checked
//! is what is written to. The last folder must be the caller's own and writable by nobody else;
//! folders that are missing are made with mode 0700. The content goes into a new file beside the
//! target, which then takes the target's place; a target that is not a regular file stays.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A folder that only its owner, us, can write to.
#[derive(Debug)]
pub(crate) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

/// A file that is complete but not yet in its place; gone when dropped before that.
#[derive(Debug)]
pub(crate) struct Staged<'f> {
    folder: &'f Folder,
    temporary: String,
    name: String,
}

impl Folder {
    /// Opens an absolute path, making what is missing.
    pub(crate) fn open_or_make(path: &Path) -> Result<Self, FileError> {
        let at = |part: &Path| part.to_owned();
        let mut walked = PathBuf::from("/");
        let mut handle =
            rustix::fs::open("/", FOLDER, Mode::empty()).map_err(|e| FileError::io(&walked, e))?;
        for part in path.components() {
            let name = match part {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(FileError::NotPlain { path: at(path) });
                }
            };
            walked.push(name);
            handle = Self::step(&handle, name, &walked)?;
        }
        let stat = rustix::fs::fstat(&handle).map_err(|e| FileError::io(&walked, e))?;
        let others_write = stat.st_mode & (Mode::WGRP | Mode::WOTH).bits() != 0;
        if stat.st_uid != rustix::process::geteuid().as_raw() || others_write {
            return Err(FileError::Shared { path: walked });
        }
        Ok(Self { handle, path: walked })
    }

    fn step(from: &OwnedFd, name: &OsStr, walked: &Path) -> Result<OwnedFd, FileError> {
        let open = || rustix::fs::openat(from, name, FOLDER, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) => match rustix::fs::mkdirat(from, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(error) => Err(error),
            },
            other => other,
        };
        // With O_NOFOLLOW and O_DIRECTORY a symbolic link is "not a directory" on Linux, a loop elsewhere.
        opened.map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => FileError::NotPlain { path: walked.to_owned() },
            other => FileError::io(walked, other),
        })
    }

    /// Writes a whole file beside `name`, to take its place by [`Staged::commit`].
    pub(crate) fn stage(
        &self,
        name: &str,
        mode: u32,
        content: &[u8],
    ) -> Result<Staged<'_>, FileError> {
        let path = self.path.join(name);
        let fault = |error: Errno| FileError::io(&path, error);
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Err(FileError::NotAFile { path });
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(fault(error)),
        }
        let temporary = format!(".{name}.{}.new", std::process::id());
        // Of an earlier process with our number that was killed.
        match rustix::fs::unlinkat(&self.handle, &temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(fault(error)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(
            &self.handle,
            &temporary,
            flags | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(fault)?;
        let staged = Staged { folder: self, temporary, name: name.to_owned() };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(fault)?;
        let mut file = File::from(file);
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|error| FileError::Io { path, source: error })?;
        Ok(staged)
    }
}

impl Staged<'_> {
    /// Puts the file into its place.
    pub(crate) fn commit(self) -> Result<(), FileError> {
        let Folder { handle, path } = self.folder;
        rustix::fs::renameat(handle, &self.temporary, handle, &self.name)
            .map_err(|error| FileError::io(&path.join(&self.name), error))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // After the commit there is nothing of this name, and before it nothing else can be done.
        let _ = rustix::fs::unlinkat(&self.folder.handle, &self.temporary, AtFlags::empty());
    }
}

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A component is a symbolic link, not a folder, or `..`.
    #[error("{}: a symbolic link or not a folder, which is not followed", path.display())]
    NotPlain {
        /// Up to which component.
        path: PathBuf,
    },
    /// Somebody else could put something else there.
    #[error("{}: the folder is somebody else's or writable by others", path.display())]
    Shared {
        /// The folder.
        path: PathBuf,
    },
    /// What has the name is not a regular file.
    #[error("{}: there already, and not a regular file", path.display())]
    NotAFile {
        /// The target.
        path: PathBuf,
    },
    /// The file system's.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    fn io(path: &Path, error: Errno) -> Self {
        Self::Io { path: path.to_owned(), source: error.into() }
    }
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), FileError> {
        let folder = Folder::open_or_make(path.parent().unwrap())?;
        folder.stage(path.file_name().unwrap().to_str().unwrap(), mode, content)?.commit()
    }

    /// A folder of ours, by its real name.
    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        (scratch, path)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn makes_folders_for_their_owner_and_the_file_with_its_mode() {
        let (_scratch, root) = scratch();
        let file = root.join("a/b/secret");
        write(&file, 0o400, b"hunter2").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"hunter2");
        assert_eq!(
            (mode(&file), mode(&root.join("a")), mode(&root.join("a/b"))),
            (0o400, 0o700, 0o700)
        );
        write(&file, 0o440, b"hunter3").unwrap();
        assert_eq!(
            (std::fs::read(&file).unwrap().as_slice(), mode(&file)),
            (&b"hunter3"[..], 0o440)
        );
        assert_eq!(std::fs::read_dir(root.join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let (_scratch, root) = scratch();
        let folder = Folder::open_or_make(&root).unwrap();
        drop(folder.stage("secret", 0o400, b"x").unwrap());
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    }

    #[test]
    fn follows_no_link_in_the_way() {
        let (_scratch, root) = scratch();
        std::fs::create_dir(root.join("real")).unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        let e = write(&root.join("link/secret"), 0o400, b"x").unwrap_err();
        assert!(matches!(e, FileError::NotPlain { .. }), "{e:?}");
        assert_eq!(std::fs::read_dir(root.join("real")).unwrap().count(), 0);
    }

    #[test]
    fn follows_no_link_at_the_end() {
        let (_scratch, root) = scratch();
        std::fs::write(root.join("victim"), b"v").unwrap();
        symlink(root.join("victim"), root.join("secret")).unwrap();
        let e = write(&root.join("secret"), 0o400, b"x").unwrap_err();
        assert!(matches!(e, FileError::NotAFile { .. }), "{e:?}");
        assert_eq!(std::fs::read(root.join("victim")).unwrap(), b"v");
    }

    #[test]
    fn refuses_a_folder_that_others_write_to() {
        let (_scratch, root) = scratch();
        let shared = root.join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
        let e = write(&shared.join("secret"), 0o400, b"x").unwrap_err();
        assert!(matches!(e, FileError::Shared { .. }), "{e:?}");
    }

    #[test]
    fn refuses_to_go_up() {
        let (_scratch, root) = scratch();
        let e = Folder::open_or_make(&root.join("a/../b")).unwrap_err();
        assert!(matches!(e, FileError::NotPlain { .. }), "{e:?}");
    }
}
