//! Reading the audit log back.
//!
//! Audit records are writes of the one log, numbered from 1, so its chain of hashes is theirs. They are not kept in memory: only where each
//! commit's records begin, with the commit's hash. What is read back is compared with that hash, so a commit that was exchanged after it
//! was read is noticed.

use std::sync::Arc;

use jiff::Timestamp;

use zeroize::Zeroizing;

use crate::{
    Hash, Head, ReadError, Value, Write, merkle,
    state::AuditPlace,
    store::{Shared, read_again},
};

/// One record, with its place.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// Its number; numbers have no gaps.
    pub sequence: u64,
    /// The commit that holds it.
    pub commit: Head,
    /// When its transaction was made.
    pub at: Timestamp,
    /// What was recorded.
    pub record: Value,
}

/// The leaf of a record in the Merkle tree: over its number (8), the time of its transaction in milliseconds since 1970 (8, signed), and its bytes.
pub(crate) fn record_leaf(sequence: u64, at: Timestamp, record: &Value) -> Hash {
    let content = Zeroizing::new(
        [
            &sequence.to_be_bytes(),
            at.as_millisecond().to_be_bytes().as_slice(),
            record.expose_secret(),
        ]
        .concat(),
    );
    merkle::leaf(&content)
}

/// At most `limit` records from number `from` on.
pub(crate) async fn read(
    shared: &Arc<Shared>,
    from: u64,
    limit: usize,
) -> Result<Vec<AuditRecord>, ReadError> {
    let mut records = Vec::new();
    for place in shared.read_state(|state| state.audit_places(from, limit)) {
        if records.len() >= limit {
            break;
        }
        let wanted =
            commit(shared, place).await?.into_iter().filter(|record| record.sequence >= from);
        records.extend(wanted.take(limit - records.len()));
    }
    Ok(records)
}

/// All records of one commit that we read before.
async fn commit(shared: &Arc<Shared>, place: AuditPlace) -> Result<Vec<AuditRecord>, ReadError> {
    let again = read_again(shared, place.head.n).await?;
    let mut sequence = place.first;
    let mut records = Vec::new();
    for transaction in again.transactions() {
        for write in &transaction.writes {
            if let Write::Audit(record) = write {
                records.push(AuditRecord {
                    sequence,
                    commit: place.head,
                    at: transaction.at,
                    record: record.clone(),
                });
                sequence = sequence.saturating_add(1);
            }
        }
    }
    Ok(records)
}
