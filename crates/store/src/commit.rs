//! One commit as an object: a clear header and a sealed body.
//!
//! Layout, version 1, all integers big-endian:
//!
//! | offset | length | what |
//! |---|---|---|
//! | 0 | 8 | `vouchlog` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | zero |
//! | 12 | 4 | id of the barrier key |
//! | 16 | 8 | n |
//! | 24 | 32 | SHA-256 of the whole previous object; zeros for n = 1 |
//! | 56 | 32 | salt of this attempt |
//! | 88 | 4 | length c of the clear part |
//! | 92 | 4 | length s of the sealed part |
//! | 96 | c | clear part: in commit 1 the first header as JSON, else empty |
//! | 96+c | s | sealed part: AES-256-GCM over the body, with its tag; nothing follows |
//!
//! The key is HKDF-SHA256(barrier key, salt). Associated data is the store's identity and everything before the sealed part. So a commit opens only
//! in its store, at its place, behind its predecessor.

use aws_lc_rs::rand::SecureRandom;
use bytes::Bytes;

use crate::{
    Damage, Hash, Head, IdentityId, KeyId,
    body::{self, Body, Content},
    keyring::Keyring,
    log::FORGOTTEN,
    seal::{self, Purpose, Salt, SealError},
    wire::Reader,
};

/// What a new commit is made of.
pub(crate) struct Draft<'a> {
    pub(crate) identity: IdentityId,
    /// What it follows; `n` = 0 and no hash before commit 1.
    pub(crate) after: Head,
    pub(crate) clear: &'a [u8],
    pub(crate) content: Content<'a>,
}

impl Draft<'_> {
    /// Seals one attempt. The bytes are final: they are sent, and sent again, as they are.
    pub(crate) fn seal(
        &self,
        keyring: &Keyring,
        rng: &dyn SecureRandom,
    ) -> Result<Bytes, SealError> {
        let (id, key) = keyring.newest().ok_or(SealError::Cipher)?;
        let salt = Salt::fresh(rng)?;
        let mut text = Vec::new();
        body::write(&mut text, self.content)?;
        let text = zeroize::Zeroizing::new(text);
        let length = |size: usize| u32::try_from(size).map_err(|_| SealError::TooLarge);
        let (clear_length, sealed_length) =
            (length(self.clear.len())?, length(text.len() + seal::TAG_LENGTH)?);

        let start = HEADER_LENGTH + self.clear.len();
        let mut object = Vec::with_capacity(start + text.len() + seal::TAG_LENGTH);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&FORMAT.to_be_bytes());
        object.extend_from_slice(&0_u16.to_be_bytes());
        object.extend_from_slice(&id.0.to_be_bytes());
        object.extend_from_slice(&self.after.n.saturating_add(1).to_be_bytes());
        object.extend_from_slice(self.after.hash.as_bytes());
        object.extend_from_slice(&salt.0);
        object.extend_from_slice(&clear_length.to_be_bytes());
        object.extend_from_slice(&sealed_length.to_be_bytes());
        object.extend_from_slice(self.clear);
        let aad = associated(self.identity, &object);
        object.extend_from_slice(&text);
        seal::seal(key.secret(), salt, Purpose::Commit, &aad, &mut object, start)?;
        Ok(object.into())
    }
}

/// A commit whose form is right. Nothing in it is authentic before it is opened.
pub(crate) struct Sealed<'a> {
    object: &'a [u8],
    pub(crate) n: u64,
    pub(crate) previous: Hash,
    pub(crate) key: KeyId,
    salt: Salt,
    pub(crate) clear: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads the form of the object that is stored as commit `n`.
    pub(crate) fn parse(n: u64, object: &'a [u8]) -> Result<Self, Damage> {
        let short = |_| Damage::Truncated { n };
        let mut reader = Reader::new(object);
        if object == FORGOTTEN {
            return Err(Damage::Forgotten { n });
        }
        if reader.array::<8>().map_err(short)? != MAGIC {
            return Err(Damage::NotACommit { n });
        }
        let version = reader.u16().map_err(short)?;
        if version != FORMAT {
            return Err(Damage::UnknownFormat { n, version });
        }
        if reader.u16().map_err(short)? != 0 {
            return Err(Damage::NotACommit { n });
        }
        let key = KeyId(reader.u32().map_err(short)?);
        let found = reader.u64().map_err(short)?;
        let previous = Hash::new(*reader.array().map_err(short)?);
        let salt = Salt(*reader.array().map_err(short)?);
        let clear_length =
            usize::try_from(reader.u32().map_err(short)?).map_err(|_| Damage::NotACommit { n })?;
        let sealed_length =
            usize::try_from(reader.u32().map_err(short)?).map_err(|_| Damage::NotACommit { n })?;
        let clear = reader.take(clear_length).map_err(short)?;
        let sealed = reader.take(sealed_length).map_err(short)?;
        if !reader.is_empty() {
            return Err(Damage::TrailingBytes { n });
        }
        if found != n {
            return Err(Damage::WrongPlace { n, found });
        }
        Ok(Self { object, n, previous, key, salt, clear, sealed })
    }

    /// Opens the commit as the one that follows `after`, in the order: place in the chain, key in force, seal, form of the body. Whoever holds an older key does not get
    /// past the second.
    pub(crate) fn open(
        &self,
        identity: IdentityId,
        after: Head,
        (keyring, in_force): (&Keyring, KeyId),
    ) -> Result<Opened, Damage> {
        let n = self.n;
        if self.previous != after.hash {
            return Err(Damage::BrokenChain { n, expected: after.hash, found: self.previous });
        }
        if n != 1 && !self.clear.is_empty() {
            return Err(Damage::NotACommit { n });
        }
        if self.key != in_force {
            return Err(Damage::KeyNotInForce { n, key: self.key, in_force });
        }
        let key = keyring.key(self.key).ok_or(Damage::UnknownKey { n, key: self.key })?;
        let start = HEADER_LENGTH + self.clear.len();
        let header = self.object.get(..start).ok_or(Damage::Truncated { n })?;
        let text = seal::open(
            key.secret(),
            self.salt,
            Purpose::Commit,
            &associated(identity, header),
            self.sealed,
        )
        .map_err(|_| Damage::NotOurs { n })?;
        let body =
            body::parse(&text).map_err(|fault| Damage::MalformedBody { n, what: fault.0 })?;
        if (n == 1) != body.identity.is_some() {
            return Err(Damage::MalformedBody {
                n,
                what: "an identity key is in commit 1 and nowhere else",
            });
        }
        Ok(Opened { head: Head { n, hash: Hash::of(self.object) }, body })
    }
}

/// The key that an object says it is sealed under, if it has the form of a commit.
pub(crate) fn key_of(object: &[u8]) -> Option<KeyId> {
    let mut reader = Reader::new(object);
    let magic = reader.array::<8>().ok()?;
    let (format, _zero, key) = (reader.u16().ok()?, reader.u16().ok()?, reader.u32().ok()?);
    (magic == MAGIC && format == FORMAT).then_some(KeyId(key))
}

/// A commit that is authentic and in its place.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) body: Body,
}

fn associated(identity: IdentityId, header: &[u8]) -> Vec<u8> {
    [identity.as_bytes().as_slice(), header].concat()
}

const MAGIC: &[u8; 8] = b"vouchlog";
const FORMAT: u16 = 1;
const HEADER_LENGTH: usize = 96;
const _: () = assert!(
    8 + 2 + 2 + 4 + 8 + 32 + seal::SALT_LENGTH + 4 + 4 == HEADER_LENGTH,
    "the layout above"
);

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use proptest::prelude::*;

    use super::*;
    use crate::IdentityKey;

    /// Seals a draft and opens it as the commit that it is.
    fn check(draft: &Draft<'_>) -> Result<Opened, Damage> {
        let keyring = Keyring::generate(&SystemRandom::new()).unwrap();
        let object = draft.seal(&keyring, &SystemRandom::new()).unwrap();
        Sealed::parse(draft.after.n + 1, &object)?.open(
            draft.identity,
            draft.after,
            (&keyring, KeyId::FIRST),
        )
    }

    fn content(identity: Option<&IdentityKey>) -> Content<'_> {
        Content { identity, transactions: &[], change: None }
    }

    fn draft(key: &IdentityKey, n: u64) -> Draft<'_> {
        Draft {
            identity: key.public().id(),
            after: Head { n: n - 1, hash: Hash::NONE },
            clear: &[],
            content: content((n == 1).then_some(key)),
        }
    }

    #[test]
    fn the_identity_key_is_in_the_first_commit_and_nowhere_else() {
        let key = IdentityKey::generate().unwrap();
        assert!(check(&draft(&key, 1)).is_ok());
        assert!(check(&draft(&key, 2)).is_ok());
        let without = Draft { content: content(None), ..draft(&key, 1) };
        assert!(matches!(check(&without), Err(Damage::MalformedBody { n: 1, .. })));
        let with = Draft { content: content(Some(&key)), ..draft(&key, 2) };
        assert!(matches!(check(&with), Err(Damage::MalformedBody { n: 2, .. })));
    }

    #[test]
    fn only_the_first_commit_has_a_clear_part() {
        let key = IdentityKey::generate().unwrap();
        assert!(check(&Draft { clear: b"header", ..draft(&key, 1) }).is_ok());
        let later = Draft { clear: b"header", ..draft(&key, 2) };
        assert_eq!(check(&later).err(), Some(Damage::NotACommit { n: 2 }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, n: u64, ours: bool) {
            if ours {
                bytes.splice(0..0, [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &[0, 0]].concat());
            }
            prop_assert!(Sealed::parse(n, &bytes).is_err());
            let _body = body::parse(&bytes);
            let _header = crate::first::FirstHeader::parse(&bytes);
        }
    }
}
