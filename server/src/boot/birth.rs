//! Birth: a store that did not exist, with its identity and its shares.
//!
//! The order makes a crash harmless: everything that the first commit names is stored and read
//! back before it, so stopped anywhere there is either no store, and what was written counts for
//! nothing, or a store that opens.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use evidence::Sha256;
use manifest::Manifest;
use object_store::ObjectStore;
use protocol::bundle::{BirthMark, BundleBody};
use protocol::share::{self, ShareId};
use protocol::wrap::{MasterKey, WrapError};
use store::{
    CreateError, IdentityKey, Key, Newborn, RandomnessUnavailable, RecoveryError, RootKey,
    Settings, Share, ShareRef, ShareSet, SplitError, Store, Transaction, Value, write_recovery,
};

use crate::clock::Clock;
use crate::shares::{self, DealError, Dealt, PutError};
use crate::vault::Vault;

/// A new store, or the news that another server was first.
pub(super) enum Outcome {
    /// Ours.
    Born(Store),
    /// Another server's first commit is there; ours, and the root key that we made, are dropped.
    LostRace,
}

/// Gives birth to a store.
///
/// 1. an identity, a root key, its two splits: the manifest says how many shares;
/// 2. the automatic shares, wrapped and authenticated with the master key, into the vault, each
///    read back;
/// 3. the recovery shares, sealed to their holders, into the store's container, each read back;
/// 4. the first commit, which names them all, with the mark of the bundle that permits this birth.
pub(super) async fn birth(
    objects: &Arc<dyn ObjectStore>,
    vault: &Vault,
    (bundle, mark): (&BundleBody, BirthMark),
    manifest: &Manifest,
    key: &MasterKey,
    clock: &Clock,
) -> Result<Outcome, BirthError> {
    let rng = SystemRandom::new();
    let identity = IdentityKey::generate()?;
    let root = RootKey::generate(&rng)?;
    let id = identity.public().id();
    tracing::info!(identity = %id, "birth begins");

    let unseal = manifest.unseal();
    let automatic = root.split(unseal.threshold, unseal.shares, &rng)?;
    let stored = put_shares(vault, bundle, key, Sha256::new(*id.as_bytes()), &automatic).await?;
    let shares = ShareSet { threshold: unseal.threshold, shares: stored };
    tracing::info!(shares = shares.shares.len(), "automatic shares stored and read back");

    let Dealt { threshold, shares: dealt, holders } = shares::deal(&root, manifest, &rng)?;
    let recovery = write_recovery(objects, id, threshold, &dealt, &holders).await?;
    tracing::info!(shares = recovery.shares.len(), "recovery shares stored and read back");

    let newborn = Newborn { identity, shares, recovery };
    let settings = Settings::new(Arc::new(SystemRandom::new()));
    let value = serde_json::to_vec(&mark).ok().and_then(|value| Value::new(value).ok());
    let (Ok(place), Some(value)) = (Key::parse(MARK), value) else { return Err(BirthError::Mark) };
    let first = Transaction::new(clock.now()).put(place, value);
    match Store::create(objects, &root, newborn, first, &settings).await {
        Ok(store) => Ok(Outcome::Born(store)),
        Err(CreateError::LostRace { .. }) => Ok(Outcome::LostRace),
        Err(error) => Err(error.into()),
    }
}

/// The mark that a store was born with.
pub(super) fn mark(store: &Store) -> Option<BirthMark> {
    let entry = store.entry(&Key::parse(MARK).ok()?)?;
    serde_json::from_slice(entry.value.expose_secret()).ok()
}

async fn put_shares(
    vault: &Vault,
    bundle: &BundleBody,
    key: &MasterKey,
    identity: Sha256,
    shares: &[Share],
) -> Result<Vec<ShareRef>, BirthError> {
    let master = bundle.master_key.id();
    let mut stored = Vec::with_capacity(shares.len());
    for (index, share) in (1..=u8::MAX).zip(shares) {
        let id = ShareId {
            deployment: &bundle.deployment,
            key: &master,
            identity,
            generation: share::FIRST_GENERATION,
            index,
        };
        stored.push(shares::put(vault, &id, share::seal(key, &id, share.expose_secret())?).await?);
    }
    Ok(stored)
}

/// Why no store was born.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    /// No randomness.
    #[error("randomness")]
    Randomness(#[from] RandomnessUnavailable),
    /// The root key cannot be split as the manifest says.
    #[error("splitting the root key")]
    Split(#[from] SplitError),
    /// A share cannot be wrapped.
    #[error("wrapping a share")]
    Wrap(#[from] WrapError),
    /// A share cannot be stored or read back.
    #[error("automatic shares")]
    Put(#[from] PutError),
    /// The root key cannot be split for the holders.
    #[error("recovery shares")]
    Deal(#[from] DealError),
    /// A recovery share cannot be sealed, stored or read back.
    #[error("recovery shares")]
    Recovery(#[from] RecoveryError),
    /// The mark of the birth cannot be written. A fault of ours.
    #[error("writing the mark of the birth")]
    Mark,
    /// The first commit cannot be written.
    #[error("first commit")]
    Create(#[from] CreateError),
}

/// Where the store keeps the mark of its birth.
const MARK: &str = "system/birth";
