//! The steps of a plan.

use std::collections::{BTreeMap, BTreeSet};

use evidence::HostData;
use infra::Resource;
use protocol::bundle::{Artefact, BirthMark, Identity, MasterKeyRef, SecretRef, StoreRef};

use super::Change;

/// One step.
#[derive(Debug, Clone)]
pub struct Action {
    /// What is done.
    pub operation: Operation,
    /// What it is done to.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// The members that differ, where something is changed.
    pub changes: Vec<Change>,
}

/// What is done.
#[derive(Debug, Clone)]
pub enum Operation {
    /// A resource is made.
    Create(Resource),
    /// A resource is changed in place.
    Update(Resource),
    /// Only the tags of a resource are changed.
    Retag(Resource),
    /// A resource is removed and made anew, because Azure cannot change it.
    Replace(Resource),
    /// The soft-deleted vault is brought back, with its keys and secrets.
    RecoverVault(Resource),
    /// The measured image is pushed.
    PushImage,
    /// The attestation policy is signed and set, and read back.
    SetAttestationPolicy,
    /// The master key is made.
    CreateMasterKey,
    /// A soft-deleted key is brought back.
    RecoverKey {
        /// Its name.
        name: String,
    },
    /// A version of the master key is enabled again.
    EnableKeyVersion {
        /// The key.
        name: String,
        /// The version.
        version: String,
    },
    /// A version that nobody asked for can no longer be released.
    DisableKeyVersion {
        /// The key.
        name: String,
        /// The version.
        version: String,
    },
    /// The server's TLS key and certificate are made or imported, and stored with the wrapped password.
    StoreTls,
    /// The storage account's access key is wrapped and stored.
    StoreStorageKey,
    /// The bundle is signed and stored.
    SignBundle(Box<BundleDraft>),
    /// The manifest is signed and put into the storage container.
    SignManifest,
    /// A stopped container group is started.
    StartGroup(Resource),
    /// The born store's identity is verified by the server's evidence and signed into the bundle.
    ConfirmStore,
    /// The server is verified and the lock written.
    WriteLock,
}

/// A bundle, apart from what is made while the plan is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleDraft {
    /// Its serial.
    pub serial: u64,
    /// The lowest manifest revision.
    pub minimum_revision: u64,
    /// The master key.
    pub key: KeyChoice,
    /// The artefacts that stay.
    pub keep: BTreeMap<Artefact, SecretRef>,
    /// The artefacts that this plan stores.
    pub wrap: BTreeSet<Artefact>,
    /// Where the store is.
    pub store: StoreRef,
    /// The permitted servers.
    pub host_data: BTreeSet<HostData>,
    /// The store's identity.
    pub identity: Option<Identity>,
    /// The birth that stays permitted, where no store is named. A new one is permitted if there is none.
    pub birth: Option<BirthMark>,
}

/// Which master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChoice {
    /// The one that this plan makes.
    Made,
    /// An existing version.
    Pinned(MasterKeyRef),
}

/// What a step does to what was there, for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Something new.
    Create,
    /// Something changes.
    Change,
    /// Something goes and comes anew.
    Replace,
    /// Something is put out of use.
    Disable,
    /// Something is checked or written down.
    Check,
}

impl Operation {
    /// What it does to what was there.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Create(_) | Self::PushImage | Self::CreateMasterKey => Effect::Create,
            Self::StoreTls | Self::StoreStorageKey => Effect::Create,
            Self::SignBundle(draft) if draft.serial == 1 => Effect::Create,
            Self::Update(_)
            | Self::Retag(_)
            | Self::RecoverVault(_)
            | Self::SetAttestationPolicy
            | Self::RecoverKey { .. }
            | Self::EnableKeyVersion { .. }
            | Self::SignBundle(_)
            | Self::SignManifest
            | Self::StartGroup(_) => Effect::Change,
            Self::Replace(_) => Effect::Replace,
            Self::DisableKeyVersion { .. } => Effect::Disable,
            Self::ConfirmStore | Self::WriteLock => Effect::Check,
        }
    }

    /// What kind of thing it is about.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create(resource)
            | Self::Update(resource)
            | Self::Retag(resource)
            | Self::Replace(resource)
            | Self::RecoverVault(resource)
            | Self::StartGroup(resource) => resource.kind().label(),
            Self::PushImage => "image",
            Self::SetAttestationPolicy => "attestation policy",
            Self::CreateMasterKey | Self::RecoverKey { .. } => "master key",
            Self::EnableKeyVersion { .. } | Self::DisableKeyVersion { .. } => "key version",
            Self::StoreTls => "TLS certificate",
            Self::StoreStorageKey => "storage key",
            Self::SignBundle(_) => "bundle",
            Self::SignManifest => "signed manifest",
            Self::ConfirmStore => "store identity",
            Self::WriteLock => "lock",
        }
    }

    /// Whether something is lost, or out of reach for a while, that cannot be had back by running again.
    #[must_use]
    pub fn destroys(&self) -> bool {
        match self {
            // A container group holds nothing, and neither does a role assignment.
            Self::Replace(resource) => !matches!(
                resource.kind(),
                infra::Kind::ContainerGroup | infra::Kind::RoleAssignment
            ),
            Self::SignBundle(_)
            | Self::Create(_)
            | Self::Update(_)
            | Self::Retag(_)
            | Self::RecoverVault(_)
            | Self::PushImage
            | Self::SetAttestationPolicy
            | Self::CreateMasterKey
            | Self::RecoverKey { .. }
            | Self::EnableKeyVersion { .. }
            | Self::DisableKeyVersion { .. }
            | Self::StoreTls
            | Self::StoreStorageKey
            | Self::SignManifest
            | Self::StartGroup(_)
            | Self::ConfirmStore
            | Self::WriteLock => false,
        }
    }
}
