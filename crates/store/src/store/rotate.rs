//! New keys while the store is in use.

use tokio::sync::oneshot;

use super::Store;
use crate::{
    ChangeError, CommitError, Damage, FirstHeader, Head, KeyId, RecoverySet, RootKey, ShareSet,
    first::NextError,
    keys::Keys,
    log::Sent,
    state::State,
    writer::{Command, Prepared, Request},
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
    /// Makes a new barrier key; everything later is sealed under it, and whoever holds only older keys adds nothing that counts. Other servers follow by themselves.
    /// Raise the anchor afterwards: until then a holder of the old key who writes the storage can put another history in the place of the rotation.
    ///
    /// Stopped anywhere, either the old key or the new one is in force.
    pub async fn rotate(&self) -> Result<KeyId, ChangeError> {
        self.renew(None).await?;
        Ok(self.key())
    }

    /// Puts a new root key in force, and with it a new barrier key: whoever has only the old root key opens what was written before and nothing later.
    ///
    /// Other servers stop writing with [`CommitError::Rekeyed`] as soon as they see it, and open the store again with the new shares. Stopped anywhere, either the
    /// old shares or the new ones open the store; [`crate::read_headers`] names both.
    pub async fn rekey(&self, rekey: Rekey) -> Result<Head, ChangeError> {
        self.renew(Some(&rekey)).await
    }

    /// The barrier key that new commits are sealed under.
    pub fn key(&self) -> KeyId {
        // A keyring is never empty.
        self.shared.keys().keyring.newest().map_or(KeyId(0), |(id, _)| id)
    }

    async fn renew(&self, rekey: Option<&Rekey>) -> Result<Head, ChangeError> {
        loop {
            self.refresh().await?;
            let prepared = self.prepare(rekey).await?;
            match self.change(Request::Header(Box::new(prepared))).await {
                Err(ChangeError::Superseded) => {}
                done => return done,
            }
        }
    }

    /// Everything that has to be there before a commit names a new header, in the order: the header, stored and read back; where the log is compacted, two snapshots
    /// under the new key, since those under the old one count no longer. Without that commit none of it counts.
    pub(super) async fn prepare(&self, rekey: Option<&Rekey>) -> Result<Prepared, ChangeError> {
        let (keys, log, rng) = (self.shared.keys(), &self.shared.log, &*self.shared.rng);
        let current = keys.reference.generation;
        if rekey.is_some_and(|rekey| rekey.generation != current.saturating_add(1)) {
            return Err(ChangeError::OtherGeneration { current });
        }
        let root = rekey.map_or(&keys.root, |rekey| &rekey.root);
        let keyring = keys.keyring.with_new_key(rng).map_err(CommitError::Seal)?;
        let sets = rekey.map(|rekey| (&rekey.shares, &rekey.recovery));
        let (header, reference, bytes) =
            keys.header.next((&keyring, root), sets, rng).map_err(|fault| match fault {
                NextError::Seal(fault) => ChangeError::Commit(CommitError::Seal(fault)),
                NextError::Malformed(fault) => ChangeError::Malformed(fault.0),
            })?;
        let path = reference.path();
        if let Sent::InDoubt(fault) = log.create(&path, &bytes).await {
            return Err(ChangeError::Header(fault));
        }
        let kept = log.read_object(&path).await.map_err(ChangeError::Header)?;
        let kept = kept.ok_or(Damage::MissingHeader { object: path.to_string() });
        kept.and_then(|kept| FirstHeader::stored(reference, &kept))
            .map_err(|damage| ChangeError::Commit(CommitError::Damaged(damage)))?;

        let new = Keys { root: root.copy(), keyring, header, reference };
        let mut saved = None;
        if self.shared.read_state(State::floor) > 1 {
            let first = self.save_under(&new).await?;
            self.save_under(&new).await?;
            saved = Some(first.n);
        }
        Ok(Prepared { keys: new, after: keys.reference, saved })
    }

    pub(super) async fn change(&self, request: Request) -> Result<Head, ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Change { request, reply })
            .await
            .map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }
}
