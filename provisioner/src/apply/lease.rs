//! The deploy lease: who holds it deploys, whoever else tries is told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use azure::blob::{Lease, LeaseDuration, LeaseError};
use tokio::task::JoinHandle;

use super::{Applying, Roles};
use crate::cloud::Cloud;
use crate::failure::{Exit, Failure};
use crate::record::Record;

/// The lease while it is held; renewed in the background.
pub struct DeployLease {
    lease: Arc<Lease>,
    renewing: JoinHandle<()>,
    lost: Arc<AtomicBool>,
}

impl DeployLease {
    /// Takes the lease under the record's id, so that a run that was cut off has it back at once.
    ///
    /// # Errors
    /// Somebody else has it, or the storage account does not answer.
    pub async fn take(cloud: &Cloud, record: &Record) -> Result<Self, LeaseError> {
        let lease = cloud.leases.acquire(BLOB, record.lease, LeaseDuration::Seconds(60)).await?;
        let lease = Arc::new(lease);
        let lost = Arc::new(AtomicBool::new(false));
        let renewing = tokio::spawn({
            let (lease, lost) = (lease.clone(), lost.clone());
            async move {
                loop {
                    tokio::time::sleep(RENEW).await;
                    if let Err(LeaseError::Lost(_) | LeaseError::Held(_)) = lease.renew().await {
                        lost.store(true, Ordering::SeqCst);
                        return;
                    }
                }
            }
        });
        Ok(Self { lease, renewing, lost })
    }

    /// Whether it is still ours.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self) -> Result<(), Failure> {
        if self.lost.load(Ordering::SeqCst) {
            let what = "the deploy lease was lost: another deployment may be running";
            Err(Failure::new(what, "wait until it is done, then run again").exiting(Exit::Busy))
        } else {
            Ok(())
        }
    }

    /// Gives it back.
    pub async fn release(self) {
        self.renewing.abort();
        self.renewing.await.ok();
        if let Some(lease) = Arc::into_inner(self.lease) {
            // One that cannot be given back ends by itself within a minute.
            lease.release().await.ok();
        }
    }
}

/// Somebody else's lease, or the error as it is.
pub(crate) fn failure(error: LeaseError) -> Failure {
    let busy = matches!(error, LeaseError::Held(_));
    let remedy = error.remedy();
    if busy {
        Failure::of("another deployment is running", error, remedy).exiting(Exit::Busy)
    } else {
        Failure::of("taking the deploy lease", error, remedy)
    }
}

impl Applying<'_> {
    /// Takes the lease if it is not held; waits while the role that permits it is being acted on.
    pub(super) async fn take_lease(&mut self) -> Result<(), Failure> {
        if self.lease.is_some() {
            return Ok(());
        }
        // The id must be known to the next run before it is used.
        self.record.write(&self.deployment.state)?;
        let mut waited = Duration::ZERO;
        loop {
            match DeployLease::take(self.cloud, &self.record).await {
                Ok(lease) => {
                    self.lease = Some(lease);
                    return Ok(());
                }
                Err(LeaseError::Denied(_)) if self.may_wait(waited) => {
                    waited += self.pause(waited).await;
                }
                Err(error) => return Err(failure(error)),
            }
        }
    }

    /// Whether a refusal for want of a role may only be a role that Azure does not act on yet.
    pub(super) fn may_wait(&self, waited: Duration) -> bool {
        self.roles == Roles::Fresh && waited < ROLES_SETTLE
    }

    pub(super) async fn pause(&self, waited: Duration) -> Duration {
        let pause = (waited / 2).clamp(Duration::from_millis(200), Duration::from_secs(15));
        tokio::time::sleep(pause).await;
        pause
    }

    /// The id under which the record holds the lease is not needed any more.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub async fn finish(&mut self) -> Result<(), Failure> {
        if let Some(lease) = self.lease.take() {
            lease.release().await;
        }
        Ok(())
    }
}

/// Repeats a call while it is denied and a role of ours is fresh.
macro_rules! patiently {
    ($applying:expr, $denied:pat, $call:expr) => {{
        let mut waited = std::time::Duration::ZERO;
        loop {
            match $call.await {
                Err($denied) if $applying.may_wait(waited) => {
                    waited += $applying.pause(waited).await;
                }
                done => break done,
            }
        }
    }};
}
pub(crate) use patiently;

const BLOB: &str = "deploy/lease";
const RENEW: Duration = Duration::from_secs(20);
/// Azure says that a role assignment takes up to ten minutes.
const ROLES_SETTLE: Duration = Duration::from_secs(600);
