//! The clear part of commit 1: who the store is, and where the means to open it are kept.
//!
//! Read before anything can be opened, it is a claim: whoever writes to the storage may put any header there. It becomes true when the root key that
//! its shares give opens its keyring and its commit. Shares are therefore authenticated by their own MAC or signature before they are used.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::{Damage, Hash, Identity, OpenError, commit::Sealed, log::Log};

/// The clear header of commit 1.
#[derive(Clone, Debug)]
pub struct FirstHeader {
    identity: Identity,
    generation: u32,
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
        let header = Self { identity, generation: FIRST_GENERATION, keyring, shares, recovery };
        header.check()?;
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
        if self.generation != FIRST_GENERATION {
            return fault(format!("generation {}, commit 1 has generation 1", self.generation));
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

/// The first header of an object that is stored as commit 1.
pub(crate) fn first_header(object: &[u8]) -> Result<FirstHeader, Damage> {
    let sealed = Sealed::parse(1, object)?;
    FirstHeader::parse(sealed.clear).map_err(|fault| Damage::MalformedFirst { what: fault.0 })
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
    keyring: String,
    shares: ShareSet,
    recovery: RecoverySet,
}

const FORMAT: u32 = 1;
pub(crate) const FIRST_GENERATION: u32 = 1;
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
            ("/generation", 2.into()),
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
