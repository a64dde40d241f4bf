//! A running server follows its documents: it polls bundle and manifest, and takes over what a
//! signer signed and what does not go back. What is refused is reported once, and what was in
//! force stays in force.

use std::sync::Arc;
use std::time::Duration;

use evidence::Sha256;
use object_store::ObjectStore;
use protocol::bundle::{Bundle, BundleError};
use tokio::sync::watch;

use crate::boot::DocumentError;
use crate::boot::documents::{self, FoundManifest};
use crate::core::{Core, InForce, Phase};
use crate::vault::{Vault, VaultAnchor, VaultError};

/// What a running server keeps an eye on.
pub struct Follower {
    core: Arc<Core>,
    vault: Vault,
    anchor: VaultAnchor,
    objects: Arc<dyn ObjectStore>,
    phase: watch::Sender<Phase>,
    /// Of the last text that was refused, so that it is reported once.
    refused: [Option<Sha256>; 2],
    anchored: u64,
}

impl Follower {
    /// Follows for this server; `phase` tells the doors.
    ///
    /// # Errors
    /// The anchor's name is not one, which does not happen.
    pub fn new(
        core: Arc<Core>,
        vault: Vault,
        objects: Arc<dyn ObjectStore>,
        phase: watch::Sender<Phase>,
    ) -> Result<Self, VaultError> {
        let anchor = vault.anchor(core.identity.id())?;
        Ok(Self { core, vault, anchor, objects, phase, refused: [None, None], anchored: 0 })
    }

    /// Follows until `stop` is set, then anchors what is acknowledged.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => self.look().await,
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        self.anchor().await;
    }

    async fn look(&mut self) {
        if let Err(error) = self.bundle().await {
            report("bundle", &error);
        }
        if let Err(error) = self.manifest().await {
            report("manifest", &error);
        }
        self.anchor().await;
    }

    async fn anchor(&mut self) {
        let head = self.core.store.head();
        if head.n == self.anchored {
            return;
        }
        match self.core.store.raise_anchor(&self.anchor).await {
            Ok(head) => self.anchored = head.n,
            Err(error) => report("anchor", &error),
        }
    }

    async fn bundle(&mut self) -> Result<(), FollowError> {
        let text = self.vault.bundle_text().await?;
        let current = self.core.in_force();
        if text == current.bundle_text || !self.is_news(0, &text) {
            return Ok(());
        }
        let trust_root = &self.core.trust_root;
        let bundle = Bundle::verify(&text, trust_root.deployment(), trust_root.signers())?;
        documents::follows(&bundle, current.bundle.body())?;
        if let Some(identity) = &bundle.body().identity
            && *identity != self.core.identity
        {
            return Err(FollowError::OtherStore {
                expected: identity.id(),
                found: self.core.identity.id(),
            });
        }
        if bundle.body().identity.is_none() && current.bundle.body().identity.is_some() {
            return Err(FollowError::IdentityDropped);
        }
        let manifest = documents::manifest(&self.objects, trust_root, bundle.body()).await?;
        self.take_over(bundle, text, manifest).await?;
        self.refused[0] = None;
        let phase = self.core.phase();
        if let Phase::Serving(_) = phase {
            tracing::info!(step = "serving", "a signer has confirmed the store");
        }
        self.phase.send_replace(phase);
        Ok(())
    }

    async fn manifest(&mut self) -> Result<(), FollowError> {
        let current = self.core.in_force();
        let found =
            documents::manifest(&self.objects, &self.core.trust_root, current.bundle.body())
                .await?;
        if found.text == current.manifest_text || !self.is_news(1, &found.text) {
            return Ok(());
        }
        let trust_root = &self.core.trust_root;
        let text = current.bundle_text.clone();
        let bundle = Bundle::verify(&text, trust_root.deployment(), trust_root.signers())?;
        self.take_over(bundle, text, found).await?;
        self.refused[1] = None;
        Ok(())
    }

    async fn take_over(
        &self,
        bundle: Bundle,
        text: String,
        manifest: FoundManifest,
    ) -> Result<(), FollowError> {
        documents::commit_seen(&self.core.store, bundle.body(), &manifest.signed, self.core.now())
            .await?;
        self.core.in_force.store(Arc::new(InForce {
            bundle,
            bundle_text: text,
            manifest_digest: manifest.signed.digest(),
            manifest: manifest.signed.into_manifest(),
            manifest_text: manifest.text,
        }));
        Ok(())
    }

    /// Whether this text has not just been refused.
    fn is_news(&mut self, which: usize, text: &str) -> bool {
        let digest = Sha256::of(text.as_bytes());
        let news = self.refused.get(which).copied().flatten() != Some(digest);
        if let Some(refused) = self.refused.get_mut(which) {
            *refused = Some(digest);
        }
        news
    }
}

/// Standard output is the host's: what was refused and why, in our own words, without content.
fn report(what: &'static str, error: &dyn std::error::Error) {
    let reasons: Vec<String> =
        std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect();
    tracing::warn!(
        what,
        reason = reasons.join(": "),
        "refused or unavailable; what is in force stays"
    );
}

/// Why something new was not taken over.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("key vault")]
    Vault(#[from] VaultError),
    #[error("bundle")]
    Bundle(#[from] BundleError),
    #[error("document")]
    Document(#[from] DocumentError),
    #[error("the bundle names the store {expected}, this server has {found}")]
    OtherStore { expected: Sha256, found: Sha256 },
    #[error("the bundle no longer names a store")]
    IdentityDropped,
}

/// How often documents are looked at, and the head anchored.
const INTERVAL: Duration = Duration::from_secs(2);
