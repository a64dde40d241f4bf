//! Deleting, undeleting and destroying.

use std::collections::BTreeSet;

use store::{CommitError, Store, Transaction};

use super::meta::Metadata;
use super::{ATTEMPTS, KvError, meta_key, stored, value_key};
use crate::audit::Draft;
use crate::grant::{MayDelete, MayWrite};
use manifest::SecretPath;

/// Marks versions as deleted; the newest, if none is named. Their values stay until they are destroyed.
///
/// # Errors
/// Not durable.
pub async fn delete_versions(
    store: &Store,
    permitted: &MayDelete,
    versions: Option<&BTreeSet<u64>>,
    draft: &Draft,
) -> Result<(), KvError> {
    change(store, permitted.path(), draft, |metadata, transaction| {
        let newest = BTreeSet::from([metadata.current_version]);
        for version in versions.unwrap_or(&newest) {
            if let Some(state) = metadata.versions.get_mut(version)
                && state.readable()
            {
                state.deleted = Some(draft.time());
            }
        }
        Ok(transaction)
    })
    .await
}

/// Takes deletions back, where the value is still there.
///
/// # Errors
/// Not durable.
pub async fn undelete_versions(
    store: &Store,
    permitted: &MayWrite,
    versions: &BTreeSet<u64>,
    draft: &Draft,
) -> Result<(), KvError> {
    change(store, permitted.path(), draft, |metadata, transaction| {
        for version in versions {
            if let Some(state) = metadata.versions.get_mut(version)
                && !state.destroyed
            {
                state.deleted = None;
            }
        }
        Ok(transaction)
    })
    .await
}

/// Removes values for ever; that they existed stays known.
///
/// # Errors
/// Not durable.
pub async fn destroy_versions(
    store: &Store,
    permitted: &MayDelete,
    versions: &BTreeSet<u64>,
    draft: &Draft,
) -> Result<(), KvError> {
    change(store, permitted.path(), draft, |metadata, mut transaction| {
        for version in versions {
            if let Some(state) = metadata.versions.get_mut(version) {
                state.destroyed = true;
                transaction = transaction.delete(value_key(permitted.path(), *version)?);
            }
        }
        Ok(transaction)
    })
    .await
}

/// Removes a secret with all its versions and metadata.
///
/// # Errors
/// Not durable.
pub async fn delete_all(
    store: &Store,
    permitted: &MayDelete,
    draft: &Draft,
) -> Result<(), KvError> {
    let path = permitted.path();
    for _ in 0..ATTEMPTS {
        let mut transaction = Transaction::new(draft.time()).audit(draft.granted()?);
        if let Some((metadata, entry)) = stored(store, path)? {
            let key = meta_key(path)?;
            transaction = transaction.require(key.clone(), entry.version).delete(key);
            for version in metadata.versions.keys() {
                transaction = transaction.delete(value_key(path, *version)?);
            }
        }
        match store.commit(transaction).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(KvError::Busy)
}

/// Changes the metadata of a secret that may be there, with the audit record in the same commit.
async fn change(
    store: &Store,
    path: &SecretPath,
    draft: &Draft,
    mut edit: impl FnMut(&mut Metadata, Transaction) -> Result<Transaction, KvError>,
) -> Result<(), KvError> {
    for _ in 0..ATTEMPTS {
        let mut transaction = Transaction::new(draft.time()).audit(draft.granted()?);
        if let Some((mut metadata, entry)) = stored(store, path)? {
            let key = meta_key(path)?;
            transaction = edit(&mut metadata, transaction.require(key.clone(), entry.version))?;
            metadata.updated = draft.time();
            transaction = transaction.put(key, metadata.to_value()?);
        }
        match store.commit(transaction).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(KvError::Busy)
}
