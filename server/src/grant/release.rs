//! The only place where values are read for a caller.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manifest::SecretPath;
use protocol::grant::SecretText;
use serde_json::value::RawValue;
use store::{CommitError, Store, Transaction, Value};
use zeroize::Zeroizing;

use super::decide::{Grant, Portion, Read, Which};
use crate::audit::{AuditError, Draft};
use crate::kv::{self, Fields, KvError, VersionState};
use crate::tokens::{About, TokenError};

/// What a grant gave; its audit record is durable.
pub struct Released {
    /// The secrets, by path.
    pub secrets: BTreeMap<SecretPath, Secret>,
    /// The new token.
    pub token: Option<(SecretText, About)>,
}

/// One version of a secret.
pub struct Secret {
    /// Its number.
    pub version: u64,
    /// When it was written, deleted or destroyed.
    pub state: VersionState,
    /// What operators note of the secret.
    pub custom_metadata: BTreeMap<String, String>,
    /// The value.
    pub content: SecretContent,
}

/// What there is to deliver.
pub enum SecretContent {
    /// The object, as it was written.
    Whole(Value),
    /// One field of it, as JSON.
    Field {
        /// Its name.
        name: String,
        /// Its value's JSON text.
        json: SecretText,
    },
    /// Deleted or destroyed: only the metadata are left.
    Gone,
}

/// Reads what was granted and hands it over, in this order:
///
/// 1. the values are read from the state, which nobody but this function has seen yet;
/// 2. the record of the grant is committed, with the new token if there is one;
/// 3. they are returned.
///
/// # Errors
/// A secret does not exist, or the record is not durable; then nothing leaves.
pub async fn release(store: &Store, grant: Grant, draft: &Draft) -> Result<Released, ReleaseError> {
    let mut secrets = BTreeMap::new();
    for (path, read) in &grant.reads {
        let secret = secret(store, path, read)?;
        if grant.token.is_some() && matches!(secret.content, SecretContent::Gone) {
            return Err(ReleaseError::Gone { path: path.clone() });
        }
        secrets.insert(path.clone(), secret);
    }
    let transaction = Transaction::new(draft.time()).audit(draft.granted()?);
    store.commit(grant.transaction(transaction)?).await?;
    Ok(Released { secrets, token: grant.token.map(crate::tokens::NewToken::into_parts) })
}

fn secret(store: &Store, path: &SecretPath, read: &Read) -> Result<Secret, ReleaseError> {
    let absent = || ReleaseError::Absent { path: path.clone() };
    let metadata = kv::metadata(store, path)?.ok_or_else(absent)?;
    let version = match read.which {
        Which::Current => metadata.current_version,
        Which::Version(version) => version,
    };
    let state = metadata.versions.get(&version).ok_or_else(absent)?.clone();
    let custom_metadata = metadata.custom_metadata;
    let content = if state.readable() {
        let entry = store.entry(&kv::value_key(path, version)?).ok_or(KvError::Damaged)?;
        match &read.portion {
            Portion::Whole => SecretContent::Whole(entry.value),
            Portion::Field(name) => {
                let fields = Fields::parse(entry.value.expose_secret())?;
                let json = fields.get(name.as_str()).map(RawValue::get);
                let json = json.ok_or_else(|| ReleaseError::NoField { path: path.clone() })?;
                let json = SecretText::new(Zeroizing::new(json.to_owned()));
                SecretContent::Field { name: name.as_str().to_owned(), json }
            }
        }
    } else {
        SecretContent::Gone
    };
    Ok(Secret { version, state, custom_metadata, content })
}

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There is no such secret, or no such version.
    #[error("there is no {path}, or not in this version")]
    Absent {
        /// What was asked for.
        path: SecretPath,
    },
    /// It is deleted, and a new token would go out without it.
    #[error("{path} is deleted")]
    Gone {
        /// What was asked for.
        path: SecretPath,
    },
    /// The secret has not the field that is delivered.
    #[error("{path} has not the field that is delivered")]
    NoField {
        /// What was asked for.
        path: SecretPath,
    },
    /// It is not readable.
    #[error("reading the secret")]
    Kv(#[from] KvError),
    /// The audit record does not fit.
    #[error("audit")]
    Audit(#[from] AuditError),
    /// The token cannot be written.
    #[error("making the token")]
    Token(#[from] TokenError),
    /// The record is not durable, so nothing leaves.
    #[error("committing the record of the grant")]
    Store(#[from] CommitError),
}

impl Secret {
    /// When the version was deleted, as Vault says it.
    #[must_use]
    pub fn deletion_time(&self) -> Option<Timestamp> {
        self.state.deleted
    }
}
