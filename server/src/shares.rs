//! Storing wrapped automatic shares in the vault, at birth and at a rekey.

use protocol::share::ShareId;
use secrecy::{ExposeSecret as _, SecretString};
use store::{Hash, ShareRef};

use crate::vault::{Vault, VaultError};

/// Stores a wrapped share under its name and reads it back. It counts for nothing until a commit names it.
pub(crate) async fn put(
    vault: &Vault,
    id: &ShareId<'_>,
    wrapped: String,
) -> Result<ShareRef, PutError> {
    let name = id.secret_name();
    let wrapped = SecretString::from(wrapped);
    let version = vault.put(&name, &wrapped).await?;
    let kept = vault.exact(&name, &version).await?;
    if kept.expose_secret() != wrapped.expose_secret() {
        return Err(PutError::ReadBack { name });
    }
    let sha256 = Hash::of(wrapped.expose_secret().as_bytes());
    Ok(ShareRef { name, version, sha256 })
}

/// Why a share is not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It cannot be stored or read back.
    #[error("storing a share")]
    Vault(#[from] VaultError),
    /// The vault keeps something else than what was stored.
    #[error("share {name} does not read back as it was stored")]
    ReadBack {
        /// The secret's name.
        name: String,
    },
}
