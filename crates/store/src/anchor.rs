//! The freshness anchor: what the newest commit was, kept where the storage operator cannot write.
//!
//! The anchor's place (in production the tags of one version of a Key Vault secret) keeps one line of text. The line is authenticated under a key
//! derived from a barrier key, so whoever can write there can remove it or put back an older one, and cannot make one up. It is raised and
//! never lowered. Commits since it was last raised are not covered by it.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::Instant;

use crate::{
    CommitError, Hash, Head, IdentityId, KeyId, OpenError, keyring::Keyring, seal::SealError,
    state::State, store::Shared,
};

/// Where one anchor is kept. Implementations only read and write; they judge nothing.
#[async_trait]
pub trait AnchorStore: Send + Sync {
    /// What is there, if anything is. A text that is no anchor is an error, never `None`.
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError>;

    /// Replaces what is there.
    async fn write(&self, anchor: &SealedAnchor) -> Result<(), AnchorStoreError>;
}

/// The anchor's place did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum AnchorStoreError {
    /// What is there is no anchor.
    #[error(transparent)]
    Malformed(#[from] MalformedAnchor),
    /// It could not be reached, or refused.
    #[error("reaching the anchor")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Is an anchor demanded at open?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A missing anchor is refused: the bundle names this store's identity.
    Anchored,
    /// The anchor is not looked at: for a store that was restored to an earlier commit, by a quorum of the holders of recovery shares.
    DangerAnyHistory,
    /// A missing anchor is accepted, one that is there is checked all the same: no signed bundle names an identity yet.
    MayBeAbsent,
}

/// An anchor as it travels: one line of at most 210 characters.
///
/// `1.<key id>.<n>.<identity>.<hash>.<mac>`: the numbers decimal, identity and hash in hex, the MAC (HMAC-SHA256 over everything before its dot) in
/// base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAnchor {
    key: KeyId,
    identity: IdentityId,
    head: Head,
    mac: [u8; 32],
}

impl SealedAnchor {
    /// The commit that it says it is of. It is believed only by a store that it opens in.
    pub fn n(&self) -> u64 {
        self.head.n
    }

    /// Seals an anchor at a head under the key that is in force after it.
    pub(crate) fn seal(
        identity: IdentityId,
        head: Head,
        (keyring, key): (&Keyring, KeyId),
    ) -> Result<Self, SealError> {
        let barrier = keyring.key(key).ok_or(SealError::Cipher)?;
        let mut anchor = Self { key, identity, head, mac: [0; 32] };
        let tag = hmac::sign(&barrier.anchor_key()?, anchor.claim().as_bytes());
        anchor.mac = tag.as_ref().try_into().map_err(|_| SealError::Cipher)?;
        Ok(anchor)
    }

    /// What the anchor saw, if this store made it. In the order: identity, key, MAC.
    pub(crate) fn open(
        &self,
        identity: IdentityId,
        keyring: &Keyring,
    ) -> Result<Anchored, NotOurs> {
        if self.identity != identity {
            return Err(NotOurs("it names another store"));
        }
        let barrier =
            keyring.key(self.key).ok_or(NotOurs("it names a key that this store does not have"))?;
        let key = barrier.anchor_key().map_err(|_| NotOurs("its key could not be derived"))?;
        hmac::verify(&key, self.claim().as_bytes(), &self.mac)
            .map_err(|_| NotOurs("its MAC is wrong"))?;
        Ok(Anchored { head: self.head, key: self.key })
    }

    fn claim(&self) -> String {
        format!("{FORMAT}.{}.{}.{}.{}", self.key, self.head.n, self.identity, self.head.hash)
    }
}

/// What an anchor saw, and the key that it is authenticated under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchored {
    head: Head,
    key: KeyId,
}

impl Anchored {
    /// Whoever holds a key that a rotation put out of force makes no anchors of later commits.
    fn check_key(self, state: &State) -> Result<(), NotOurs> {
        let Self { head, key } = self;
        state.was_in_force(key, head.n).map_err(|_| NotOurs("its key was not in force there"))
    }
}

/// The anchor is not one that this store made.
#[derive(Debug)]
pub(crate) struct NotOurs(pub(crate) &'static str);

impl fmt::Display for SealedAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.claim(), URL_SAFE_NO_PAD.encode(self.mac))
    }
}

impl FromStr for SealedAnchor {
    type Err = MalformedAnchor;

    fn from_str(text: &str) -> Result<Self, MalformedAnchor> {
        let fields: Vec<&str> = text.split('.').collect();
        let [format, key, n, identity, hash, mac] = fields.as_slice() else {
            return Err(MalformedAnchor);
        };
        let bytes = URL_SAFE_NO_PAD.decode(mac).map_err(|_| MalformedAnchor)?;
        let anchor = Self {
            key: KeyId(key.parse().map_err(|_| MalformedAnchor)?),
            identity: identity.parse().map_err(|_| MalformedAnchor)?,
            head: Head {
                n: n.parse().map_err(|_| MalformedAnchor)?,
                hash: hash.parse().map_err(|_| MalformedAnchor)?,
            },
            mac: bytes.try_into().map_err(|_| MalformedAnchor)?,
        };
        // The MAC is over the canonical text, so no other spelling may pass for it.
        (*format == FORMAT && anchor.to_string() == text).then_some(anchor).ok_or(MalformedAnchor)
    }
}

/// The text is not an anchor of version 1.
#[derive(Debug, thiserror::Error)]
#[error("not an anchor of version 1")]
pub struct MalformedAnchor;

/// Why the anchor was not raised.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The anchor that is there cannot be believed; it is left as it is.
    #[error("the anchor is not one of this store: {0}")]
    NotOurs(&'static str),
    /// The anchor saw another commit than this history has at that place: two histories are alive.
    #[error("commit {} is {here} here and was anchored as {}", anchored.n, anchored.hash)]
    Forked {
        /// What the anchor saw.
        anchored: Head,
        /// The hash of our commit at that place.
        here: Hash,
    },
    /// The anchor saw a commit that this history does not have, though the log was read: what is committed on top of it
    /// is not covered.
    #[error("commit {} was anchored, and the log ends at {}", anchored.n, head.n)]
    Ahead {
        /// What the anchor saw.
        anchored: Head,
        /// Our last commit.
        head: Head,
    },
    /// The log could not be read on.
    #[error("reading what other servers committed")]
    Follow(#[source] Box<CommitError>),
    /// The anchor is older than everything that the log still has.
    #[error("the anchor is at commit {} and the log begins at {floor}", anchored.n)]
    TooOld {
        /// What the anchor saw.
        anchored: Head,
        /// The first commit that is kept.
        floor: u64,
    },
    /// Its place did not answer.
    #[error(transparent)]
    Store(#[from] AnchorStoreError),
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Compares what the anchor saw with a history.
pub(crate) fn check(anchor: Anchored, state: &State) -> Result<(), OpenError> {
    let (head, anchored) = (state.head(), anchor.head);
    if anchored.n.saturating_add(1) < state.floor() {
        return Err(OpenError::AnchorTooOld { anchored, floor: state.floor() });
    }
    match state.hash_of(anchored.n) {
        None => Err(OpenError::RolledBack { anchored, found: head }),
        Some(found) if found != anchored.hash => Err(OpenError::Forked { anchored, found, head }),
        Some(_) => anchor
            .check_key(state)
            .map_err(|fault| OpenError::AnchorNotOurs { reason: fault.0, found: head }),
    }
}

/// Raises the anchor to the head unless it is there or further already.
pub(crate) async fn raise(anchors: &dyn AnchorStore, shared: &Shared) -> Result<Head, AnchorError> {
    let identity = shared.identity.public().id();
    let at = Instant::now();
    let anchor = anchors.read().await?;
    let (head, key) = shared.read_state(|state| (state.head(), state.header().key()));
    // Taken after the state, and replaced before it: they hold every key that it names.
    let keys = shared.keys();
    let not_ours = |fault: NotOurs| AnchorError::NotOurs(fault.0);
    if let Some(anchor) = anchor {
        let seen = anchor.open(identity, &keys.keyring).map_err(not_ours)?;
        let anchored = seen.head;
        let (floor, here, checked) = shared
            .read_state(|state| (state.floor(), state.hash_of(anchored.n), seen.check_key(state)));
        match here {
            Some(here) if here != anchored.hash => {
                return Err(AnchorError::Forked { anchored, here });
            }
            None if anchored.n < floor => return Err(AnchorError::TooOld { anchored, floor }),
            // Another server is further, or another branch of the log is: the log has to be read to tell.
            None => return Err(AnchorError::Ahead { anchored, head }),
            Some(_) => checked.map_err(not_ours)?,
        }
        if anchored.n >= head.n {
            shared.coverage.raised(anchored.n, shared.read_state(State::head), at);
            return Ok(anchored);
        }
    }
    write(anchors, shared, (head, key), at).await
}

/// An anchor at the head.
pub(crate) fn here(shared: &Shared) -> Result<SealedAnchor, SealError> {
    let (head, key) = shared.read_state(|state| (state.head(), state.header().key()));
    let keys = shared.keys();
    SealedAnchor::seal(keys.identity(), head, (&keys.keyring, key))
}

/// Sets the anchor to the head, whatever it was.
pub(crate) async fn reset(anchors: &dyn AnchorStore, shared: &Shared) -> Result<Head, AnchorError> {
    let at = Instant::now();
    let sealed = shared.read_state(|state| (state.head(), state.header().key()));
    write(anchors, shared, sealed, at).await
}

async fn write(
    anchors: &dyn AnchorStore,
    shared: &Shared,
    (head, key): (Head, KeyId),
    at: Instant,
) -> Result<Head, AnchorError> {
    let keys = shared.keys();
    anchors.write(&SealedAnchor::seal(keys.identity(), head, (&keys.keyring, key))?).await?;
    shared.coverage.raised(head.n, shared.read_state(State::head), at);
    Ok(head)
}

const FORMAT: &str = "1";

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;
    use crate::IdentityKey;

    #[test]
    fn only_the_text_that_was_sealed_opens() {
        let keyring = Keyring::generate(&SystemRandom::new()).unwrap();
        let other = Keyring::generate(&SystemRandom::new()).unwrap();
        let id = IdentityKey::generate().unwrap().public().id();
        let stranger = IdentityKey::generate().unwrap().public().id();
        let head = Head { n: u64::MAX, hash: Hash::of(b"head") };
        let text = SealedAnchor::seal(id, head, (&keyring, KeyId::FIRST)).unwrap().to_string();
        assert!(text.len() <= 210, "a tag of Key Vault has 256 characters: {}", text.len());

        let anchor: SealedAnchor = text.parse().unwrap();
        assert_eq!(anchor.open(id, &keyring).unwrap(), Anchored { head, key: KeyId::FIRST });
        assert!(anchor.open(id, &other).is_err());
        assert!(anchor.open(stranger, &keyring).is_err());
        for at in 0..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[at] ^= 1;
            let bad = String::from_utf8(bad).unwrap();
            let opened =
                bad.parse::<SealedAnchor>().ok().and_then(|anchor| anchor.open(id, &keyring).ok());
            assert_eq!(opened, None, "{bad}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let keyring = Keyring::generate(&SystemRandom::new()).unwrap();
        let id = IdentityKey::generate().unwrap().public().id();
        let text =
            SealedAnchor::seal(id, Head { n: 7, hash: Hash::of(b"") }, (&keyring, KeyId::FIRST))
                .unwrap()
                .to_string();
        for (from, to) in
            [("1.1.7.", "1.1.07."), ("1.1.7.", "1.+1.7."), ("1.1.7.", "2.1.7."), ("1.1.7.", "1.7.")]
        {
            assert!(text.replacen(from, to, 1).parse::<SealedAnchor>().is_err(), "{to}");
        }
        assert!(format!("{text}.").parse::<SealedAnchor>().is_err());
        assert!(format!("{text}=").parse::<SealedAnchor>().is_err());
    }
}
