//! Does what a plan says, step by step. Every step may be the last one before the machine dies: what was begun is found by
//! the next run's inventory, or in this machine's record, which is always written first.
//!
//! Steps about keys, secrets and what is signed are done under the deploy lease, a lease on a blob of the storage
//! container: of two deployments, one does them and the other says so.

mod artefacts;
mod documents;
mod group;
mod key;
mod lease;
mod policy;
mod resources;

use std::collections::BTreeMap;

use infra::{Kind, Outputs};
use jiff::Timestamp;
use protocol::bundle::{Artefact, BundleBody, MasterKeyRef, SecretRef};
use protocol::server_evidence::VerifiedServer;

use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::measure::Measured;
use crate::plan::{Action, Effect, Intent, KeyChoice, Operation, Plan};
use crate::progress::Progress;
use crate::record::Record;
use crate::signing::{Elsewhere, Signer};

pub(crate) use group::{address, expectation, prove, wait};
pub(crate) use lease::{DeployLease, failure as lease_failure};

/// What applying needs.
pub struct Applying<'a> {
    /// The deployment.
    pub deployment: &'a Deployment,
    /// Its Azure.
    pub cloud: &'a Cloud,
    /// What should be.
    pub intent: Intent<'a>,
    /// The image.
    pub measured: &'a Measured,
    /// Who signs.
    pub signer: &'a Signer,
    /// Who signs the attestation policy, if not the same.
    pub policy_signer: Elsewhere,
    /// What this machine has asked for.
    pub record: Record,
    /// What resources tell that others need.
    pub outputs: Outputs,
    /// The deploy lease, once it is held.
    pub lease: Option<DeployLease>,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where progress is shown.
    pub progress: Progress,
    /// Whether a role of ours is so new that Azure may not act on it yet.
    pub roles: Roles,
    /// The master key that was made in this run.
    pub key: Option<MasterKeyRef>,
    /// The artefacts that were stored in this run.
    pub stored: BTreeMap<Artefact, SecretRef>,
    /// The bundle in force: as it was found, or as it was signed in this run.
    pub bundle: Option<BundleBody>,
}

/// Whether a role of ours is so new that Azure may not act on it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// None was assigned in this run.
    Settled,
    /// One was.
    Fresh,
}

impl Applying<'_> {
    /// Does the steps, in order.
    ///
    /// # Errors
    /// The first step that fails; running again goes on from there.
    pub async fn run(&mut self, plan: &Plan) -> Result<(), Failure> {
        for action in &plan.actions {
            if let Operation::SignBundle(draft) = &action.operation
                && let KeyChoice::Pinned(key) = &draft.key
            {
                self.key = Some(key.clone());
            }
        }
        for action in &plan.actions {
            if !self.is_foundation(action) {
                self.take_lease().await?;
            }
            if let Some(lease) = &self.lease {
                lease.check()?;
            }
            self.step(action).await?;
        }
        let is = |wanted: fn(&Operation) -> bool| {
            plan.actions.iter().any(|action| wanted(&action.operation))
        };
        let locked = is(|operation| matches!(operation, Operation::WriteLock));
        let touched = is(|operation| match operation {
            Operation::Create(resource)
            | Operation::Replace(resource)
            | Operation::StartGroup(resource) => resource.kind() == Kind::ContainerGroup,
            Operation::Update(_)
            | Operation::Retag(_)
            | Operation::RecoverVault(_)
            | Operation::PushImage
            | Operation::SetAttestationPolicy
            | Operation::CreateMasterKey
            | Operation::RecoverKey { .. }
            | Operation::EnableKeyVersion { .. }
            | Operation::DisableKeyVersion { .. }
            | Operation::StoreTls
            | Operation::StoreStorageKey
            | Operation::SignBundle(_)
            | Operation::SignManifest
            | Operation::ConfirmStore
            | Operation::WriteLock => false,
        });
        // A started server is waited for here where no other step does.
        if touched && !locked { self.await_serving().await } else { Ok(()) }
    }

    /// What is idempotent by its name needs no lease, and must be there before there can be one.
    fn is_foundation(&self, action: &Action) -> bool {
        match &action.operation {
            Operation::Create(resource)
            | Operation::Update(resource)
            | Operation::Retag(resource)
            | Operation::Replace(resource)
            | Operation::RecoverVault(resource) => resource.kind() != Kind::ContainerGroup,
            Operation::PushImage
            | Operation::SetAttestationPolicy
            | Operation::CreateMasterKey
            | Operation::RecoverKey { .. }
            | Operation::EnableKeyVersion { .. }
            | Operation::DisableKeyVersion { .. }
            | Operation::StoreTls
            | Operation::StoreStorageKey
            | Operation::SignBundle(_)
            | Operation::SignManifest
            | Operation::StartGroup(_)
            | Operation::ConfirmStore
            | Operation::WriteLock => false,
        }
    }

    async fn step(&mut self, action: &Action) -> Result<(), Failure> {
        let recovers =
            matches!(action.operation, Operation::RecoverVault(_) | Operation::RecoverKey { .. });
        let verb = match action.operation.effect() {
            _ if recovers => "recover",
            Effect::Create => "create",
            Effect::Change => "change",
            Effect::Replace => "replace",
            Effect::Disable => "disable",
            Effect::Check => "verify",
        };
        let step =
            self.progress.step(format!("{verb} {} {}", action.operation.kind(), action.subject));
        match &action.operation {
            Operation::Create(resource) => self.create(resource).await?,
            Operation::Update(resource) => self.update(resource).await?,
            Operation::Retag(resource) => self.retag(resource).await?,
            Operation::Replace(resource) => self.replace(resource).await?,
            Operation::RecoverVault(resource) => self.recover_vault(resource).await?,
            Operation::PushImage => self.push_image().await?,
            Operation::SetAttestationPolicy => self.set_policy().await?,
            Operation::CreateMasterKey => self.create_key().await?,
            Operation::RecoverKey { name } => self.recover_key(name).await?,
            Operation::EnableKeyVersion { name, version } => {
                self.enable_version(name, version).await?;
            }
            Operation::DisableKeyVersion { name, version } => {
                self.disable_version(name, version).await?;
            }
            Operation::StoreTls => self.store_tls().await?,
            Operation::StoreStorageKey => self.store_storage_key().await?,
            Operation::SignBundle(draft) => self.sign_bundle(draft).await?,
            Operation::SignManifest => self.sign_manifest().await?,
            Operation::StartGroup(resource) => self.start_group(resource).await?,
            Operation::ConfirmStore => self.confirm_store(&step).await?,
            Operation::WriteLock => self.write_lock(&step).await?,
        }
        step.done();
        Ok(())
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// Whether a proven server's store is confirmed.
pub(crate) fn is_confirmed(server: &VerifiedServer) -> bool {
    matches!(server, VerifiedServer::Confirmed(_))
}
