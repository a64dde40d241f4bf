//! Snapshots that are stored, so that opening is fast: the state after one commit, in parts, each sealed.
//!
//! A snapshot is the folder `snapshot/<n>-<attempt>`: parts `1`, `2`, … and, written last, `index`. Without its index it counts for nothing. The index names the
//! commit and its hash, so that the log goes on where the snapshot ends, and every part by its hash. A snapshot saves reading and proves nothing that the log does not:
//! one that does not open is passed over, and so is one that the log does not follow.
//!
//! Layout of each object, version 2, all integers big-endian:
//!
//! | offset | length | what |
//! |---|---|---|
//! | 0 | 8 | `vouchsnp` |
//! | 8 | 2 | format version, 2 |
//! | 10 | 2 | zero |
//! | 12 | 4 | id of the barrier key |
//! | 16 | 8 | n |
//! | 24 | 16 | attempt: drawn for each snapshot |
//! | 40 | 4 | number of the part; 0 is the index |
//! | 44 | 32 | salt of this object |
//! | 76 | – | AES-256-GCM over the text, with its tag |
//!
//! The key is HKDF-SHA256(barrier key, salt); associated data is the store's identity and everything before the sealed text. The text is a 32-bit length, that many
//! bytes, and zeros up to a Padmé length. What the bytes are is said in `content`.

use aws_lc_rs::rand::SecureRandom;
use bytes::Bytes;
use object_store::path::Path;
use zeroize::Zeroizing;

use crate::{
    Damage, IdentityId, KeyId,
    body::padded,
    keyring::Keyring,
    seal::{self, Purpose, RandomnessUnavailable, SALT_LENGTH, Salt, SealError, TAG_LENGTH},
    wire::{Reader, put_sized},
};

mod content;

pub(crate) use content::{Loading, Part, Records, index, lists};

/// Names one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) n: u64,
    attempt: [u8; ATTEMPT_LENGTH],
}

impl Name {
    pub(crate) fn fresh(n: u64, rng: &dyn SecureRandom) -> Result<Self, RandomnessUnavailable> {
        let mut attempt = [0; ATTEMPT_LENGTH];
        rng.fill(&mut attempt).map_err(|_| RandomnessUnavailable)?;
        Ok(Self { n, attempt })
    }

    /// One that nobody stores.
    pub(crate) fn example() -> Self {
        Self { n: 9, attempt: [7; ATTEMPT_LENGTH] }
    }

    pub(crate) fn folder(&self) -> String {
        format!("{FOLDER}/{:020}-{}", self.n, hex::encode(self.attempt))
    }

    /// Where a part lies.
    pub(crate) fn part(&self, part: u32) -> Path {
        if part == INDEX {
            return Path::from(format!("{}/index", self.folder()));
        }
        Path::from(format!("{}/{part:06}", self.folder()))
    }

    /// The snapshot that an object belongs to, and whether it is its index.
    pub(crate) fn of(path: &Path) -> Option<(Self, bool)> {
        let rest = path.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (folder, object) = rest.split_once('/')?;
        let (n, attempt) = folder.split_once('-')?;
        let mut bytes = [0; ATTEMPT_LENGTH];
        hex::decode_to_slice(attempt, &mut bytes).ok()?;
        let name = Self { n: n.parse().ok()?, attempt: bytes };
        (name.folder() == format!("{FOLDER}/{folder}")).then_some((name, object == "index"))
    }

    pub(crate) fn damage(&self, what: &'static str) -> Damage {
        Damage::Snapshot { name: self.folder(), what }
    }
}

/// What every object of one snapshot is sealed with.
#[derive(Clone, Copy)]
pub(crate) struct Seal<'a> {
    pub(crate) name: Name,
    pub(crate) identity: IdentityId,
    pub(crate) keyring: &'a Keyring,
}

impl Seal<'_> {
    /// Seals one object.
    pub(crate) fn object(
        &self,
        part: u32,
        content: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<Bytes, SealError> {
        let (id, key) = self.keyring.newest().ok_or(SealError::Cipher)?;
        let salt = Salt::fresh(rng)?;
        let length = padded(LENGTH_LENGTH + content.len());
        let mut object = Vec::with_capacity(HEADER_LENGTH + length + TAG_LENGTH);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&FORMAT.to_be_bytes());
        object.extend_from_slice(&0_u16.to_be_bytes());
        object.extend_from_slice(&id.0.to_be_bytes());
        object.extend_from_slice(&self.name.n.to_be_bytes());
        object.extend_from_slice(&self.name.attempt);
        object.extend_from_slice(&part.to_be_bytes());
        object.extend_from_slice(&salt.0);
        let aad = [self.identity.as_bytes().as_slice(), &object].concat();
        put_sized(&mut object, content).map_err(|_| SealError::TooLarge)?;
        object.resize(HEADER_LENGTH + length, 0);
        seal::seal(key.secret(), salt, Purpose::Snapshot, &aad, &mut object, HEADER_LENGTH)?;
        Ok(object.into())
    }

    /// Opens one object.
    pub(crate) fn open(&self, part: u32, object: Bytes) -> Result<Zeroizing<Vec<u8>>, Damage> {
        let damage = |what| self.name.damage(what);
        let form = Form::parse(&object).map_err(damage)?;
        if (form.n, form.attempt, form.part) != (self.name.n, self.name.attempt, part) {
            return Err(damage("another one in its place"));
        }
        let key =
            self.keyring.key(form.key).ok_or(damage("sealed under a key that is not there"))?;
        let header = object.get(..HEADER_LENGTH).ok_or(damage("no header"))?;
        let aad = [self.identity.as_bytes().as_slice(), header].concat();
        let salt = form.salt;
        // Where the object lies, if nobody else has it.
        let sealed = (Vec::from(object), HEADER_LENGTH);
        let mut text = seal::open_in_place(key.secret(), salt, Purpose::Snapshot, &aad, sealed)
            .map_err(|_| damage("changed, or not written by this store"))?;
        let length = Reader::new(&text).sized().map_err(|_| damage(SHORT))?.len();
        text.drain(..LENGTH_LENGTH);
        text.truncate(length);
        Ok(text)
    }
}

/// The key that an object says it is sealed under, if it is one of a snapshot.
pub(crate) fn key_of(object: &[u8]) -> Option<KeyId> {
    Form::parse(object).ok().map(|form| form.key)
}

/// What an object says of itself. It is authentic once the object opens.
struct Form {
    key: KeyId,
    n: u64,
    attempt: [u8; ATTEMPT_LENGTH],
    part: u32,
    salt: Salt,
}

impl Form {
    fn parse(object: &[u8]) -> Result<Self, &'static str> {
        let short = |_| SHORT;
        let mut reader = Reader::new(object);
        if reader.array::<8>().map_err(short)? != MAGIC {
            return Err("not a snapshot");
        }
        if (reader.u16().map_err(short)?, reader.u16().map_err(short)?) != (FORMAT, 0) {
            return Err("a format that is not known");
        }
        Ok(Self {
            key: KeyId(reader.u32().map_err(short)?),
            n: reader.u64().map_err(short)?,
            attempt: *reader.array().map_err(short)?,
            part: reader.u32().map_err(short)?,
            salt: Salt(*reader.array().map_err(short)?),
        })
    }
}

pub(crate) const FOLDER: &str = "snapshot";
pub(crate) const INDEX: u32 = 0;
const MAGIC: &[u8; 8] = b"vouchsnp";
const FORMAT: u16 = 2;
const ATTEMPT_LENGTH: usize = 16;
const LENGTH_LENGTH: usize = 4;
const HEADER_LENGTH: usize = 76;
const _: () = assert!(
    8 + 2 + 2 + 4 + 8 + ATTEMPT_LENGTH + 4 + SALT_LENGTH == HEADER_LENGTH,
    "the layout above"
);
const SHORT: &str = "fewer bytes than its form has";
