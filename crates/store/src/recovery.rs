//! Recovery shares: each sealed to one person's age recipient and kept beside the log, so that a copy of the objects can be opened by a quorum
//! without any cloud.
//!
//! Nobody reads them in normal life, so a fault would be noticed when it is too late: each is read back when it is written. Opening one needs
//! the holder's age identity, on the holder's own machine or inside an attested server.

use std::{str::FromStr, sync::Arc};

use aws_lc_rs::rand::SecureRandom;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload, path::Path};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    Hash, IdentityId, MalformedShare, RecoveryRef, RecoverySet, Share, StorageError,
    first::FIRST_GENERATION, log::read,
};

/// A person who can open one recovery share: an age X25519 recipient (`age1…`).
#[derive(Clone)]
pub struct Recipient {
    key: age::x25519::Recipient,
}

impl FromStr for Recipient {
    type Err = RecoveryError;

    fn from_str(text: &str) -> Result<Self, RecoveryError> {
        Ok(Self { key: text.parse().map_err(|_| RecoveryError::Recipient)? })
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key.fmt(f)
    }
}

/// Seals one share to each recipient and writes them as `recovery/<identity>/1/<i>`, create-if-absent, and reads each back. What is
/// returned goes into the first header; until it is there, the objects count for nothing.
pub async fn write_recovery(
    objects: &Arc<dyn ObjectStore>,
    identity: IdentityId,
    threshold: u8,
    shares: &[Share],
    recipients: &[Recipient],
) -> Result<RecoverySet, RecoveryError> {
    let folder = format!("recovery/{identity}/{FIRST_GENERATION}");
    write(objects, &folder, threshold, shares, recipients).await
}

/// The same for a new root key. A rekeying that stopped may have left objects of the same generation, so the folder is one of this attempt,
/// `recovery/<identity>/<generation>-<attempt>`.
pub async fn write_later_recovery(
    objects: &Arc<dyn ObjectStore>,
    (identity, generation): (IdentityId, u32),
    threshold: u8,
    shares: &[Share],
    recipients: &[Recipient],
    rng: &(dyn SecureRandom + Sync),
) -> Result<RecoverySet, RecoveryError> {
    let mut attempt = [0; 8];
    rng.fill(&mut attempt).map_err(|_| RecoveryError::Seal)?;
    let folder = format!("recovery/{identity}/{generation}-{}", hex::encode(attempt));
    write(objects, &folder, threshold, shares, recipients).await
}

async fn write(
    objects: &Arc<dyn ObjectStore>,
    folder: &str,
    threshold: u8,
    shares: &[Share],
    recipients: &[Recipient],
) -> Result<RecoverySet, RecoveryError> {
    if shares.len() != recipients.len() {
        return Err(RecoveryError::Count { shares: shares.len(), recipients: recipients.len() });
    }
    let mut set = RecoverySet { threshold, shares: Vec::new() };
    for (i, (share, recipient)) in (1_u32..).zip(shares.iter().zip(recipients)) {
        let sealed =
            age::encrypt(&recipient.key, share.expose_secret()).map_err(|_| RecoveryError::Seal)?;
        let sha256 = Hash::of(&sealed);
        let object = Path::from(format!("{folder}/{i}"));
        let refused = |what: &str, source| {
            RecoveryError::Unavailable(StorageError::Refused {
                doing: format!("{what} recovery share {i}"),
                source,
            })
        };
        let create = PutOptions::from(PutMode::Create);
        let put = objects.put_opts(&object, PutPayload::from(sealed), create).await;
        // A put may have been kept although its answer was lost; reading decides.
        match read(&**objects, &object).await {
            Ok(kept) if Hash::of(&kept) == sha256 => {}
            Ok(_) => return Err(RecoveryError::Other { object: object.to_string() }),
            Err(source) => {
                return Err(refused(
                    if put.is_err() { "writing" } else { "reading back" },
                    put.err().unwrap_or(source),
                ));
            }
        }
        set.shares.push(RecoveryRef {
            object: object.into(),
            sha256,
            recipient: recipient.to_string(),
        });
    }
    Ok(set)
}

/// Opens one recovery share with its holder's age identity (`AGE-SECRET-KEY-1…`).
pub fn unseal_share(object: &[u8], holder: &SecretString) -> Result<Share, UnsealError> {
    let holder: age::x25519::Identity =
        holder.expose_secret().parse().map_err(|_| UnsealError::Holder)?;
    let bytes =
        Zeroizing::new(age::decrypt(&holder, object).map_err(|_| UnsealError::NotForHolder)?);
    Ok(Share::parse(&bytes)?)
}

/// Opens the share of this holder among those that a header names, read from beside the log and compared with what the header says.
pub async fn holders_share(
    objects: &Arc<dyn ObjectStore>,
    set: &RecoverySet,
    holder: &SecretString,
) -> Result<(RecoveryRef, Share), UnsealError> {
    let own: age::x25519::Identity =
        holder.expose_secret().parse().map_err(|_| UnsealError::Holder)?;
    let recipient = own.to_public().to_string();
    let named = set
        .shares
        .iter()
        .find(|named| named.recipient == recipient)
        .ok_or(UnsealError::NoHolder)?;
    let object = read(&**objects, &Path::from(named.object.as_str())).await.map_err(|source| {
        UnsealError::Unavailable(StorageError::Refused {
            doing: format!("reading {}", named.object),
            source,
        })
    })?;
    if Hash::of(&object) != named.sha256 {
        return Err(UnsealError::Other { object: named.object.clone() });
    }
    Ok((named.clone(), unseal_share(&object, holder)?))
}

/// The one process in which holders put their shares together: it has an identity of its own, made now and never written down, that shares travel to.
pub struct Meeting {
    identity: age::x25519::Identity,
}

impl Meeting {
    /// A meeting that nobody knows yet. The library draws its own randomness for identities.
    pub fn begin() -> Self {
        Self { identity: age::x25519::Identity::generate() }
    }

    /// Whom holders seal their shares to. They have to hear it from somebody whom they trust: whoever they seal it to has their share.
    pub fn recipient(&self) -> Recipient {
        Recipient { key: self.identity.to_public() }
    }

    /// Opens a share that a holder sealed to this meeting.
    pub fn receive(&self, sealed: &[u8]) -> Result<Share, UnsealError> {
        let bytes = age::decrypt(&self.identity, sealed).map_err(|_| UnsealError::NotForHolder)?;
        Ok(Share::parse(&Zeroizing::new(bytes))?)
    }
}

/// Seals a holder's share to a meeting.
pub fn seal_to_meeting(share: &Share, meeting: &Recipient) -> Result<Vec<u8>, RecoveryError> {
    age::encrypt(&meeting.key, share.expose_secret()).map_err(|_| RecoveryError::Seal)
}

/// Why recovery shares were not written.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Not an age X25519 recipient.
    // The text is not repeated: somebody may have given an identity, which is secret.
    #[error("not an age X25519 recipient (age1…)")]
    Recipient,
    /// Each holder gets exactly one share.
    #[error("{shares} shares for {recipients} recipients")]
    Count {
        /// As given.
        shares: usize,
        /// As given.
        recipients: usize,
    },
    /// age refused.
    #[error("sealing a recovery share")]
    Seal,
    /// Another object lies there.
    #[error("{object} is not what was written")]
    Other {
        /// Its path.
        object: String,
    },
    /// The storage did not do as asked.
    #[error("writing the recovery shares")]
    Unavailable(#[source] StorageError),
}

/// Why a recovery share did not open.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// The identity is none.
    #[error("not an age identity (AGE-SECRET-KEY-1…)")]
    Holder,
    /// It was sealed to somebody else, or was changed.
    #[error("the recovery share does not open for this holder")]
    NotForHolder,
    /// No share is sealed to this holder.
    #[error("no recovery share is sealed to this holder")]
    NoHolder,
    /// The object is not the one that the header names.
    #[error("{object} is not what the header names")]
    Other {
        /// Its path.
        object: String,
    },
    /// The objects could not be read.
    #[error("reading a recovery share")]
    Unavailable(#[source] StorageError),
    /// What was inside is no share.
    #[error(transparent)]
    Malformed(#[from] MalformedShare),
}
