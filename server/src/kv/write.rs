//! A new version of a secret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use store::{CommitError, Store, Transaction, Value};

use super::meta::{Metadata, VersionState};
use super::{ATTEMPTS, Fields, KvError, merge_patch, meta_key, stored, value_key};
use crate::audit::Draft;
use crate::grant::MayWrite;

/// A version to be written.
pub struct NewVersion<'a> {
    /// What it holds.
    pub content: Content<'a>,
    /// The version that the writer knows, 0 for none; absent, to write in any case.
    pub check_and_set: Option<u64>,
}

/// What a new version holds.
pub enum Content<'a> {
    /// This JSON object.
    Whole(&'a [u8]),
    /// The current object with this merge patch (RFC 7386).
    Patch(&'a [u8]),
}

/// A durable new version.
#[derive(Debug)]
pub struct Written {
    /// Its number.
    pub version: u64,
    /// When it was written.
    pub created: Timestamp,
    /// What operators note of the secret.
    pub custom_metadata: BTreeMap<String, String>,
}

/// Writes a new version, and forgets the oldest beyond those that are kept. The audit record is in the same commit.
///
/// # Errors
/// Not an object, too large, the check-and-set fails, a patch without a current value, or not durable.
pub async fn write(
    store: &Store,
    permitted: &MayWrite,
    new: &NewVersion<'_>,
    draft: &Draft,
) -> Result<Written, KvError> {
    let (path, now) = (permitted.path(), draft.time());
    if let Content::Whole(text) = new.content {
        let _fields = Fields::parse(text)?;
    }
    let key = meta_key(path)?;
    for _ in 0..ATTEMPTS {
        let transaction = Transaction::new(now);
        let (mut metadata, mut transaction) = match stored(store, path)? {
            None => (Metadata::new(now), transaction.require_absent(key.clone())),
            Some((metadata, entry)) => (metadata, transaction.require(key.clone(), entry.version)),
        };
        match new.check_and_set {
            None if metadata.cas_required => return Err(KvError::CheckAndSetRequired),
            Some(known) if known != metadata.current_version => return Err(KvError::CheckAndSet),
            None | Some(_) => {}
        }
        let value = match new.content {
            Content::Whole(text) => Value::copied(text).map_err(|_| KvError::TooLarge)?,
            Content::Patch(patch) => {
                let current = metadata.versions.get(&metadata.current_version);
                if !current.is_some_and(VersionState::readable) {
                    return Err(KvError::NotFound);
                }
                let current = value_key(path, metadata.current_version)?;
                let current = store.entry(&current).ok_or(KvError::Damaged)?;
                let merged = merge_patch(current.value.expose_secret(), patch)?;
                Value::copied(&merged).map_err(|_| KvError::TooLarge)?
            }
        };
        let version = metadata.current_version.checked_add(1).ok_or(KvError::Damaged)?;
        metadata.current_version = version;
        metadata.updated = now;
        metadata
            .versions
            .insert(version, VersionState { created: now, deleted: None, destroyed: false });
        let oldest = version.saturating_sub(metadata.kept()).saturating_add(1);
        let kept = metadata.versions.split_off(&oldest);
        for forgotten in std::mem::replace(&mut metadata.versions, kept).into_keys() {
            transaction = transaction.delete(value_key(path, forgotten)?);
        }
        let transaction = transaction
            .put(value_key(path, version)?, value)
            .put(key.clone(), metadata.to_value()?)
            .audit(draft.granted()?);
        match store.commit(transaction).await {
            Ok(_) => {
                let custom_metadata = metadata.custom_metadata;
                return Ok(Written { version, created: now, custom_metadata });
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(KvError::Busy)
}
