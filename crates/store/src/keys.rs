//! The keys of an open store: the root key, and the keyring of the header in force.

use crate::{
    Damage, FirstHeader, HeaderRef, IdentityId, RootKey, StorageError, keyring::Keyring, log::Log,
};

/// What a process seals and opens with. Replaced as a whole when a commit names a new header.
pub(crate) struct Keys {
    pub(crate) root: RootKey,
    pub(crate) keyring: Keyring,
    pub(crate) header: FirstHeader,
    pub(crate) reference: HeaderRef,
}

impl Keys {
    /// The keys of a header, if the root key is the one that it is about and the newest key is the one that its place brings.
    pub(crate) fn open(header: FirstHeader, reference: HeaderRef, root: &RootKey) -> Option<Self> {
        let id = header.identity().id();
        let keyring = Keyring::open(header.keyring(), root, id, header.generation()).ok()?;
        let newest = keyring.newest()?.0 == reference.key();
        newest.then(|| Self { root: root.copy(), keyring, header, reference })
    }

    /// The keys of another header of the same store that a commit names.
    pub(crate) async fn follow(
        &self,
        log: &Log,
        first: &FirstHeader,
        reference: HeaderRef,
    ) -> Result<Self, Unfollowed> {
        if reference.generation != self.reference.generation {
            return Err(Unfollowed::Rekeyed(reference.generation));
        }
        let header = if reference == HeaderRef::FIRST {
            first.clone()
        } else {
            let path = reference.path();
            let object = log.read_object(&path).await.map_err(Unfollowed::Unavailable)?;
            let object = object.ok_or(Damage::MissingHeader { object: path.to_string() })?;
            FirstHeader::stored(reference, &object)?
        };
        if header.identity() != first.identity() {
            let what = "it is of another store".into();
            return Err(Damage::Header { object: reference.path().to_string(), what }.into());
        }
        // Its bytes are those that a commit names, so the root key is another one.
        Self::open(header, reference, &self.root).ok_or(Unfollowed::OtherRoot(reference))
    }

    /// For a second attempt at reading a store.
    pub(crate) fn copy(&self) -> Self {
        Self {
            root: self.root.copy(),
            keyring: self.keyring.copy(),
            header: self.header.clone(),
            reference: self.reference,
        }
    }

    pub(crate) fn identity(&self) -> IdentityId {
        self.header.identity().id()
    }
}

/// Why a header could not be followed.
#[derive(Debug)]
pub(crate) enum Unfollowed {
    Damaged(Damage),
    Unavailable(StorageError),
    /// To a root key of this generation, which is not here.
    Rekeyed(u32),
    /// This header is about another root key of the same generation: ours is that of a rekey that was stopped.
    OtherRoot(HeaderRef),
}

impl From<Damage> for Unfollowed {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}
