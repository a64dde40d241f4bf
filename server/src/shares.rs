//! What birth and rekey do alike: wrapped automatic shares into the vault, recovery shares to their holders.

use aws_lc_rs::rand::SystemRandom;
use manifest::Manifest;
use protocol::share::ShareId;
use secrecy::{ExposeSecret as _, SecretString};
use store::{Hash, Recipient, RecoveryError, RootKey, Share, ShareRef, SplitError};

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

/// Recovery shares, as many as the manifest names holders, and the holders in the same order.
pub(crate) struct Dealt {
    pub(crate) threshold: u8,
    pub(crate) shares: Vec<Share>,
    pub(crate) holders: Vec<Recipient>,
}

/// Splits a root key for the manifest's holders. Without holders there is nothing to split.
pub(crate) fn deal(
    root: &RootKey,
    manifest: &Manifest,
    rng: &SystemRandom,
) -> Result<Dealt, DealError> {
    let recovery = manifest.recovery();
    let holders = recovery
        .holder
        .values()
        .map(|holder| holder.as_str().parse())
        .collect::<Result<Vec<_>, _>>()?;
    let count = u8::try_from(holders.len()).map_err(|_| DealError::Holders)?;
    let shares = root.split(recovery.threshold, count, rng)?;
    Ok(Dealt { threshold: recovery.threshold, shares, holders })
}

/// Why a root key is not split for the holders.
#[derive(Debug, thiserror::Error)]
pub enum DealError {
    /// What the manifest names as a holder is no recipient.
    #[error("a holder of a recovery share")]
    Recipient(#[from] RecoveryError),
    /// More holders than shares can be made.
    #[error("more holders of recovery shares than shares can be made")]
    Holders,
    /// The root key cannot be split as the manifest says.
    #[error("splitting the root key")]
    Split(#[from] SplitError),
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
