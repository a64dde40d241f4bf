//! Facts that resource management knows and the data planes need.
//!
//! Resource management (`arm`) is the only writer, inside the request that changes the resource and *before* it changes its own state
//! (so that a repeated request repairs a crash between the two); everyone else reads. Names and hosts are keys in lower case.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All facts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Key vaults that exist (not soft-deleted), by name in lower case.
    pub vaults: BTreeMap<String, Vault>,
    /// Attestation providers, by host (`name.weu.attest.azure.net`).
    pub providers: BTreeMap<String, Provider>,
    /// User-assigned managed identities, by resource id in lower case.
    pub identities: BTreeMap<String, Identity>,
    /// Which identities running container groups hold: lower-case id of the group → lower-case ids of identities.
    pub running: BTreeMap<String, Vec<String>>,
}

impl Inventory {
    /// The identities that the instance-metadata endpoint serves: those of running container groups, each once.
    pub fn running_identities(&self) -> Vec<&Identity> {
        let mut ids: Vec<&String> = self.running.values().flatten().collect();
        ids.sort();
        ids.dedup();
        ids.into_iter().filter_map(|id| self.identities.get(id)).collect()
    }
}

/// A key vault as its data plane sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the resource")]
pub struct Vault {
    /// Name as given.
    pub name: String,
    /// Resource id as given.
    pub id: String,
    /// Location, e.g. `westeurope`.
    pub location: String,
    /// Premium SKU: HSM-backed and exportable keys.
    pub premium: bool,
    /// Soft-delete retention in days, 7–90.
    pub retention_days: u32,
    /// Purge protection.
    pub purge_protection: bool,
    /// `enableRbacAuthorization`; without it every data-plane call is refused (access policies are not simulated).
    pub rbac: bool,
    /// `publicNetworkAccess`.
    pub public: bool,
}

/// An attestation provider as its data plane sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Name as given.
    pub name: String,
    /// Resource id as given.
    pub id: String,
    /// Location, e.g. `westeurope`.
    pub location: String,
    /// Initial policy-signing certificates (standard base64 DER); any makes the provider *isolated*.
    pub policy_signing_certificates: Vec<String>,
}

/// A user-assigned managed identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Resource id as given.
    pub id: String,
    /// Application id.
    pub client_id: uuid::Uuid,
    /// Object id of its service principal.
    pub principal_id: uuid::Uuid,
}
