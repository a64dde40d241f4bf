//! The key-value engine, version 2, on the mount `secret`: what Vault documents, over our store.
//!
//! A secret is its metadata, `kv/secret/meta/PATH`, and one value for each kept version, `kv/secret/data/PATH/N`: the
//! JSON object as the writer sent it, never taken apart except where a field of it is delivered.
//! Every write takes a proof that the manifest permits it, and commits its audit record with itself.
//! Values are read for a caller in one place only, which is not here: `grant/release.rs`.

mod change;
mod json;
mod list;
mod meta;
mod write;

pub use change::{delete_all, delete_versions, destroy_versions, undelete_versions};
pub use json::{Fields, merge_patch};
pub use list::list;
pub use meta::{Metadata, Settings, VersionState, set_metadata};
pub use write::{Content, NewVersion, Written, write};

use manifest::SecretPath;
use store::{CommitError, Entry, Key, Store, Value};

use crate::audit::AuditError;

/// Where the engine is mounted.
pub const MOUNT: &str = "secret";

/// The metadata of a secret.
///
/// # Errors
/// It is not readable.
pub(crate) fn metadata(store: &Store, path: &SecretPath) -> Result<Option<Metadata>, KvError> {
    Ok(stored(store, path)?.map(|(metadata, _)| metadata))
}

fn stored(store: &Store, path: &SecretPath) -> Result<Option<(Metadata, Entry)>, KvError> {
    match store.entry(&meta_key(path)?) {
        None => Ok(None),
        Some(entry) => Ok(Some((Metadata::parse(entry.value.expose_secret())?, entry))),
    }
}

pub(crate) fn value_key(path: &SecretPath, version: u64) -> Result<Key, KvError> {
    Key::parse(&format!("kv/{MOUNT}/data/{path}/{version}")).map_err(|_| KvError::Damaged)
}

fn meta_key(path: &SecretPath) -> Result<Key, KvError> {
    Key::parse(&format!("{META}{path}")).map_err(|_| KvError::Damaged)
}

fn value_of(bytes: Vec<u8>) -> Result<Value, KvError> {
    Value::new(bytes).map_err(|_| KvError::TooLarge)
}

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The request says something that is not one.
    #[error("{0}")]
    Malformed(&'static str),
    /// The secret is at another version than the writer thinks.
    #[error("check-and-set parameter did not match the current version")]
    CheckAndSet,
    /// The secret demands that writers say which version they know.
    #[error("check-and-set parameter required for this call")]
    CheckAndSetRequired,
    /// No such secret, or no such version.
    #[error("no such secret")]
    NotFound,
    /// More than one value may have.
    #[error("the value is too large")]
    TooLarge,
    /// What is stored is not what we wrote.
    #[error("the stored secret is not readable")]
    Damaged,
    /// Others keep changing it.
    #[error("the secret is changed by others all the time")]
    Busy,
    /// The audit record does not fit.
    #[error("audit")]
    Audit(#[from] AuditError),
    /// The store did not take it.
    #[error("writing the secret")]
    Store(#[from] CommitError),
}

const META: &str = "kv/secret/meta/";
/// How often a change is tried again when somebody else was faster.
const ATTEMPTS: usize = 16;
