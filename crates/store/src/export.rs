//! The audit log, or a run of it, as a document that is verified offline.
//!
//! A document holds records without a gap, the edge of the Merkle tree before them, and a signed checkpoint at the last of them. Edge and records give the
//! checkpoint's root, so nothing is missing, changed or out of place; the edge gives the root that an earlier document ended with.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AuditRecord, Checkpoint, CheckpointFault, ExportError, Hash, Identity, IdentityId, Store,
    Value,
    audit::record_leaf,
    merkle::{self, Tree},
    state::State,
};

impl Store {
    /// The signed checkpoint of the audit log as it is now.
    pub fn checkpoint(&self) -> Result<String, ExportError> {
        self.checkpoint_at(self.audited())
    }

    fn checkpoint_at(&self, size: u64) -> Result<String, ExportError> {
        let root = self.shared().read_state(|state| state.audit_tree().root(size));
        let root = root.ok_or(ExportError::NotKept { size })?;
        Ok(Checkpoint { size, root }.sign(&self.shared().identity)?)
    }

    /// The proof that record `sequence` is in the log of `size` records (RFC 6962 §2.1.1).
    pub fn prove_record(&self, sequence: u64, size: u64) -> Option<Vec<Hash>> {
        let index = sequence.checked_sub(1)?;
        self.shared().read_state(|state| state.audit_tree().inclusion(index, size))
    }

    /// The proof that the log of `old` records is the beginning of that of `new` ones (RFC 6962 §2.1.2).
    pub fn prove_growth(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        self.shared().read_state(|state| state.audit_tree().consistency(old, new))
    }

    /// Exports at most `limit` records from number `from` on, as JSON, with a checkpoint at the last of them. With `previous`, the size of a checkpoint that the reader
    /// holds, the proof that the log only grew since.
    pub async fn export_audit(
        &self,
        from: u64,
        limit: usize,
        previous: Option<u64>,
    ) -> Result<String, ExportError> {
        let records = self.audit(from, limit).await?;
        let first = records.first().map_or_else(|| self.audited() + 1, |one| one.sequence);
        let size = records.last().map_or_else(|| self.audited(), |one| one.sequence);
        let edge = self.shared().read_state(|state| edge(state, first - 1));
        let edge = edge.ok_or(ExportError::NotKept { size: first - 1 })?;
        let growth = match previous {
            None => None,
            Some(old) if old <= size && old > 0 => {
                let path = self.prove_growth(old, size);
                Some(Growth { old, path: path.ok_or(ExportError::NotKept { size: old })? })
            }
            Some(old) => return Err(ExportError::Beyond { old, size }),
        };
        let export = Export {
            version: FORMAT,
            identity: self.identity().clone(),
            checkpoint: self.checkpoint_at(size)?,
            growth,
            first,
            edge,
            records: records.iter().map(ExportedRecord::of).collect(),
        };
        serde_json::to_string(&export).map_err(|_| ExportError::Unwritable)
    }
}

fn edge(state: &State, size: u64) -> Option<Vec<Hash>> {
    let mut tree = state.audit_tree().clone();
    if size < tree.first() || size > tree.size() {
        return None;
    }
    tree.forget(size);
    tree.edge()
}

/// Records that are those of a store, without a gap.
#[derive(Debug)]
pub struct VerifiedAudit {
    /// The state of the log at the last of the records.
    pub checkpoint: Checkpoint,
    /// The state of the log just before the first of them: what the document before this one ended with.
    pub before: Checkpoint,
    /// The records, in order.
    pub records: Vec<VerifiedRecord>,
}

/// One record.
#[derive(Debug)]
pub struct VerifiedRecord {
    /// Its number.
    pub sequence: u64,
    /// When its transaction was made.
    pub at: Timestamp,
    /// What was recorded.
    pub record: Value,
}

/// Verifies an exported document offline, in the order:
/// 1. its form and version;
/// 2. it is of the expected store;
/// 3. its checkpoint is signed by that store;
/// 4. edge and records give the checkpoint's root, and the records end at its size;
/// 5. if the reader holds an earlier checkpoint, signed by the same store: the log only grew since.
pub fn verify_audit(
    document: &[u8],
    expected: &IdentityId,
    previous: Option<&str>,
) -> Result<VerifiedAudit, AuditFault> {
    let malformed = |what: &str| AuditFault::Malformed(what.to_owned());
    let version: Versioned =
        serde_json::from_slice(document).map_err(|fault| malformed(&fault.to_string()))?;
    if version.version != FORMAT {
        return Err(AuditFault::Malformed(format!("version {}", version.version)));
    }
    let export: Export =
        serde_json::from_slice(document).map_err(|fault| malformed(&fault.to_string()))?;
    let found = export.identity.id();
    if found != *expected {
        return Err(AuditFault::OtherStore { expected: *expected, found });
    }
    let checkpoint = Checkpoint::verify(&export.checkpoint, &export.identity)?;

    let start = export.first.checked_sub(1).ok_or_else(|| malformed("records begin at 1"))?;
    let mut tree =
        Tree::restore(start, &export.edge).ok_or_else(|| malformed("an edge that is none"))?;
    let root = |tree: &Tree| {
        let root = tree.root(tree.size()).ok_or_else(|| malformed("an edge that is none"))?;
        Ok::<_, AuditFault>(Checkpoint { size: tree.size(), root })
    };
    let before = root(&tree)?;
    let mut seen = vec![before];
    let mut records = Vec::new();
    for (sequence, record) in (export.first..).zip(&export.records) {
        let at =
            Timestamp::from_millisecond(record.at).map_err(|_| malformed("a time out of range"))?;
        let bytes = URL_SAFE_NO_PAD
            .decode(&record.record)
            .map_err(|_| malformed("a record that is not base64url"))?;
        let value = Value::new(bytes).map_err(|_| malformed("a record that is too large"))?;
        tree.push(record_leaf(sequence, at, &value));
        if previous.is_some() {
            seen.push(root(&tree)?);
        }
        records.push(VerifiedRecord { sequence, at, record: value });
    }
    if root(&tree)? != checkpoint {
        return Err(AuditFault::OtherRecords { checkpoint, found: root(&tree)? });
    }
    if let Some(note) = previous {
        let earlier = Checkpoint::verify(note, &export.identity)?;
        check_growth(earlier, checkpoint, &seen, export.growth.as_ref())?;
    }
    Ok(VerifiedAudit { checkpoint, before, records })
}

fn check_growth(
    earlier: Checkpoint,
    now: Checkpoint,
    seen: &[Checkpoint],
    growth: Option<&Growth>,
) -> Result<(), AuditFault> {
    let forked = AuditFault::Forked { earlier, now };
    if earlier.size == 0 || seen.contains(&earlier) {
        return Ok(());
    }
    if earlier.size > now.size || seen.iter().any(|one| one.size == earlier.size) {
        return Err(forked);
    }
    let growth = growth
        .filter(|growth| growth.old == earlier.size)
        .ok_or(AuditFault::Unproved { earlier: earlier.size })?;
    let (old, new) = ((earlier.size, earlier.root), (now.size, now.root));
    merkle::check_consistency(old, new, &growth.path).map_err(|_| forked)
}

/// Checks a proof of [`Store::prove_record`] against a checkpoint.
pub fn verify_record(
    checkpoint: &Checkpoint,
    record: &VerifiedRecord,
    path: &[Hash],
) -> Result<(), AuditFault> {
    let leaf = record_leaf(record.sequence, record.at, &record.record);
    let index = record
        .sequence
        .checked_sub(1)
        .ok_or_else(|| AuditFault::Malformed("records begin at 1".into()))?;
    merkle::check_inclusion(leaf, (index, checkpoint.size), path, checkpoint.root)
        .map_err(|_| AuditFault::NotIncluded { sequence: record.sequence })
}

/// Why a document does not prove what it says.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    /// Its form is another.
    #[error("not an exported audit log: {0}")]
    Malformed(String),
    /// It is of another store.
    #[error("it is of the store {found}, expected {expected}")]
    OtherStore {
        /// As demanded.
        expected: IdentityId,
        /// As found.
        found: IdentityId,
    },
    /// A checkpoint is not one of the store.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointFault),
    /// Records are missing, changed, added or out of place.
    #[error("the records give {found}, signed were {checkpoint}")]
    OtherRecords {
        /// As signed.
        checkpoint: Checkpoint,
        /// As computed.
        found: Checkpoint,
    },
    /// The log is not the one of the earlier checkpoint: records were dropped or changed since.
    #[error("the log of {now} does not continue that of {earlier}")]
    Forked {
        /// As the reader holds it.
        earlier: Checkpoint,
        /// As the document has it.
        now: Checkpoint,
    },
    /// The document has no proof from the earlier checkpoint on.
    #[error("the document does not prove that it continues the log of {earlier} records")]
    Unproved {
        /// Its size.
        earlier: u64,
    },
    /// The path is not one of this record in this log.
    #[error("record {sequence} is not in the log of this checkpoint")]
    NotIncluded {
        /// Its number.
        sequence: u64,
    },
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    version: u32,
    identity: Identity,
    checkpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    growth: Option<Growth>,
    first: u64,
    edge: Vec<Hash>,
    records: Vec<ExportedRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Growth {
    old: u64,
    path: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedRecord {
    /// Milliseconds since 1970.
    at: i64,
    record: String,
}

impl ExportedRecord {
    fn of(record: &AuditRecord) -> Self {
        Self {
            at: record.at.as_millisecond(),
            record: URL_SAFE_NO_PAD.encode(record.record.expose_secret()),
        }
    }
}

const FORMAT: u32 = 1;
