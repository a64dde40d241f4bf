//! New keys while the store is in use.

use tokio::sync::oneshot;

use super::Store;
use crate::{
    ChangeError, CommitError, Head, KeyId, RecoverySet, RootKey, ShareSet,
    writer::{Command, Request},
};

/// A new root key, whose shares are stored and have been read back.
pub struct Rekey {
    /// The new root key.
    pub root: RootKey,
    /// The generation of the shares: one more than that in force.
    pub generation: u32,
    /// The wrapped automatic shares.
    pub shares: ShareSet,
    /// The recovery shares.
    pub recovery: RecoverySet,
}

impl Store {
    /// Makes a new barrier key; everything later is sealed under it. Other servers follow by themselves. Stopped anywhere, either the old key or the new one is
    /// in force.
    pub async fn rotate(&self) -> Result<KeyId, ChangeError> {
        self.change(Request::Rotate).await?;
        Ok(self.key())
    }

    /// Puts a new root key in force, and with it a new barrier key: whoever has only the old root key opens what was written before and nothing later.
    ///
    /// Other servers stop writing with [`CommitError::Rekeyed`] as soon as they see it, and open the store again with the new shares. Stopped anywhere, either the
    /// old shares or the new ones open the store; [`crate::read_headers`] names both.
    pub async fn rekey(&self, rekey: Rekey) -> Result<Head, ChangeError> {
        self.change(Request::Rekey(rekey)).await
    }

    /// The barrier key that new commits are sealed under.
    pub fn key(&self) -> KeyId {
        // A keyring is never empty.
        self.shared.keys().keyring.newest().map_or(KeyId(0), |(id, _)| id)
    }

    pub(super) async fn change(&self, request: Request) -> Result<Head, ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Change { request: Box::new(request), reply })
            .await
            .map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }
}
