//! What the agent remembers of the server between its runs: the newest that it saw.
//!
//! A signed bundle or manifest stays validly signed for ever, and a store may be put back to an
//! older state whole. So whoever remembers refuses less: a lower serial or revision, a store with
//! an earlier head, another commit in the remembered place, another store identity.
//! The memory is a file of ours; a missing one is a first meeting, an unreadable one is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use evidence::Sha256;
use protocol::server_evidence::{Head, Statement};
use serde::{Deserialize, Serialize};

use crate::config::Pins;
use crate::files::{FileError, Folder};

/// The newest server seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    version: u64,
    deployment: String,
    identity: Sha256,
    serial: u64,
    revision: u64,
    head: Head,
}

/// What is remembered, and where.
#[derive(Debug)]
pub(crate) struct Memory {
    file: Option<PathBuf>,
    seen: Option<Seen>,
}

impl Memory {
    /// Reads what is remembered of the pinned deployment.
    pub(crate) fn load(file: Option<&Path>, pins: &Pins) -> Result<Self, MemoryError> {
        let Some(file) = file else { return Ok(Self { file: None, seen: None }) };
        let file = std::path::absolute(file).map_err(|e| MemoryError::Read(file.to_owned(), e))?;
        let seen = match fs::read(&file) {
            Ok(text) => {
                let malformed = || MemoryError::Malformed(file.clone());
                let seen: Seen = serde_json::from_slice(&text).map_err(|_| malformed())?;
                if seen.version != 1 {
                    return Err(malformed());
                }
                if seen.deployment != pins.deployment.as_str() {
                    return Err(MemoryError::Deployment { file, found: seen.deployment });
                }
                Some(seen)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(MemoryError::Read(file, error)),
        };
        Ok(Self { file: Some(file), seen })
    }

    /// The lowest serial that is believed.
    pub(crate) fn minimum_serial(&self, pins: &Pins) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.serial).max(pins.minimum_serial)
    }

    /// The lowest revision that is believed.
    pub(crate) fn minimum_revision(&self, pins: &Pins) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.revision).max(pins.minimum_revision)
    }

    /// Compares a verified server with what is remembered, and remembers it.
    pub(crate) fn meet(self, pins: &Pins, statement: &Statement) -> Result<(), MeetError> {
        let identity = statement.identity.id();
        if let Some(seen) = &self.seen {
            if seen.identity != identity {
                return Err(Rollback::Store { expected: seen.identity, found: identity }.into());
            }
            let (head, found) = (seen.head, statement.head);
            if found.n < head.n {
                return Err(Rollback::Earlier { expected: head.n, found: found.n }.into());
            }
            if found.n == head.n && found.hash != head.hash {
                return Err(Rollback::Fork { n: head.n }.into());
            }
        }
        let now = Seen {
            version: 1,
            deployment: pins.deployment.as_str().to_owned(),
            identity,
            serial: statement.serial,
            revision: statement.revision,
            head: statement.head,
        };
        match self.file {
            Some(file) if self.seen.as_ref() != Some(&now) => Ok(write(&file, &now)?),
            _ => Ok(()),
        }
    }
}

fn write(file: &Path, seen: &Seen) -> Result<(), MemoryError> {
    let invalid = || MemoryError::Malformed(file.to_owned());
    let text = serde_json::to_vec(seen).map_err(|_| invalid())?;
    let folder = file.parent().ok_or_else(invalid)?;
    let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(invalid)?;
    let folder = Folder::open_or_make(folder).map_err(MemoryError::Write)?;
    folder.stage(name, 0o600, &text).and_then(|staged| staged.commit()).map_err(MemoryError::Write)
}

/// The server is not the newest that was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rollback {
    /// Another store.
    #[error("the server has the store {found}, remembered is {expected}")]
    Store {
        /// The remembered identity.
        expected: Sha256,
        /// The server's.
        found: Sha256,
    },
    /// Fewer commits than before.
    #[error("the server's store is at commit {found}, it has been at {expected}")]
    Earlier {
        /// The remembered head.
        expected: u64,
        /// The server's.
        found: u64,
    },
    /// Another commit in the same place.
    #[error("the server's store has another commit {n} than it had: its history forked")]
    Fork {
        /// Which commit.
        n: u64,
    },
}

/// The file of the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It cannot be read.
    #[error("reading {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is not what an agent wrote.
    #[error("{}: not the memory of an agent", .0.display())]
    Malformed(PathBuf),
    /// It is of another deployment.
    #[error("{}: the memory of the deployment {found}", file.display())]
    Deployment {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
    },
    /// It cannot be written.
    #[error("remembering the server")]
    Write(#[source] FileError),
}

/// Why a verified server is not gone on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeetError {
    #[error(transparent)]
    Rollback(#[from] Rollback),
    #[error(transparent)]
    Memory(#[from] MemoryError),
}
