//! Verifying an exported audit log, with nothing at hand but the files and the store's name.
//!
//! It trusts the name, which the deployment's lock has, and an earlier checkpoint if one is given. Everything else is read from the files and checked.

use std::path::{Path, PathBuf};

use store::{AuditFault, Checkpoint, IdentityId, verify_audit};

/// What was proved.
#[derive(Debug)]
pub struct Proved {
    /// How many records the files have.
    pub records: usize,
    /// The number of the first of them.
    pub first: u64,
    /// The state of the log at the last of them.
    pub checkpoint: Checkpoint,
}

/// Verifies documents that follow each other without a gap, the first one after an earlier signed checkpoint if one is given. Each record is handed to `see` once its whole
/// document is verified.
///
/// # Errors
/// A file is not readable, or does not prove what it says.
pub fn verify(
    files: &[PathBuf],
    store: &IdentityId,
    since: Option<&Path>,
    mut see: impl FnMut(&store::VerifiedRecord) -> std::io::Result<()>,
) -> Result<Proved, AuditError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| AuditError::File { path: path.to_owned(), source })
    };
    let since = since
        .map(|path| {
            let text = String::from_utf8(read(path)?);
            text.map_err(|_| AuditError::NotText { path: path.to_owned() })
        })
        .transpose()?;
    let mut proved: Option<Proved> = None;
    for path in files {
        let fault = |source| AuditError::Document { path: path.clone(), source };
        // Only the first document has to reach back to the checkpoint: the others continue it.
        let previous = since.as_deref().filter(|_| proved.is_none());
        let audit = verify_audit(&read(path)?, store, previous).map_err(fault)?;
        let first = audit.before.size.saturating_add(1);
        if let Some(before) = proved.as_ref().filter(|before| before.checkpoint != audit.before) {
            return Err(AuditError::Gap {
                path: path.clone(),
                expected: before.checkpoint,
                found: audit.before,
            });
        }
        for record in &audit.records {
            see(record).map_err(AuditError::Output)?;
        }
        let known = proved.get_or_insert(Proved { records: 0, first, checkpoint: audit.before });
        known.records = known.records.saturating_add(audit.records.len());
        known.checkpoint = audit.checkpoint;
    }
    proved.ok_or(AuditError::Nothing)
}

/// Why the log is not proved.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no file.
    #[error("no document to verify")]
    Nothing,
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A checkpoint is no text.
    #[error("{} is not text", path.display())]
    NotText {
        /// Its path.
        path: PathBuf,
    },
    /// A document does not prove what it says.
    #[error("{}", path.display())]
    Document {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: AuditFault,
    },
    /// A document does not follow the one before it.
    #[error("{} begins after {found}, the file before it ends with {expected}", path.display())]
    Gap {
        /// Its path.
        path: PathBuf,
        /// Where the one before it ends.
        expected: Checkpoint,
        /// Where this one begins.
        found: Checkpoint,
    },
    /// Standard output.
    #[error("writing the records")]
    Output(#[source] std::io::Error),
}
