//! A running server follows its documents: it polls bundle and manifest, and takes over what a
//! signer signed and what does not go back. What is refused is reported once, and what was in
//! force stays in force.

use std::sync::Arc;
use std::time::Duration;

use protocol::bundle::{Bundle, BundleError};
use store::{CommitError, CompactError, Compacted, Retention};
use tokio::sync::{oneshot, watch};

use crate::boot::DocumentError;
use crate::boot::documents::{self, FoundManifest};
use crate::core::{Core, InForce, Phase};
use crate::vault::{VaultAnchor, VaultError};

/// What a running server keeps an eye on.
pub struct Follower {
    reader: Reader,
    anchorer: Anchorer,
    saver: Saver,
    watcher: Watcher,
}

impl Follower {
    /// Follows for this server; `phase` tells the doors, and `rekeyed` is told the generation of the root key if another
    /// server has replaced it: then this process can do nothing more.
    ///
    /// # Errors
    /// The anchor's name is not one, which does not happen.
    pub fn new(
        core: Arc<Core>,
        phase: watch::Sender<Phase>,
        rekeyed: oneshot::Sender<u32>,
    ) -> Result<Self, VaultError> {
        let anchor = core.vault.anchor(core.identity.id())?;
        let anchorer = Anchorer {
            core: Arc::clone(&core),
            anchor,
            anchored: 0,
            idle: 0,
            reported: Reported::default(),
        };
        let reported = [Reported::default(), Reported::default()];
        let saver = Saver {
            saved: core.store.origin().snapshot.map_or(1, |head| head.n),
            core: Arc::clone(&core),
            anchor: anchorer.anchor.clone(),
            pause: Pause::default(),
            reported: [Reported::default(), Reported::default()],
        };
        let watcher = Watcher {
            core: Arc::clone(&core),
            rekeyed: Some(rekeyed),
            reported: Reported::default(),
        };
        Ok(Self { reader: Reader { core, phase, reported }, anchorer, saver, watcher })
    }

    /// Follows until `stop` is set, then anchors what is acknowledged.
    ///
    /// They do not wait for each other: a storage that answers slowly must not keep commits from
    /// being anchored.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { reader, anchorer, saver, watcher } = self;
        tokio::join!(
            reader.run(stop.clone()),
            saver.run(stop.clone()),
            watcher.run(stop.clone()),
            anchorer.run(stop)
        );
    }
}

/// Waits for the next look; false if it is time to stop.
async fn next(stop: &mut watch::Receiver<bool>) -> bool {
    after(INTERVAL, stop).await
}

async fn after(interval: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    if *stop.borrow() {
        return false;
    }
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        changed = stop.changed() => changed.is_ok() && !*stop.borrow(),
    }
}

/// Keeps the anchor at the store's head.
struct Anchorer {
    core: Arc<Core>,
    anchor: VaultAnchor,
    anchored: u64,
    idle: u32,
    reported: Reported,
}

impl Anchorer {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while next(&mut stop).await {
            self.look().await;
        }
        self.anchored = 0;
        self.look().await;
    }

    /// Now and then it looks although nothing was committed: an update of the anchor that was held
    /// up on its way, or that another server made from an older head, may have lowered it.
    async fn look(&mut self) {
        let head = self.core.store.head();
        self.idle = self.idle.saturating_add(1);
        if head.n == self.anchored && self.idle < IDLE {
            return;
        }
        self.idle = 0;
        let raised = self.core.store.raise_anchor(&self.anchor).await;
        if let Some(head) = self.reported.told("anchor", raised) {
            self.anchored = head.n;
        }
    }
}

/// Reads what other servers commit, so that what they revoke is revoked here a second later.
struct Watcher {
    core: Arc<Core>,
    rekeyed: Option<oneshot::Sender<u32>>,
    reported: Reported,
}

impl Watcher {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while after(LOOK, &mut stop).await {
            let read = self.core.store.refresh().await;
            if let Err(CommitError::Rekeyed { generation }) = &read
                && let Some(rekeyed) = self.rekeyed.take()
            {
                tracing::error!(generation, "the store was rekeyed elsewhere; this process ends");
                // Nobody listens once the server ends for another reason.
                rekeyed.send(*generation).ok();
            }
            self.reported.told("log", read);
        }
    }
}

/// Stores a snapshot now and then, so that the next boot has little to read, and drops what two good ones make
/// superfluous.
struct Saver {
    core: Arc<Core>,
    anchor: VaultAnchor,
    saved: u64,
    pause: Pause,
    reported: [Reported; 2],
}

impl Saver {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while next(&mut stop).await {
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let store = &self.core.store;
        if store.head().n.saturating_sub(self.saved) < COMMITS_A_SNAPSHOT || self.pause.lasts() {
            return;
        }
        let [of_save, of_compaction] = &mut self.reported;
        let Some(head) = of_save.told("snapshot", store.save().await) else {
            self.pause.lengthen();
            return;
        };
        (self.saved, self.pause) = (head.n, Pause::default());
        match store.compact(Retention::default(), &self.anchor).await {
            // The first of a store, or the first after a rotation.
            Err(CompactError::TooFewSnapshots { found: 1 }) => {}
            compacted => {
                if let Some(Compacted { floor, dropped }) =
                    of_compaction.told("compaction", compacted)
                {
                    tracing::info!(floor, dropped, "old commits and snapshots dropped");
                }
            }
        }
    }
}

/// How many looks to let pass after a failure: twice as many each time, up to half an hour.
#[derive(Default)]
struct Pause {
    failures: u32,
    left: u32,
}

impl Pause {
    fn lasts(&mut self) -> bool {
        let lasts = self.left > 0;
        self.left = self.left.saturating_sub(1);
        lasts
    }

    fn lengthen(&mut self) {
        self.failures = self.failures.saturating_add(1).min(LONGEST_PAUSE);
        self.left = 1 << self.failures;
    }
}

/// Reads bundle and manifest.
struct Reader {
    core: Arc<Core>,
    phase: watch::Sender<Phase>,
    reported: [Reported; 2],
}

impl Reader {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while next(&mut stop).await {
            let (bundle, manifest) = (self.bundle().await, self.manifest().await);
            let [of_bundle, of_manifest] = &mut self.reported;
            of_bundle.told("bundle", bundle);
            of_manifest.told("manifest", manifest);
        }
    }

    async fn bundle(&self) -> Result<(), FollowError> {
        let text = self.core.vault.bundle_text().await?;
        let current = self.core.in_force();
        if text == current.bundle_text {
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
        let manifest = documents::manifest(&self.core.objects, trust_root, bundle.body()).await?;
        self.take_over(bundle, text, manifest).await?;
        let phase = self.core.phase();
        if let Phase::Serving(_) = phase {
            tracing::info!(step = "serving", "a signer has confirmed the store");
        }
        self.phase.send_replace(phase);
        Ok(())
    }

    async fn manifest(&self) -> Result<(), FollowError> {
        let current = self.core.in_force();
        let found =
            documents::manifest(&self.core.objects, &self.core.trust_root, current.bundle.body())
                .await?;
        if found.text == current.manifest_text {
            return Ok(());
        }
        let trust_root = &self.core.trust_root;
        let text = current.bundle_text.clone();
        let bundle = Bundle::verify(&text, trust_root.deployment(), trust_root.signers())?;
        self.take_over(bundle, text, found).await
    }

    async fn take_over(
        &self,
        bundle: Bundle,
        text: String,
        manifest: FoundManifest,
    ) -> Result<(), FollowError> {
        documents::commit_seen(&self.core.store, &bundle, &manifest.signed, self.core.now())
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
}

/// What was last told of one thing, so that it is told once. It is looked at again all the same: the
/// reason may have been that something else was not there yet.
#[derive(Default)]
pub(crate) struct Reported(Option<String>);

impl Reported {
    /// The result, if it is one; otherwise the reason is told unless it just was.
    ///
    /// Standard output is the host's: what was refused and why, in our own words, without content.
    pub(crate) fn told<T, E: std::error::Error>(
        &mut self,
        what: &'static str,
        result: Result<T, E>,
    ) -> Option<T> {
        let error = match result {
            Ok(done) => {
                self.0 = None;
                return Some(done);
            }
            Err(error) => error,
        };
        let first: &dyn std::error::Error = &error;
        let reasons: Vec<String> =
            std::iter::successors(Some(first), |e| e.source()).map(ToString::to_string).collect();
        let reason = reasons.join(": ");
        if self.0.as_ref() != Some(&reason) {
            tracing::warn!(what, reason, "refused or unavailable; what is in force stays");
            self.0 = Some(reason);
        }
        None
    }
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
    OtherStore { expected: evidence::Sha256, found: evidence::Sha256 },
    #[error("the bundle no longer names a store")]
    IdentityDropped,
}

/// After how many commits a snapshot is stored.
const COMMITS_A_SNAPSHOT: u64 = 4096;
/// How often documents are looked at, and the head anchored.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Two to this power is how many looks a failure of a snapshot lets pass at most.
const LONGEST_PAUSE: u32 = 10;
/// After how many looks without a commit the anchor is looked at all the same: half a minute.
const IDLE: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_each_failure_twice_as_many_looks_pass() {
        let mut pause = Pause::default();
        assert!(!pause.lasts());
        for looks in [2, 4, 8, 16] {
            pause.lengthen();
            assert_eq!(
                std::iter::repeat_with(|| pause.lasts()).take_while(|lasts| *lasts).count(),
                looks
            );
        }
        for _ in 0..40 {
            pause.lengthen();
        }
        assert_eq!(pause.left, 1 << LONGEST_PAUSE);
    }

    #[test]
    fn a_reason_is_told_once_until_something_else_happens() {
        let fault = |n| Err::<(), _>(FollowError::Document(DocumentError::TooLarge { length: n }));
        let mut reported = Reported::default();
        for (result, told) in [
            (fault(1), true),
            (fault(1), true),
            (fault(2), true),
            (Ok(()), false),
            (fault(2), true),
        ] {
            reported.told("manifest", result);
            assert_eq!(reported.0.is_some(), told);
        }
        let kept = reported.0.unwrap();
        assert!(kept.contains("a manifest of 2 bytes"), "{kept}");
    }
}
