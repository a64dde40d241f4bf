//! Who may do what in Azure: as little as possible, on as little as possible.
//!
//! Nobody here may delete, purge or import: custom roles stand in where the built-in ones let their holders do so. The
//! server may have the one key released, get and set secrets, and read its image. Deleting is the subscription owner's
//! business, through the resource manager.

use manifest::{Manifest, StorageAuth, Uuid};
use serde_json::{Value, json};
use uuid::Uuid as Guid;

use crate::resource::{Kind, Late, Path, Resource, ResourceId};

/// Who deploys: gets what is needed to make keys and secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployer {
    /// The object id in Entra (the token's `oid`).
    pub object_id: Uuid,
    /// What it is.
    pub kind: DeployerKind,
}

/// The kinds of principals that deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployerKind {
    /// A person.
    User,
    /// A service principal or managed identity.
    ServicePrincipal,
}

/// Where roles are held.
pub(crate) struct Scopes {
    pub(crate) group: ResourceId,
    pub(crate) identity: ResourceId,
    pub(crate) vault: ResourceId,
    pub(crate) key: ResourceId,
    pub(crate) container: ResourceId,
    pub(crate) registry: ResourceId,
}

/// Definitions and assignments, by when they can be made.
pub(crate) struct Roles {
    pub(crate) foundation: Vec<Resource>,
    pub(crate) after_key: Vec<Resource>,
}

/// Who holds a role.
#[derive(Clone, Copy)]
enum Holder<'a> {
    /// The server's identity, whose principal is known once it was made.
    Server,
    Deployer(&'a Deployer),
}

/// A role as assignments name it.
struct Role(String);

pub(crate) fn roles(manifest: &Manifest, scopes: &Scopes, deployer: &Deployer) -> Roles {
    let custom = |name: &str, does: &str, actions: &[&str]| {
        definition(manifest, scopes, name, does, actions)
    };
    let (server_role, server) =
        custom("server", "Get and set secrets, without deleting.", &SECRETS);
    let keys_and_secrets = [&SECRETS[..], &RECOVER_SECRETS, &KEYS].concat();
    let (provisioner_role, provisioner) = custom(
        "provisioner",
        "Make keys and secrets, without deleting, and without use of any key.",
        &keys_and_secrets,
    );
    let (store_role, store) = custom("store", "Read and write blobs, without deleting.", &BLOBS);
    let assign = |holder, role: &Role, scope| assignment(scopes, holder, role, scope);
    let deployer = Holder::Deployer(deployer);
    let mut foundation = vec![
        server_role,
        provisioner_role,
        store_role,
        assign(deployer, &provisioner, &scopes.vault),
        assign(deployer, &store, &scopes.container),
        assign(Holder::Server, &server, &scopes.vault),
        assign(Holder::Server, &builtin(scopes, ACR_PULL), &scopes.registry),
    ];
    match manifest.storage().auth {
        StorageAuth::ManagedIdentity => {
            foundation.push(assign(Holder::Server, &store, &scopes.container));
        }
        // The key itself is the right.
        StorageAuth::AccessKey => {}
    }
    let release = assign(Holder::Server, &builtin(scopes, RELEASE_USER), &scopes.key);
    Roles { foundation, after_key: vec![release] }
}

/// A role of this deployment. Its name is unique in the directory because the guid is.
fn definition(
    manifest: &Manifest,
    scopes: &Scopes,
    name: &str,
    does: &str,
    actions: &[&str],
) -> (Resource, Role) {
    let guid = guid(&[scopes.group.as_str(), "role", name]);
    let short: String = guid.simple().to_string().chars().take(8).collect();
    let deployment = &manifest.deployment().name;
    let id = role_definition(scopes, &guid.to_string());
    let body = json!({
        "properties": {
            "roleName": format!("Vouchsafe {name} {deployment} {short}"),
            "description": does,
            "type": "CustomRole",
            "permissions": [{
                "actions": [],
                "notActions": [],
                "dataActions": actions,
                "notDataActions": [],
            }],
            "assignableScopes": [scopes.group.as_str()],
        },
    });
    let role = Role(id.to_string());
    (resource(Kind::RoleDefinition, id, body, &[]), role)
}

/// The guid follows from scope, role and holder, so that asking twice makes one. The server's stands for its identity's
/// name: where the identity was made anew, the assignment to the old principal must go first.
fn assignment(scopes: &Scopes, holder: Holder<'_>, role: &Role, scope: &ResourceId) -> Resource {
    let who = match holder {
        Holder::Server => scopes.identity.as_str(),
        Holder::Deployer(deployer) => deployer.object_id.as_str(),
    };
    let guid = guid(&[scope.as_str(), &role.0, who]);
    let id = scope.join(format_args!("providers/Microsoft.Authorization/roleAssignments/{guid}"));
    let mut properties = json!({ "roleDefinitionId": role.0 });
    let (kind, principal) = match holder {
        Holder::Server => ("ServicePrincipal", None),
        Holder::Deployer(deployer) => (
            match deployer.kind {
                DeployerKind::User => "User",
                DeployerKind::ServicePrincipal => "ServicePrincipal",
            },
            Some(deployer.object_id.as_str()),
        ),
    };
    if let Value::Object(properties) = &mut properties {
        properties.insert("principalType".to_owned(), json!(kind));
        properties.extend(principal.map(|id| ("principalId".to_owned(), json!(id))));
    }
    let late: &[(Late, Path)] = match holder {
        Holder::Server => &[(Late::ServerPrincipal, &["properties", "principalId"])],
        Holder::Deployer(_) => &[],
    };
    resource(Kind::RoleAssignment, id, json!({ "properties": properties }), late)
}

fn builtin(scopes: &Scopes, guid: &str) -> Role {
    Role(role_definition(scopes, guid).to_string())
}

fn role_definition(scopes: &Scopes, guid: &str) -> ResourceId {
    let group = scopes.group.as_str();
    let subscription = group.split_once("/resourceGroups/").map_or(group, |(front, _)| front);
    ResourceId(format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}"))
}

/// A guid of what is named (RFC 9562, version 5), whatever the case of its parts.
fn guid(parts: &[&str]) -> Guid {
    let name = format!("https://management.azure.com{}", parts.join("|").to_lowercase());
    Guid::new_v5(&Guid::NAMESPACE_URL, name.as_bytes())
}

fn resource(kind: Kind, id: ResourceId, body: Value, late: &'static [(Late, Path)]) -> Resource {
    Resource { id, kind, body, late, unshown: &[], once: &[], shown: Value::Null }
}

/// Get, set, see, and change tags (where the anchor is).
const SECRETS: [&str; 4] = [
    "Microsoft.KeyVault/vaults/secrets/getSecret/action",
    "Microsoft.KeyVault/vaults/secrets/setSecret/action",
    "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
    "Microsoft.KeyVault/vaults/secrets/update/action",
];

/// Bring back what somebody else deleted.
const RECOVER_SECRETS: [&str; 1] = ["Microsoft.KeyVault/vaults/secrets/recover/action"];

/// Make a key, look at it, disable a version, bring it back.
const KEYS: [&str; 4] = [
    "Microsoft.KeyVault/vaults/keys/read",
    "Microsoft.KeyVault/vaults/keys/create/action",
    "Microsoft.KeyVault/vaults/keys/update/action",
    "Microsoft.KeyVault/vaults/keys/recover/action",
];

const BLOBS: [&str; 3] = [
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
];

/// Key Vault Crypto Service Release User: release, and nothing else.
const RELEASE_USER: &str = "08bbd89e-9f13-488c-ac41-acfcb10c90ab";

/// AcrPull: read images.
const ACR_PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
