//! Resources as kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::operations::Operation;

/// Everything that resource management keeps; role assignments are kept by [`crate::rbac`], containers by [`crate::blob`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ArmState {
    /// Resource groups by name in lower case.
    pub(super) groups: BTreeMap<String, Group>,
    /// Resources by id in lower case.
    pub(super) resources: BTreeMap<String, Resource>,
    /// Soft-deleted vaults by name in lower case.
    pub(super) deleted_vaults: BTreeMap<String, DeletedVault>,
    /// Long-running operations by id.
    pub(super) operations: BTreeMap<Uuid, Operation>,
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub name: String,
    pub location: String,
    pub tags: BTreeMap<String, String>,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Resource id, in the case in which it was made.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The group it is in.
    pub group: String,
    /// E.g. `westeurope`.
    pub location: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Other members at the top of the body: `sku`, `kind`, `identity`.
    pub top: Map<String, Value>,
    /// `properties` as anyone with read permission sees them.
    pub properties: Map<String, Value>,
    /// What is never returned: keys, secure values.
    pub secret: Map<String, Value>,
    /// When it was made.
    pub created: Timestamp,
    /// When a long-running creation ends.
    pub ready: Timestamp,
}

/// A soft-deleted vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeletedVault {
    pub resource: Resource,
    pub deleted: Timestamp,
    pub purge: Timestamp,
}

/// The types of resources that live in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// `Microsoft.Attestation/attestationProviders`
    AttestationProvider,
    /// `Microsoft.KeyVault/vaults`
    Vault,
    /// `Microsoft.Storage/storageAccounts`
    StorageAccount,
    /// `Microsoft.ManagedIdentity/userAssignedIdentities`
    Identity,
    /// `Microsoft.OperationalInsights/workspaces`
    Workspace,
    /// `Microsoft.ContainerRegistry/registries`
    Registry,
    /// `Microsoft.ContainerInstance/containerGroups`
    ContainerGroup,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::AttestationProvider,
        Self::Vault,
        Self::StorageAccount,
        Self::Identity,
        Self::Workspace,
        Self::Registry,
        Self::ContainerGroup,
    ];

    /// `Namespace/type`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::AttestationProvider => "Microsoft.Attestation/attestationProviders",
            Self::Vault => "Microsoft.KeyVault/vaults",
            Self::StorageAccount => "Microsoft.Storage/storageAccounts",
            Self::Identity => "Microsoft.ManagedIdentity/userAssignedIdentities",
            Self::Workspace => "Microsoft.OperationalInsights/workspaces",
            Self::Registry => "Microsoft.ContainerRegistry/registries",
            Self::ContainerGroup => "Microsoft.ContainerInstance/containerGroups",
        }
    }

    /// The api-versions that the providers' specifications list as stable (azure.md F.2, D.6, and the specifications' folders).
    pub(super) fn versions(self) -> &'static [&'static str] {
        match self {
            Self::AttestationProvider => &["2020-10-01", "2021-06-01"],
            Self::Vault => &[
                "2018-02-14",
                "2019-09-01",
                "2021-10-01",
                "2022-07-01",
                "2022-11-01",
                "2023-02-01",
                "2023-07-01",
                "2024-11-01",
                "2025-05-01",
                "2026-02-01",
            ],
            Self::StorageAccount => &[
                "2019-06-01",
                "2021-01-01",
                "2021-02-01",
                "2021-04-01",
                "2021-06-01",
                "2021-08-01",
                "2021-09-01",
                "2022-05-01",
                "2022-09-01",
                "2023-01-01",
                "2023-04-01",
                "2023-05-01",
                "2024-01-01",
                "2025-01-01",
                "2025-06-01",
                "2025-08-01",
            ],
            Self::Identity => &["2018-11-30", "2023-01-31", "2024-11-30"],
            Self::Workspace => &[
                "2020-08-01",
                "2021-06-01",
                "2022-10-01",
                "2023-09-01",
                "2025-02-01",
                "2025-07-01",
            ],
            Self::Registry => &[
                "2019-05-01",
                "2021-09-01",
                "2022-12-01",
                "2023-07-01",
                "2025-04-01",
                "2025-11-01",
            ],
            Self::ContainerGroup => &["2023-05-01", "2025-09-01", "2026-07-01"],
        }
    }

    /// The kind of `namespace/type`, without case.
    pub(super) fn of(namespace: &str, kind: &str) -> Option<Self> {
        let wanted = format!("{namespace}/{kind}");
        Self::ALL.into_iter().find(|known| known.type_name().eq_ignore_ascii_case(&wanted))
    }
}
