//! New keys for the store while it is in use: a barrier key, or a root key with both sets of shares.
//!
//! The master key is gone since boot. Wrapping a share needs its public half only, which the bundle names, and the store's
//! signature stands where a share of birth has the master key's MAC. Everything that the new header names is stored and
//! read back before a commit names it, so a server that is stopped anywhere has renewed or has not, and may be asked
//! again.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use evidence::Sha256;
use protocol::share::{ShareId, Unsigned};
use protocol::wrap::WrapError;
use serde::{Deserialize, Serialize};
use store::{
    AnchorError, ChangeError, CommitError, Key, RandomnessUnavailable, RecoveryError, Rekey,
    RootKey, ShareSet, SplitError, Transaction, Value, write_later_recovery,
};

use crate::core::{Core, InForce};
use crate::shares::{self, DealError, Dealt, PutError};
use crate::vault::VaultError;

/// The barrier key in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Installed {
    version: u8,
    /// Its number.
    pub(crate) term: u32,
    /// When it was put in force, if that was written down.
    pub(crate) at: jiff::Timestamp,
}

/// The barrier key in force now. When it was made is known if this server or another lived long enough to write it down.
pub(crate) fn installed(core: &Core) -> Installed {
    let term = core.store.key().number();
    let noted = Key::parse(INSTALLED).ok().and_then(|key| core.store.entry(&key));
    noted
        .and_then(|entry| serde_json::from_slice::<Installed>(entry.value.expose_secret()).ok())
        .filter(|noted| noted.term == term)
        .unwrap_or(Installed { version: 1, term, at: jiff::Timestamp::UNIX_EPOCH })
}

/// Puts a new barrier key in force, and anchors it: from then on the old one adds nothing.
pub(crate) async fn rotate(core: &Arc<Core>) -> Result<(), RenewError> {
    whole(core, |core| async move {
        core.store.rotate().await?;
        settle(&core).await
    })
    .await
}

/// What a rekey made.
#[derive(Debug, Serialize)]
pub(crate) struct Rekeyed {
    version: u8,
    generation: u32,
    /// The secrets of the vault with the wrapped automatic shares.
    automatic: Vec<String>,
    automatic_threshold: u8,
    /// Who has a recovery share.
    recovery: Vec<String>,
    recovery_threshold: u8,
}

/// Puts a new root key in force, with new automatic and recovery shares as the manifest says, and a new barrier key.
///
/// 1. a root key, split twice;
/// 2. the automatic shares, wrapped with the master key's public half and signed, into the vault, each read back;
/// 3. the recovery shares, sealed to their holders, into the store's container, each read back;
/// 4. the header that names them all, and the commit that names the header;
/// 5. the anchor.
pub(crate) async fn rekey(core: &Arc<Core>, in_force: Arc<InForce>) -> Result<Rekeyed, RenewError> {
    whole(core, |core| async move {
        let rng = SystemRandom::new();
        let generation = core.store.header().generation().saturating_add(1);
        let root = RootKey::generate(&rng)?;
        let unseal = in_force.manifest.unseal();
        let shares = ShareSet {
            threshold: unseal.threshold,
            shares: put_shares(&core, &in_force, &root, generation).await?,
        };
        let Dealt { threshold, shares: dealt, holders } =
            shares::deal(&root, &in_force.manifest, &rng)?;
        let of = (core.store.identity().id(), generation);
        let recovery =
            write_later_recovery(&core.objects, of, threshold, &dealt, &holders, &rng).await?;
        let rekeyed = Rekeyed {
            version: 1,
            generation,
            automatic: shares.shares.iter().map(|share| share.name.clone()).collect(),
            automatic_threshold: shares.threshold,
            recovery: in_force
                .manifest
                .recovery()
                .holder
                .keys()
                .map(|name| name.as_str().to_owned())
                .collect(),
            recovery_threshold: threshold,
        };
        core.store.rekey(Rekey { root, generation, shares, recovery }).await?;
        tracing::info!(generation, "the store has a new root key");
        settle(&core).await?;
        Ok(rekeyed)
    })
    .await
}

/// A caller who goes away leaves nothing half done.
async fn whole<T, F>(core: &Arc<Core>, work: impl FnOnce(Arc<Core>) -> F) -> Result<T, RenewError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, RenewError>> + Send + 'static,
{
    tokio::spawn(work(Arc::clone(core))).await.map_err(RenewError::Task)?
}

async fn put_shares(
    core: &Core,
    in_force: &InForce,
    root: &RootKey,
    generation: u32,
) -> Result<Vec<store::ShareRef>, RenewError> {
    let (bundle, unseal) = (in_force.bundle.body(), in_force.manifest.unseal());
    let master = bundle.master_key.id();
    let identity = Sha256::new(*core.store.identity().id().as_bytes());
    let mut stored = Vec::new();
    let split = root.split(unseal.threshold, unseal.shares, &SystemRandom::new())?;
    for (index, share) in (1..=u8::MAX).zip(&split) {
        let deployment = bundle.deployment.as_str();
        let id = ShareId { deployment, key: &master, identity, generation, index };
        let unsigned = Unsigned::wrap(&bundle.master_key.public_key, &id, share.expose_secret())?;
        let signature = core.store.sign(unsigned.message())?;
        let wrapped = unsigned.signed(signature.as_bytes())?;
        stored.push(shares::put(&core.vault, &id, wrapped).await?);
    }
    Ok(stored)
}

/// Anchors what was renewed, and writes down when.
async fn settle(core: &Core) -> Result<(), RenewError> {
    let anchor = core.vault.anchor(core.identity.id())?;
    core.store.raise_anchor(&anchor).await?;
    let (term, at) = (core.store.key().number(), core.now());
    tracing::info!(term, "a new barrier key is in force and anchored");
    let noted = serde_json::to_vec(&Installed { version: 1, term, at });
    let value = noted.ok().and_then(|text| Value::new(text).ok()).ok_or(RenewError::Note)?;
    let key = Key::parse(INSTALLED).map_err(|_| RenewError::Note)?;
    core.store.commit(Transaction::new(at).put(key, value)).await?;
    Ok(())
}

/// Why keys were not renewed. What was made for them counts for nothing, unless it was only the anchor or the note that
/// failed; asking again renews them once more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("randomness")]
    Randomness(#[from] RandomnessUnavailable),
    #[error("splitting the root key")]
    Split(#[from] SplitError),
    #[error("wrapping a share")]
    Wrap(#[from] WrapError),
    #[error("automatic shares")]
    Put(#[from] PutError),
    #[error("recovery shares")]
    Deal(#[from] DealError),
    #[error("recovery shares")]
    Recovery(#[from] RecoveryError),
    #[error("putting a new key in force")]
    Change(#[from] ChangeError),
    #[error("the anchor's place")]
    Vault(#[from] VaultError),
    #[error("the new key is in force and not anchored")]
    Anchor(#[from] AnchorError),
    #[error("writing down when the key was made")]
    Commit(#[from] CommitError),
    #[error("writing down when the key was made")]
    Note,
    #[error("the task ended")]
    Task(#[source] tokio::task::JoinError),
}

/// Where the store keeps [`Installed`].
const INSTALLED: &str = "system/barrier-key";
