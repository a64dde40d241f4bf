//! The barrier keys, under which commits are sealed, and their keyring, sealed under the root key.
//!
//! Ids are small numbers and public. The newest key seals; older ones only open.

use std::collections::BTreeMap;

use aws_lc_rs::{hmac, rand::SecureRandom};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    IdentityId, RootKey,
    seal::{self, Purpose, RandomnessUnavailable, SALT_LENGTH, Salt, SealError, TAG_LENGTH},
    wire::Reader,
};

/// The public number of a barrier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(pub(crate) u32);

impl KeyId {
    /// The key of birth.
    pub(crate) const FIRST: Self = Self(1);

    /// Counts the store's keys from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One barrier key.
pub(crate) struct BarrierKey(SecretBox<[u8; 32]>);

impl BarrierKey {
    pub(crate) fn secret(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }

    fn copy(&self) -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(self.secret())))
    }

    /// The key that authenticates the freshness anchor.
    pub(crate) fn anchor_key(&self) -> Result<hmac::Key, SealError> {
        let key = seal::derive(self.secret(), Purpose::Anchor)?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
    }
}

/// All barrier keys of a store; never empty.
pub(crate) struct Keyring {
    newest: KeyId,
    keys: BTreeMap<KeyId, BarrierKey>,
}

impl Keyring {
    /// The keyring of a store that is about to be born: one key.
    pub(crate) fn generate(rng: &dyn SecureRandom) -> Result<Self, RandomnessUnavailable> {
        let mut key = SecretBox::<[u8; 32]>::default();
        rng.fill(key.expose_secret_mut()).map_err(|_| RandomnessUnavailable)?;
        Ok(Self { newest: KeyId::FIRST, keys: BTreeMap::from([(KeyId::FIRST, BarrierKey(key))]) })
    }

    /// One that nobody uses.
    pub(crate) fn example() -> Self {
        let key = BarrierKey(SecretBox::default());
        Self { newest: KeyId::FIRST, keys: BTreeMap::from([(KeyId::FIRST, key)]) }
    }

    /// The same keys.
    pub(crate) fn copy(&self) -> Self {
        let keys = self.keys.iter().map(|(id, key)| (*id, key.copy())).collect();
        Self { newest: self.newest, keys }
    }

    /// The same keys and a new one, which is the newest.
    pub(crate) fn with_new_key(&self, rng: &dyn SecureRandom) -> Result<Self, SealError> {
        let mut key = SecretBox::<[u8; 32]>::default();
        rng.fill(key.expose_secret_mut()).map_err(|_| RandomnessUnavailable)?;
        let newest = KeyId(self.newest.0.checked_add(1).ok_or(SealError::TooLarge)?);
        let mut next = Self { newest, ..self.copy() };
        next.keys.insert(newest, BarrierKey(key));
        Ok(next)
    }

    pub(crate) fn newest(&self) -> Option<(KeyId, &BarrierKey)> {
        Some((self.newest, self.keys.get(&self.newest)?))
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<&BarrierKey> {
        self.keys.get(&id)
    }

    /// Seals the keyring under the root key, for this store and this generation of root key.
    ///
    /// Layout, version 1: version (1), salt (32), then sealed: for each key its id (4) and the key (32), oldest first. Keyrings are not padded: the number
    /// of barrier keys is visible from the key ids anyway.
    pub(crate) fn seal(
        &self,
        root: &RootKey,
        identity: IdentityId,
        generation: u32,
        rng: &dyn SecureRandom,
    ) -> Result<Vec<u8>, SealError> {
        let salt = Salt::fresh(rng)?;
        let mut sealed = Vec::with_capacity(START + self.keys.len() * ENTRY_LENGTH + TAG_LENGTH);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&salt.0);
        for (id, key) in &self.keys {
            sealed.extend_from_slice(&id.0.to_be_bytes());
            sealed.extend_from_slice(key.secret());
        }
        seal::seal(
            root.secret(),
            salt,
            Purpose::Keyring,
            &associated(identity, generation),
            &mut sealed,
            START,
        )?;
        Ok(sealed)
    }

    /// Opens a sealed keyring. An error says nothing of why: another root key, another store and a changed byte look the same.
    pub(crate) fn open(
        sealed: &[u8],
        root: &RootKey,
        identity: IdentityId,
        generation: u32,
    ) -> Result<Self, Unopened> {
        let mut reader = Reader::new(sealed);
        if reader.u8().map_err(|_| Unopened)? != FORMAT {
            return Err(Unopened);
        }
        let salt = Salt(*reader.array().map_err(|_| Unopened)?);
        let text = seal::open(
            root.secret(),
            salt,
            Purpose::Keyring,
            &associated(identity, generation),
            reader.rest(),
        )
        .map_err(|_| Unopened)?;
        let mut reader = Reader::new(&text);
        let mut keys = BTreeMap::new();
        while !reader.is_empty() {
            let id = KeyId(reader.u32().map_err(|_| Unopened)?);
            let bytes = Zeroizing::new(*reader.array::<32>().map_err(|_| Unopened)?);
            let key = SecretBox::init_with_mut(|key: &mut [u8; 32]| {
                key.copy_from_slice(bytes.as_slice());
            });
            keys.insert(id, BarrierKey(key));
        }
        let newest = *keys.last_key_value().ok_or(Unopened)?.0;
        Ok(Self { newest, keys })
    }
}

fn associated(identity: IdentityId, generation: u32) -> Vec<u8> {
    [identity.as_bytes().as_slice(), &generation.to_be_bytes()].concat()
}

/// The keyring does not open.
#[derive(Debug)]
pub(crate) struct Unopened;

const FORMAT: u8 = 1;
const START: usize = 1 + SALT_LENGTH;
const ENTRY_LENGTH: usize = 4 + 32;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;
    use crate::IdentityKey;

    #[test]
    fn opens_only_under_its_root_key_for_its_store_and_generation() {
        let rng = SystemRandom::new();
        let (root, other) = (RootKey::generate(&rng).unwrap(), RootKey::generate(&rng).unwrap());
        let id = IdentityKey::generate().unwrap().public().id();
        let stranger = IdentityKey::generate().unwrap().public().id();
        let keyring = Keyring::generate(&rng).unwrap();
        let sealed = keyring.seal(&root, id, 1, &rng).unwrap();

        let opened = Keyring::open(&sealed, &root, id, 1).unwrap();
        assert_eq!(opened.newest().unwrap().1.secret(), keyring.newest().unwrap().1.secret());
        assert!(Keyring::open(&sealed, &other, id, 1).is_err());
        assert!(Keyring::open(&sealed, &root, stranger, 1).is_err());
        assert!(Keyring::open(&sealed, &root, id, 2).is_err());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(Keyring::open(&bad, &root, id, 1).is_err(), "byte {at}");
            assert!(Keyring::open(&sealed[..at], &root, id, 1).is_err(), "length {at}");
        }
    }
}
