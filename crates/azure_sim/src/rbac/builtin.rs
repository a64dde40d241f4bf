//! Built-in role definitions: ids from azure.md F.3; permissions as Microsoft's "Azure built-in roles" page lists them (of memory where F.3 says so).
//!
//! *Key Vault Certificate User* is as azure-rbac-catalog.org shows its JSON; *Certificates Officer* and *Purge Operator* have their ids from
//! Microsoft's page "Provide access to Key Vault with Azure role-based access control" and their permissions of memory.
//! *Key Vault Data Access Administrator* is not here: its meaning is in a condition, it has no data action, and it can grant only roles of this table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use uuid::{Uuid, uuid};

use super::Definition;

/// Guid of *Owner*.
pub const OWNER: Uuid = uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635");

/// All built-in definitions that are simulated, by guid.
pub fn builtin() -> &'static BTreeMap<Uuid, Definition> {
    static ROLES: LazyLock<BTreeMap<Uuid, Definition>> =
        LazyLock::new(|| TABLE.iter().map(|row| (row.guid, row.definition())).collect());
    &ROLES
}

struct Row {
    guid: Uuid,
    name: &'static str,
    actions: &'static [&'static str],
    not_actions: &'static [&'static str],
    data_actions: &'static [&'static str],
}

impl Row {
    fn definition(&self) -> Definition {
        let owned = |list: &[&str]| list.iter().map(|&entry| entry.to_owned()).collect();
        Definition {
            guid: self.guid,
            name: self.name.to_owned(),
            description: format!("Built-in role {}.", self.name),
            actions: owned(self.actions),
            not_actions: owned(self.not_actions),
            data_actions: owned(self.data_actions),
            not_data_actions: Vec::new(),
            assignable_scopes: vec!["/".to_owned()],
        }
    }
}

const VAULT_READ: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { guid: OWNER, name: "Owner", actions: &["*"], not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"), name: "Contributor", actions: &["*"],
        not_actions: &["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action"],
        data_actions: &[] },
    Row { guid: uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"), name: "Reader", actions: &["*/read"], not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"), name: "User Access Administrator",
        actions: &["*/read", "Microsoft.Authorization/*"], not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"), name: "Key Vault Administrator", actions: VAULT_READ, not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/*"] },
    Row { guid: uuid!("21090545-7ca7-4776-b22c-e363652d74d2"), name: "Key Vault Reader", actions: VAULT_READ, not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"] },
    Row { guid: uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395"), name: "Key Vault Contributor",
        actions: &["Microsoft.Authorization/*/read", "Microsoft.KeyVault/*", "Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read"],
        not_actions: &["Microsoft.KeyVault/locations/deletedVaults/purge/action", "Microsoft.KeyVault/hsmPools/*", "Microsoft.KeyVault/managedHsms/*"],
        data_actions: &[] },
    Row { guid: uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"), name: "Key Vault Crypto Officer", actions: VAULT_READ, not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/keys/*", "Microsoft.KeyVault/vaults/keyrotationpolicies/*"] },
    Row { guid: uuid!("12338af0-0e69-4776-bea7-57ae8d297424"), name: "Key Vault Crypto User", actions: &[], not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/keys/read", "Microsoft.KeyVault/vaults/keys/update/action", "Microsoft.KeyVault/vaults/keys/backup/action",
            "Microsoft.KeyVault/vaults/keys/encrypt/action", "Microsoft.KeyVault/vaults/keys/decrypt/action", "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action", "Microsoft.KeyVault/vaults/keys/sign/action", "Microsoft.KeyVault/vaults/keys/verify/action"] },
    Row { guid: uuid!("e147488a-f6f5-4113-8e2d-b22465e65bf6"), name: "Key Vault Crypto Service Encryption User",
        actions: &["Microsoft.EventGrid/eventSubscriptions/write", "Microsoft.EventGrid/eventSubscriptions/read", "Microsoft.EventGrid/eventSubscriptions/delete"],
        not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/keys/read", "Microsoft.KeyVault/vaults/keys/wrap/action", "Microsoft.KeyVault/vaults/keys/unwrap/action"] },
    Row { guid: uuid!("08bbd89e-9f13-488c-ac41-acfcb10c90ab"), name: "Key Vault Crypto Service Release User", actions: &[], not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/keys/release/action"] },
    Row { guid: uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"), name: "Key Vault Secrets Officer", actions: VAULT_READ, not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/secrets/*"] },
    Row { guid: uuid!("4633458b-17de-408a-b874-0445c86b69e6"), name: "Key Vault Secrets User", actions: &[], not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/secrets/getSecret/action", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"] },
    Row { guid: uuid!("a4417e6f-fecd-4de8-b567-7b0420556985"), name: "Key Vault Certificates Officer", actions: VAULT_READ, not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/certificatecas/*", "Microsoft.KeyVault/vaults/certificates/*",
            "Microsoft.KeyVault/vaults/certificatecontacts/write"] },
    Row { guid: uuid!("db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"), name: "Key Vault Certificate User", actions: &[], not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/certificates/read", "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action", "Microsoft.KeyVault/vaults/keys/read"] },
    Row { guid: uuid!("a68e7c17-0ab2-4c09-9a58-125dae29748c"), name: "Key Vault Purge Operator",
        actions: &["Microsoft.KeyVault/locations/deletedVaults/read", "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            "Microsoft.KeyVault/locations/operationResults/read"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("bbf86eb8-f7b4-4cce-96e4-18cddf81d86e"), name: "Attestation Contributor",
        actions: &["Microsoft.Attestation/attestationProviders/attestation/read", "Microsoft.Attestation/attestationProviders/attestation/write",
            "Microsoft.Attestation/attestationProviders/attestation/delete"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("fd1bd22b-8476-40bc-a0bc-69b95687b9f3"), name: "Attestation Reader",
        actions: &["Microsoft.Attestation/attestationProviders/attestation/read", "Microsoft.Attestation/attestationProviders/read"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("b7e6dc6d-f1e8-4753-8033-0f276bb0955b"), name: "Storage Blob Data Owner",
        actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/*", "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"],
        not_actions: &[], data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"] },
    Row { guid: uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"), name: "Storage Blob Data Contributor",
        actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/delete", "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write", "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete", "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write", "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action"] },
    Row { guid: uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"), name: "Storage Blob Data Reader",
        actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/read", "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"],
        not_actions: &[], data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"] },
    Row { guid: uuid!("17d1049b-9a84-46fb-8f53-869881c3d3ab"), name: "Storage Account Contributor",
        actions: &["Microsoft.Authorization/*/read", "Microsoft.Insights/diagnosticSettings/*", "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Storage/storageAccounts/*"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("7f951dda-4ed3-4680-a7ca-43fe172d538d"), name: "AcrPull", actions: &["Microsoft.ContainerRegistry/registries/pull/read"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("8311e382-0749-4cb8-b61a-304f252e45ec"), name: "AcrPush",
        actions: &["Microsoft.ContainerRegistry/registries/pull/read", "Microsoft.ContainerRegistry/registries/push/write"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"), name: "Managed Identity Contributor",
        actions: &["Microsoft.ManagedIdentity/userAssignedIdentities/read", "Microsoft.ManagedIdentity/userAssignedIdentities/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/delete", "Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("f1a07417-d97a-45cb-824c-7a7467783830"), name: "Managed Identity Operator",
        actions: &["Microsoft.ManagedIdentity/userAssignedIdentities/*/read", "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read"],
        not_actions: &[], data_actions: &[] },
    Row { guid: uuid!("92aaf0da-9dab-42b6-94a3-d43ce8d16293"), name: "Log Analytics Contributor",
        actions: &["*/read", "Microsoft.OperationalInsights/*", "Microsoft.Resources/deployments/*"], not_actions: &[], data_actions: &[] },
];
