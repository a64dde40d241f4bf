//! What Azure is: read, never changed, and never believed beyond what there is to repair.
//!
//! The types are plain data, so that a plan can be made from an inventory that a test wrote. [`read`] fills them.

mod history;
pub(crate) mod reading;
pub(crate) mod vault;

use std::collections::BTreeMap;

use azure::keys::{Key, KeyVersion};
use evidence::Sha256;
use infra::{Outputs, ResourceId};
use jiff::Timestamp;
use protocol::bundle::{Artefact, BundleBody};
use serde_json::Value;

use crate::tls::Certificate;

pub use reading::{Want, read};

/// What Azure is.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The resources that exist, by their ids in lower case.
    pub resources: BTreeMap<String, Value>,
    /// What they tell that others need.
    pub outputs: Outputs,
    /// The soft-deleted vault that holds the vault's name.
    pub deleted_vault: Option<Deleted>,
    /// The attestation policy in force.
    pub policy: Reading<AttestationPolicy>,
    /// The keys and secrets.
    pub vault: Reading<Vault>,
    /// The storage container.
    pub store: Reading<Objects>,
    /// The image in the registry.
    pub image: Reading<Presence>,
    /// SHA-256 of the storage account's access key, where it is used and may be read.
    pub access_key: Option<Sha256>,
}

/// What could be read of something that lies in a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// The resource that it lies in does not exist.
    #[default]
    Absent,
    /// We may not look at it, until a role of the plan is assigned.
    Denied,
    /// What there is.
    Found(T),
}

/// Something soft-deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// When Azure destroys it.
    pub purged: Option<Timestamp>,
}

/// The provider's policy for SEV-SNP, and who may change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationPolicy {
    /// The text; `None` is a policy that has none, or that this program cannot read.
    pub text: Option<String>,
    /// SHA-256 of the DER of each certificate that may sign policies, in lower-case hex.
    pub signers: Vec<String>,
}

/// What a vault holds, as far as it concerns us.
#[derive(Debug, Clone, Default)]
pub struct Vault {
    /// Each key that is wanted or named by something of ours.
    pub keys: BTreeMap<String, KeyState>,
    /// The bundle in force: the one of the highest serial that was ever stored.
    pub bundle: FoundBundle,
    /// The serial of the newest version, if that is not the highest.
    pub put_back: Option<u64>,
    /// The versions that cannot be read.
    pub hidden: Vec<String>,
    /// The artefacts that the bundle names.
    pub artefacts: BTreeMap<Artefact, FoundArtefact>,
    /// SHA-256 of the access key that was wrapped, as its writer noted beside it. It only says when to wrap anew.
    pub wrapped_key: Option<Sha256>,
}

/// A key by its name.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyState {
    /// There is none.
    Missing,
    /// It is soft-deleted and holds its name.
    Deleted(Deleted),
    /// It exists.
    Present(Vec<FoundVersion>),
}

/// A version of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundVersion {
    /// Its line in the list.
    pub about: KeyVersion,
    /// The key.
    pub key: Key,
}

/// The newest version of the bundle's secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FoundBundle {
    /// There is none.
    #[default]
    Missing,
    /// It is not this deployment's bundle, and why.
    Invalid(String),
    /// It is signed.
    Signed(Box<BundleBody>),
}

/// An artefact that the bundle names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundArtefact {
    /// It is there and is what was signed for; of TLS material also what its certificate says.
    Same(Option<Certificate>),
    /// That version is gone or disabled.
    Missing,
    /// It has another value.
    Other,
}

/// What is in the storage container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// The manifest in force.
    pub manifest: FoundManifest,
    /// Whether a store was born in it.
    pub birth: Birth,
}

/// The blob of the signed manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FoundManifest {
    /// There is none.
    #[default]
    Missing,
    /// It is not this deployment's signed manifest, and why.
    Invalid(String),
    /// It is signed.
    Signed {
        /// Its revision.
        revision: u64,
        /// The digest of its canonical form.
        digest: Sha256,
    },
}

/// Whether there is a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Birth {
    /// There is no commit.
    #[default]
    Unborn,
    /// There is at least one.
    Born,
}

/// Whether the registry has the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Present,
    /// It does not.
    Missing,
}

impl Inventory {
    /// A resource's body, if it exists.
    #[must_use]
    pub fn resource(&self, id: &ResourceId) -> Option<&Value> {
        self.resources.get(&id.as_str().to_ascii_lowercase())
    }
}

impl<T> Reading<T> {
    /// What there is, if it could be read.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Absent | Self::Denied => None,
        }
    }
}
