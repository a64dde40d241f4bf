//! The clear header: who the store is, and where the means to open it are kept.
//!
//! The first one is the clear part of commit 1. A new barrier key or root key brings another, as the object `keyring/<generation>-<sequence>-<SHA-256>`, which counts
//! as soon as a commit names it.
//!
//! Read before anything can be opened, it is a claim: whoever writes to the storage may put any header there. It becomes true when the root key that
//! its shares give opens its keyring and its commit. Shares are therefore authenticated by their own MAC or signature before they are used.

use std::sync::Arc;

use aws_lc_rs::rand::SecureRandom;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};

use crate::{
    Damage, Hash, Identity, KeyId, OpenError, RootKey, SealError, commit::Sealed, keyring::Keyring,
    log::Log,
};

/// A clear header: the first one in commit 1, later ones as objects.
#[derive(Clone, Debug)]
pub struct FirstHeader {
    identity: Identity,
    generation: u32,
    sequence: u32,
    keyring: Vec<u8>,
    shares: ShareSet,
    recovery: RecoverySet,
}

/// The automatic shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSet {
    /// How many of them open the store.
    pub threshold: u8,
    /// In the order they were dealt.
    pub shares: Vec<ShareRef>,
}

/// One automatic share, wrapped, as a secret of the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRef {
    /// The secret's name.
    pub name: String,
    /// The secret's version.
    pub version: String,
    /// Of the secret's value.
    pub sha256: Hash,
}

/// The recovery shares. Without holders it is empty and its threshold is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverySet {
    /// How many of them open the store.
    pub threshold: u8,
    /// In the order of their holders.
    pub shares: Vec<RecoveryRef>,
}

/// One recovery share, sealed to a person, as an object beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryRef {
    /// Where it lies.
    pub object: String,
    /// Of the object.
    pub sha256: Hash,
    /// The age recipient who can open it.
    pub recipient: String,
}

impl FirstHeader {
    pub(crate) fn new(
        identity: Identity,
        keyring: Vec<u8>,
        shares: ShareSet,
        recovery: RecoverySet,
    ) -> Result<Self, MalformedFirst> {
        let (generation, sequence) = (FIRST_GENERATION, FIRST_SEQUENCE);
        let header = Self { identity, generation, sequence, keyring, shares, recovery };
        header.check()?;
        Ok(header)
    }

    /// The header that follows this one, with its object: a new keyring, and what else a new root key brings.
    pub(crate) fn next(
        &self,
        (keyring, root): (&Keyring, &RootKey),
        rekeyed: Option<(&ShareSet, &RecoverySet)>,
        rng: &dyn SecureRandom,
    ) -> Result<(Self, HeaderRef, Bytes), NextError> {
        let generation = self.generation.saturating_add(u32::from(rekeyed.is_some()));
        let mut next =
            Self { generation, sequence: self.sequence.saturating_add(1), ..self.clone() };
        if let Some((shares, recovery)) = rekeyed {
            (next.shares, next.recovery) = (shares.clone(), recovery.clone());
        }
        next.keyring = keyring.seal(root, self.identity.id(), generation, rng)?;
        next.check()?;
        let bytes = Bytes::from(next.to_bytes()?);
        let reference = HeaderRef { generation, sequence: next.sequence, sha256: Hash::of(&bytes) };
        // As every later boot will.
        let again = Self::parse(&bytes)?;
        Keyring::open(again.keyring(), root, again.identity.id(), again.generation)
            .map_err(|_| SealError::Cipher)?;
        Ok((next, reference, bytes))
    }

    /// The later header that is stored under this name, if it says what its name says.
    pub(crate) fn stored(reference: HeaderRef, object: &[u8]) -> Result<Self, Damage> {
        let damage = |what: String| Damage::Header { object: reference.path().to_string(), what };
        let found = Hash::of(object);
        if found != reference.sha256 {
            return Err(damage(format!("its bytes have the hash {found}")));
        }
        let header = Self::parse(object).map_err(|fault| damage(fault.0))?;
        if (header.generation, header.sequence) != (reference.generation, reference.sequence) {
            return Err(damage("it says another generation or sequence".into()));
        }
        Ok(header)
    }

    /// The store's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Which root key this is about; 1 at birth.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// How many headers came before it.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// The automatic shares.
    pub fn shares(&self) -> &ShareSet {
        &self.shares
    }

    /// The recovery shares.
    pub fn recovery(&self) -> &RecoverySet {
        &self.recovery
    }

    pub(crate) fn keyring(&self) -> &[u8] {
        &self.keyring
    }

    pub(crate) fn parse(clear: &[u8]) -> Result<Self, MalformedFirst> {
        if clear.len() > LONGEST {
            return Err(MalformedFirst(format!(
                "{} bytes, at most {LONGEST} are possible",
                clear.len()
            )));
        }
        let version: Version =
            serde_json::from_slice(clear).map_err(|fault| MalformedFirst(fault.to_string()))?;
        if version.version != FORMAT {
            return Err(MalformedFirst(format!("version {}, known is {FORMAT}", version.version)));
        }
        let raw: RawFirst =
            serde_json::from_slice(clear).map_err(|fault| MalformedFirst(fault.to_string()))?;
        let keyring = URL_SAFE_NO_PAD
            .decode(&raw.keyring)
            .map_err(|_| MalformedFirst("keyring is not base64url".into()))?;
        let header = Self {
            identity: raw.identity,
            generation: raw.generation,
            sequence: raw.sequence,
            keyring,
            shares: raw.shares,
            recovery: raw.recovery,
        };
        header.check()?;
        Ok(header)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, MalformedFirst> {
        let raw = RawFirst {
            version: FORMAT,
            identity: self.identity.clone(),
            generation: self.generation,
            sequence: self.sequence,
            keyring: URL_SAFE_NO_PAD.encode(&self.keyring),
            shares: self.shares.clone(),
            recovery: self.recovery.clone(),
        };
        let bytes = serde_json::to_vec(&raw).map_err(|fault| MalformedFirst(fault.to_string()))?;
        if bytes.len() > LONGEST {
            return Err(MalformedFirst(format!(
                "{} bytes, at most {LONGEST} are possible",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// What parsing and making have in common: generation, thresholds, and that every name has something in it.
    fn check(&self) -> Result<(), MalformedFirst> {
        let fault = |text: String| Err(MalformedFirst(text));
        if self.generation < FIRST_GENERATION {
            return fault(format!("generation {}, the first is 1", self.generation));
        }
        let (threshold, count) = (self.shares.threshold, self.shares.shares.len());
        if threshold == 0 || usize::from(threshold) > count || count > MOST_SHARES {
            return fault(format!("{threshold} of {count} automatic shares"));
        }
        let (threshold, count) = (self.recovery.threshold, self.recovery.shares.len());
        if usize::from(threshold) > count || (threshold == 0) != (count == 0) || count > MOST_SHARES
        {
            return fault(format!("{threshold} of {count} recovery shares"));
        }
        let names = self.shares.shares.iter().flat_map(|share| [&share.name, &share.version]);
        let objects =
            self.recovery.shares.iter().flat_map(|share| [&share.object, &share.recipient]);
        if names.chain(objects).any(String::is_empty) {
            return fault("a share without a name, version, object or recipient".into());
        }
        Ok(())
    }
}

/// Reads the first header without opening anything; see the module's words on what it is worth. `None` is an empty store, fit for a birth: no first
/// commit and no later one either.
pub async fn read_first(objects: &Arc<dyn ObjectStore>) -> Result<Option<FirstHeader>, OpenError> {
    let object = Log::new(Arc::clone(objects)).first().await?;
    Ok(object.map(|object| first_header(&object)).transpose()?)
}

/// Reads all headers without opening anything, the newest first and the first one last; see the module's words on what they are worth. The newest may be one that
/// no commit names: whoever made it stopped in between. Opening tells, and then the next one is to be tried.
pub async fn read_headers(objects: &Arc<dyn ObjectStore>) -> Result<Vec<FirstHeader>, OpenError> {
    let log = Log::new(Arc::clone(objects));
    let Some(object) = log.first().await? else { return Ok(Vec::new()) };
    let first = first_header(&object)?;
    let later = later_headers(&log, first.identity()).await?;
    Ok(later.into_iter().map(|(header, _)| header).chain([first]).collect())
}

/// The headers beside the log, the newest first. Whoever writes to the storage can add any, so what is none of this store is passed over.
pub(crate) async fn later_headers(
    log: &Log,
    identity: &Identity,
) -> Result<Vec<(FirstHeader, HeaderRef)>, OpenError> {
    let mut names = log.list(FOLDER).await.map_err(OpenError::Unavailable)?;
    names.sort();
    let mut headers = Vec::new();
    for reference in names.iter().rev().filter_map(HeaderRef::of) {
        if headers.len() == MOST_HEADERS {
            break;
        }
        let object = log.read_object(&reference.path()).await.map_err(OpenError::Unavailable)?;
        match object.as_deref().map(|object| FirstHeader::stored(reference, object)) {
            Some(Ok(header)) if header.identity == *identity => headers.push((header, reference)),
            Some(Ok(_)) | None => {}
            Some(Err(fault)) => tracing::warn!(%fault, "a header is passed over"),
        }
    }
    Ok(headers)
}

/// The first header of an object that is stored as commit 1.
pub(crate) fn first_header(object: &[u8]) -> Result<FirstHeader, Damage> {
    let sealed = Sealed::parse(1, object)?;
    let header = FirstHeader::parse(sealed.clear)
        .map_err(|fault| Damage::MalformedFirst { what: fault.0 })?;
    if (header.generation, header.sequence) != (FIRST_GENERATION, FIRST_SEQUENCE) {
        let what = format!("generation {}, commit 1 has generation 1", header.generation);
        return Err(Damage::MalformedFirst { what });
    }
    Ok(header)
}

/// Names one header; commits name later ones with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderRef {
    pub(crate) generation: u32,
    pub(crate) sequence: u32,
    /// Of the object; of the first header, zeros.
    pub(crate) sha256: Hash,
}

impl HeaderRef {
    /// The one in commit 1.
    pub(crate) const FIRST: Self =
        Self { generation: FIRST_GENERATION, sequence: FIRST_SEQUENCE, sha256: Hash::NONE };

    /// The newest key of its keyring: each header brings one, and the first has key 1.
    pub(crate) fn key(&self) -> KeyId {
        KeyId(self.sequence.saturating_add(1))
    }

    /// Where it lies; the first one lies in commit 1 and not here.
    pub(crate) fn path(&self) -> Path {
        let Self { generation, sequence, sha256 } = self;
        Path::from(format!("{FOLDER}/{generation:010}-{sequence:010}-{sha256}"))
    }

    fn of(path: &Path) -> Option<Self> {
        let name = path.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (generation, rest) = name.split_once('-')?;
        let (sequence, sha256) = rest.split_once('-')?;
        let reference = Self {
            generation: generation.parse().ok()?,
            sequence: sequence.parse().ok()?,
            sha256: sha256.parse().ok()?,
        };
        (reference.path() == *path).then_some(reference)
    }
}

/// Why the next header could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NextError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Malformed(#[from] MalformedFirst),
}

/// The first header breaks a rule.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MalformedFirst(pub(crate) String);

/// Read before the rest, so that another version is named as such.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFirst {
    version: u32,
    identity: Identity,
    generation: u32,
    #[serde(default, skip_serializing_if = "is_first")]
    sequence: u32,
    keyring: String,
    shares: ShareSet,
    recovery: RecoverySet,
}

fn is_first(sequence: &u32) -> bool {
    *sequence == FIRST_SEQUENCE
}

const FORMAT: u32 = 1;
pub(crate) const FIRST_GENERATION: u32 = 1;
const FIRST_SEQUENCE: u32 = 0;
pub(crate) const FOLDER: &str = "keyring";
/// As many are looked at; one of them, nearly always the newest, is the one in force.
const MOST_HEADERS: usize = 16;
const LONGEST: usize = 1 << 18;
const MOST_SHARES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IdentityKey;

    fn header() -> FirstHeader {
        let share = |i: u8| ShareRef {
            name: format!("unseal-{i}"),
            version: "v1".into(),
            sha256: Hash::of(&[i]),
        };
        let recovery = |i: u8| RecoveryRef {
            object: format!("recovery/{i}"),
            sha256: Hash::of(&[i]),
            recipient: "age1".into(),
        };
        FirstHeader::new(
            IdentityKey::generate().unwrap().public().clone(),
            vec![1, 2, 3],
            ShareSet { threshold: 2, shares: (1..=3).map(share).collect() },
            RecoverySet { threshold: 1, shares: (1..=2).map(recovery).collect() },
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let header = header();
        let again = FirstHeader::parse(&header.to_bytes().unwrap()).unwrap();
        assert_eq!(again.identity(), header.identity());
        assert_eq!(again.shares(), header.shares());
        assert_eq!(again.recovery(), header.recovery());
        assert_eq!(again.keyring(), header.keyring());
    }

    #[test]
    fn each_rule_refuses() {
        let good: serde_json::Value =
            serde_json::from_slice(&header().to_bytes().unwrap()).unwrap();
        let cases: [(&str, serde_json::Value); 9] = [
            ("/version", 2.into()),
            ("/generation", 0.into()),
            ("/keyring", "=".into()),
            ("/shares/threshold", 0.into()),
            ("/shares/threshold", 4.into()),
            ("/shares/shares/0/name", "".into()),
            ("/shares/shares/0/sha256", "00".into()),
            ("/recovery/threshold", 0.into()),
            ("/recovery/threshold", 3.into()),
        ];
        for (path, value) in cases {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = value;
            assert!(FirstHeader::parse(bad.to_string().as_bytes()).is_err(), "{path}");
        }
        let mut more = good;
        more["more"] = true.into();
        assert!(FirstHeader::parse(more.to_string().as_bytes()).is_err());
    }
}
