//! Reading the audit log back.
//!
//! Audit records are writes of the one log, numbered from 1, so its chain of hashes is theirs. They are not kept in memory: only where each
//! commit's records begin, with the commit's hash. What is read back is compared with that hash, so a commit that was exchanged after it
//! was read is noticed.

use jiff::Timestamp;

use zeroize::Zeroizing;

use crate::{
    Damage, Hash, Head, ReadError, Value, Write, commit::Sealed, merkle, state::AuditPlace,
    store::Shared,
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
    shared: &Shared,
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
async fn commit(shared: &Shared, place: AuditPlace) -> Result<Vec<AuditRecord>, ReadError> {
    let n = place.head.n;
    let object =
        shared.log.read(n).await.map_err(ReadError::Unavailable)?.ok_or(Damage::Missing { n })?;
    let found = Hash::of(&object);
    if found != place.head.hash {
        return Err(Damage::Replaced { n, expected: place.head.hash, found }.into());
    }
    let sealed = Sealed::parse(n, &object)?;
    let after = Head { n: n.saturating_sub(1), hash: sealed.previous };
    let opened = sealed.open(shared.identity.public().id(), after, &shared.keys().keyring)?;
    let mut sequence = place.first;
    let mut records = Vec::new();
    for transaction in &opened.body.transactions {
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
