//! The resources of a deployment, each with its name, its body and its place in the order of making.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Manifest, StorageAuth, Trust};
use protocol::TrustRoot;
use serde_json::{Value, json};

use crate::resource::{Kind, Late, Resource, ResourceId};
use crate::roles::{self, Deployer, Scopes};
use crate::{MasterKey, ServerGroup, Signers};

/// All resources, in the order in which they can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// What is there before any key: everything but the next two.
    pub foundation: Vec<Resource>,
    /// What needs the master key: the server's right to have it released.
    pub after_key: Vec<Resource>,
    /// The server's container group, which comes last and goes first.
    pub group: Resource,
}

impl Resources {
    pub(crate) fn new(
        manifest: &Manifest,
        signers: &Signers,
        trust_root: &TrustRoot,
        group: &ServerGroup,
        key: &MasterKey,
        deployer: &Deployer,
    ) -> Self {
        let names = Names::of(manifest);
        let scopes = names.scopes(key);
        let roles = roles::roles(manifest, &scopes, deployer);
        let mut foundation = vec![
            resource_group(manifest, &names),
            identity(manifest, &names),
            attestation_provider(manifest, &names, signers),
            key_vault(manifest, &names),
            storage_account(manifest, &names),
            storage_container(&names),
            registry(manifest, &names),
            workspace(manifest, &names),
        ];
        foundation.extend(roles.foundation);
        let group = container_group(manifest, &names, trust_root, group);
        Self { foundation, after_key: roles.after_key, group }
    }

    /// Every resource, in the order in which they can be made.
    pub fn all(&self) -> impl Iterator<Item = &Resource> {
        self.foundation.iter().chain(&self.after_key).chain([&self.group])
    }

    /// The first resource of a kind that a deployment has once.
    #[must_use]
    pub fn find(&self, kind: Kind) -> Option<&Resource> {
        self.all().find(|resource| resource.kind() == kind)
    }
}

/// The ids of the resources that a manifest names.
pub(crate) struct Names {
    pub(crate) group: ResourceId,
    identity: ResourceId,
    pub(crate) provider: ResourceId,
    pub(crate) vault: ResourceId,
    account: ResourceId,
    container: ResourceId,
    registry: ResourceId,
    workspace: ResourceId,
    pub(crate) server: ResourceId,
}

impl Names {
    /// Each with its kind, in the order in which they can be made.
    pub(crate) fn each(&self) -> [(Kind, &ResourceId); 9] {
        [
            (Kind::ResourceGroup, &self.group),
            (Kind::ManagedIdentity, &self.identity),
            (Kind::AttestationProvider, &self.provider),
            (Kind::KeyVault, &self.vault),
            (Kind::StorageAccount, &self.account),
            (Kind::StorageContainer, &self.container),
            (Kind::Registry, &self.registry),
            (Kind::LogWorkspace, &self.workspace),
            (Kind::ContainerGroup, &self.server),
        ]
    }

    pub(crate) fn of(manifest: &Manifest) -> Self {
        let azure = manifest.azure();
        let group = ResourceId(format!(
            "/subscriptions/{}/resourceGroups/{}",
            azure.subscription, azure.resource_group
        ));
        let provider = |kind: &str, name: &str| group.join(format_args!("providers/{kind}/{name}"));
        let account =
            provider("Microsoft.Storage/storageAccounts", manifest.storage().account.as_str());
        // Group and workspace have names of their own only within the resource group.
        let own = format!("vouchsafe-{}", manifest.deployment().name);
        Self {
            identity: provider(
                "Microsoft.ManagedIdentity/userAssignedIdentities",
                manifest.server().identity.as_str(),
            ),
            provider: provider(
                "Microsoft.Attestation/attestationProviders",
                manifest.attestation().provider.as_str(),
            ),
            vault: provider("Microsoft.KeyVault/vaults", manifest.master_key().vault.as_str()),
            container: account.join(format_args!(
                "blobServices/default/containers/{}",
                manifest.storage().container
            )),
            account,
            registry: provider(
                "Microsoft.ContainerRegistry/registries",
                manifest.server().registry.as_str(),
            ),
            workspace: provider("Microsoft.OperationalInsights/workspaces", &own),
            server: provider("Microsoft.ContainerInstance/containerGroups", &own),
            group,
        }
    }

    fn scopes(&self, key: &MasterKey) -> Scopes {
        Scopes {
            group: self.group.clone(),
            identity: self.identity.clone(),
            vault: self.vault.clone(),
            key: self.vault.join(format_args!("keys/{}", key.name())),
            container: self.container.clone(),
            registry: self.registry.clone(),
        }
    }
}

fn plain(kind: Kind, id: &ResourceId, body: Value) -> Resource {
    let (late, unshown, once): (&[_], &[_], &[_]) = (&[], &[], &[]);
    Resource { id: id.clone(), kind, body, late, unshown, once, shown: Value::Null }
}

/// A body with what most resources have: where they are, and whose.
fn tracked(manifest: &Manifest, more: Value) -> Value {
    let mut body = json!({
        "location": manifest.azure().location.as_str(),
        "tags": { "vouchsafe-deployment": manifest.deployment().name.as_str() },
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn resource_group(manifest: &Manifest, names: &Names) -> Resource {
    plain(Kind::ResourceGroup, &names.group, tracked(manifest, json!({})))
}

fn identity(manifest: &Manifest, names: &Names) -> Resource {
    plain(Kind::ManagedIdentity, &names.identity, tracked(manifest, json!({})))
}

/// An isolated provider takes policies signed by these certificates only. They are taken at creation; later they are
/// looked at through the provider itself.
fn attestation_provider(manifest: &Manifest, names: &Names, signers: &Signers) -> Resource {
    let address = manifest.attestation().address.as_str();
    let mut properties = json!({ "publicNetworkAccess": "Enabled" });
    let trust = match manifest.attestation().trust {
        Trust::Entra => "AAD",
        Trust::Isolated => {
            let keys: Vec<Value> = signers
                .values()
                .map(|signer| {
                    let certificate = STANDARD.encode(signer.der());
                    json!({ "alg": "RS256", "kty": "RSA", "use": "sig", "x5c": [certificate] })
                })
                .collect();
            if let Value::Object(properties) = &mut properties {
                properties.insert("policySigningCertificates".to_owned(), json!({ "keys": keys }));
            }
            "Isolated"
        }
    };
    let body = tracked(manifest, json!({ "properties": properties }));
    Resource {
        unshown: &[&["properties", "policySigningCertificates"]],
        once: &[&["properties", "policySigningCertificates"]],
        shown: json!({ "properties": { "attestUri": address, "trustModel": trust } }),
        ..plain(Kind::AttestationProvider, &names.provider, body)
    }
}

/// Premium, because keys are released only from hardware. Purge protection is on or absent; the service refuses `false`.
fn key_vault(manifest: &Manifest, names: &Names) -> Resource {
    let key = manifest.master_key();
    let mut properties = json!({
        "tenantId": manifest.azure().tenant.as_str(),
        "sku": { "family": "A", "name": "premium" },
        "accessPolicies": [],
        "enableRbacAuthorization": true,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": key.retention_days,
        "publicNetworkAccess": "Enabled",
    });
    if let (true, Value::Object(properties)) = (key.purge_protection, &mut properties) {
        properties.insert("enablePurgeProtection".to_owned(), Value::Bool(true));
    }
    let body = tracked(manifest, json!({ "properties": properties }));
    Resource {
        shown: json!({ "properties": { "vaultUri": format!("{}/", key.address) } }),
        ..plain(Kind::KeyVault, &names.vault, body)
    }
}

fn storage_account(manifest: &Manifest, names: &Names) -> Resource {
    let shared_key = match manifest.storage().auth {
        StorageAuth::AccessKey => true,
        StorageAuth::ManagedIdentity => false,
    };
    let body = json!({
        "kind": "StorageV2",
        // Three copies in three zones: what is stored exists nowhere else.
        "sku": { "name": "Standard_ZRS" },
        "properties": {
            "allowBlobPublicAccess": false,
            "allowCrossTenantReplication": false,
            "allowSharedKeyAccess": shared_key,
            "minimumTlsVersion": "TLS1_2",
            "publicNetworkAccess": "Enabled",
            "supportsHttpsTrafficOnly": true,
        },
    });
    plain(Kind::StorageAccount, &names.account, tracked(manifest, body))
}

fn storage_container(names: &Names) -> Resource {
    let body = json!({ "properties": { "publicAccess": "None" } });
    plain(Kind::StorageContainer, &names.container, body)
}

fn registry(manifest: &Manifest, names: &Names) -> Resource {
    let body = json!({
        "sku": { "name": "Basic" },
        "properties": { "adminUserEnabled": false, "publicNetworkAccess": "Enabled" },
    });
    plain(Kind::Registry, &names.registry, tracked(manifest, body))
}

fn workspace(manifest: &Manifest, names: &Names) -> Resource {
    let body = json!({ "properties": { "sku": { "name": "PerGB2018" }, "retentionInDays": 30 } });
    plain(Kind::LogWorkspace, &names.workspace, tracked(manifest, body))
}

fn container_group(
    manifest: &Manifest,
    names: &Names,
    trust_root: &TrustRoot,
    group: &ServerGroup,
) -> Resource {
    let server = manifest.server();
    let deployment = &manifest.deployment().name;
    let port = json!([{ "protocol": "TCP", "port": SERVER_PORT }]);
    // What the CCE policy says of the process is asked for here; the guest compares.
    let container = json!({
        "name": ServerGroup::CONTAINER,
        "properties": {
            "image": group.image(),
            "ports": port,
            "environmentVariables": [{ "name": TrustRoot::VARIABLE, "value": trust_root.text() }],
            "resources": { "requests": { "cpu": server.cpu, "memoryInGB": server.memory_gb } },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "runAsGroup": 0,
                "runAsUser": 0,
            },
        },
    });
    let body = json!({
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": { names.identity.as_str(): {} },
        },
        "properties": {
            "sku": "Confidential",
            "osType": "Linux",
            "restartPolicy": "Always",
            "confidentialComputeProperties": { "ccePolicy": group.base64() },
            "containers": [container],
            "diagnostics": { "logAnalytics": { "logType": "ContainerInstanceLogs" } },
            "imageRegistryCredentials": [{
                "server": format!("{}.azurecr.io", server.registry),
                "identity": names.identity.as_str(),
            }],
            "ipAddress": {
                "type": "Public",
                "ports": port,
                // A registry's name is nobody else's, so neither is this.
                "dnsNameLabel": format!("{}-{deployment}", server.registry),
            },
        },
    });
    Resource {
        late: &[
            (Late::WorkspaceId, &["properties", "diagnostics", "logAnalytics", "workspaceId"]),
            (Late::WorkspaceKey, &["properties", "diagnostics", "logAnalytics", "workspaceKey"]),
        ],
        unshown: &[&["properties", "diagnostics", "logAnalytics", "workspaceKey"]],
        ..plain(Kind::ContainerGroup, &names.server, tracked(manifest, body))
    }
}

/// Where the server answers, in every deployment.
const SERVER_PORT: u16 = 8200;
