"""azure-mgmt-*: every kind of resource that a deployment is made of: create, read, list, change, delete."""

import uuid

from azure.mgmt.attestation import AttestationManagementClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

from local_cloud import ANY, GROUP, GROUP_ID, LOCATION, ROLES, SUBSCRIPTION, TENANT, checked, credential, eventually, expect, holds, owner, principal, refused

OWNER = owner()
ROLE_DEFINITIONS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"


def same_id(call, found, expected):
    expect(call, found.lower(), expected.lower())


def groups():
    client = ResourceManagementClient(OWNER, SUBSCRIPTION)
    refused("resource_groups.get of nothing", 404, "ResourceGroupNotFound", lambda: client.resource_groups.get(GROUP))
    holds("check_existence, before", not client.resource_groups.check_existence(GROUP))
    made = client.resource_groups.create_or_update(GROUP, {"location": LOCATION, "tags": {"a": "b"}})
    same_id("resource_groups.create_or_update", made.id, GROUP_ID)
    expect("its state", (made.location, made.tags, made.properties.provisioning_state), (LOCATION, {"a": "b"}, "Succeeded"))
    holds("check_existence", client.resource_groups.check_existence(GROUP))
    expect("resource_groups.get", client.resource_groups.get(GROUP.upper()).name, GROUP)
    changed = client.resource_groups.update(GROUP, {"tags": {"c": "d"}})
    expect("resource_groups.update", changed.tags, {"c": "d"})
    expect("resource_groups.list", [group.name for group in client.resource_groups.list()], [GROUP])
    refused(
        "a group cannot move", 409, "InvalidResourceGroupLocation", lambda: client.resource_groups.create_or_update(GROUP, {"location": "northeurope"})
    )
    other = ResourceManagementClient(OWNER, str(uuid.uuid4()))
    refused("another subscription", 404, "SubscriptionNotFound", lambda: other.resource_groups.list())
    expect("providers.get", client.providers.get("Microsoft.KeyVault").registration_state, "Registered")
    return client


def identities():
    client = ManagedServiceIdentityClient(OWNER, SUBSCRIPTION)
    made = client.user_assigned_identities.create_or_update(GROUP, "server", {"location": LOCATION})
    holds("user_assigned_identities.create_or_update", made.client_id and made.principal_id and made.tenant_id == TENANT)
    again = client.user_assigned_identities.create_or_update(GROUP, "server", {"location": LOCATION, "tags": {"a": "b"}})
    expect("and again", (again.client_id, again.principal_id, again.tags), (made.client_id, made.principal_id, {"a": "b"}))
    expect("user_assigned_identities.get", client.user_assigned_identities.get(GROUP, "server").principal_id, made.principal_id)
    expect("list_by_resource_group", [i.name for i in client.user_assigned_identities.list_by_resource_group(GROUP)], ["server"])
    expect("list_by_subscription", [i.name for i in client.user_assigned_identities.list_by_subscription()], ["server"])
    refused("get of nothing", 404, "ResourceNotFound", lambda: client.user_assigned_identities.get(GROUP, "other"))
    client.user_assigned_identities.create_or_update(GROUP, "other", {"location": LOCATION})
    client.user_assigned_identities.delete(GROUP, "other")
    refused("get of what was deleted", 404, "ResourceNotFound", lambda: client.user_assigned_identities.get(GROUP, "other"))
    return made


def vaults():
    client = KeyVaultManagementClient(OWNER, SUBSCRIPTION)
    properties = {
        "tenantId": TENANT,
        "sku": {"family": "A", "name": "premium"},
        "enableRbacAuthorization": True,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": 7,
    }
    body = {"location": LOCATION, "tags": {"a": "b"}, "properties": properties}
    made = client.vaults.begin_create_or_update(GROUP, "peer-vault", body).result()
    same_id("vaults.begin_create_or_update", made.id, f"{GROUP_ID}/providers/Microsoft.KeyVault/vaults/peer-vault")
    found = client.vaults.get(GROUP, "peer-vault").properties
    expect("vaults.get: address", found.vault_uri.rstrip("/"), "https://peer-vault.vault.azure.net")
    expect("vaults.get: sku", found.sku.name, "premium")
    expect("vaults.get: access", (found.enable_rbac_authorization, found.enable_soft_delete, found.soft_delete_retention_in_days), (True, True, 7))
    expect("vaults.get: no purge protection", found.enable_purge_protection, None)
    expect("vaults.list_by_resource_group", [vault.name for vault in client.vaults.list_by_resource_group(GROUP)], ["peer-vault"])
    expect("vaults.list_by_subscription", [vault.name for vault in client.vaults.list_by_subscription()], ["peer-vault"])
    changed = client.vaults.update(GROUP, "peer-vault", {"tags": {"c": "d"}})
    expect("vaults.update", changed.tags, {"c": "d"})
    protected = {**body, "properties": {**properties, "enablePurgeProtection": True}}
    client.vaults.begin_create_or_update(GROUP, "peer-protected", protected).result()
    refused(
        "purge protection is for ever",
        400,
        "BadRequest",
        lambda: client.vaults.begin_create_or_update(GROUP, "peer-protected", {**body, "properties": {**properties, "enablePurgeProtection": False}}).result(),
    )
    client.vaults.delete(GROUP, "peer-vault")
    refused("vaults.get of what was deleted", 404, "ResourceNotFound", lambda: client.vaults.get(GROUP, "peer-vault"))
    deleted = client.vaults.get_deleted("peer-vault", LOCATION)
    same_id("vaults.get_deleted", deleted.properties.vault_id, made.id)
    holds("vaults.list_deleted", "peer-vault" in [vault.name for vault in client.vaults.list_deleted()])
    refused("the name of a deleted vault", 409, "ConflictError", lambda: client.vaults.begin_create_or_update(GROUP, "peer-vault", body).result())
    recovered = client.vaults.begin_create_or_update(GROUP, "peer-vault", {**body, "properties": {**properties, "createMode": "recover"}}).result()
    expect("a vault recovered", recovered.name, "peer-vault")
    client.vaults.delete(GROUP, "peer-vault")
    client.vaults.begin_purge_deleted("peer-vault", LOCATION).result()
    refused("vaults.get_deleted of what was purged", 404, ANY, lambda: client.vaults.get_deleted("peer-vault", LOCATION))
    again = client.vaults.begin_create_or_update(GROUP, "peer-vault", body).result()
    expect("the name is free again", again.name, "peer-vault")
    client.vaults.delete(GROUP, "peer-protected")
    refused("purge under purge protection", 405, "MethodNotAllowed", lambda: client.vaults.begin_purge_deleted("peer-protected", LOCATION).result())
    return again


def storage():
    client = StorageManagementClient(OWNER, SUBSCRIPTION)
    free = client.storage_accounts.check_name_availability({"name": "peeraccount", "type": "Microsoft.Storage/storageAccounts"})
    expect("storage_accounts.check_name_availability", free.name_available, True)
    body = {
        "location": LOCATION,
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {"minimumTlsVersion": "TLS1_2", "allowBlobPublicAccess": False, "supportsHttpsTrafficOnly": True},
    }
    made = client.storage_accounts.begin_create(GROUP, "peeraccount", body).result()
    expect("storage_accounts.begin_create", (made.name, made.kind, made.sku.name), ("peeraccount", "StorageV2", "Standard_LRS"))
    found = client.storage_accounts.get_properties(GROUP, "peeraccount")
    expect(
        "storage_accounts.get_properties",
        (found.provisioning_state, found.minimum_tls_version, found.allow_blob_public_access, found.primary_endpoints.blob),
        ("Succeeded", "TLS1_2", False, "https://peeraccount.blob.core.windows.net/"),
    )
    expect("list_by_resource_group", [a.name for a in client.storage_accounts.list_by_resource_group(GROUP)], ["peeraccount"])
    expect("list", [a.name for a in client.storage_accounts.list()], ["peeraccount"])
    keys = client.storage_accounts.list_keys(GROUP, "peeraccount").keys
    expect("list_keys", [key.key_name for key in keys], ["key1", "key2"])
    new = client.storage_accounts.regenerate_key(GROUP, "peeraccount", {"keyName": "key2"}).keys
    holds("regenerate_key", new[0].value == keys[0].value and new[1].value != keys[1].value)
    changed = client.storage_accounts.update(GROUP, "peeraccount", {"properties": {"allowSharedKeyAccess": False}})
    expect("update", changed.allow_shared_key_access, False)
    taken = client.storage_accounts.check_name_availability({"name": "peeraccount", "type": "Microsoft.Storage/storageAccounts"})
    expect("check_name_availability of what is", taken.name_available, False)
    container = client.blob_containers.create(GROUP, "peeraccount", "vouchsafe", {})
    expect("blob_containers.create", container.name, "vouchsafe")
    expect("blob_containers.get", client.blob_containers.get(GROUP, "peeraccount", "vouchsafe").name, "vouchsafe")
    expect("blob_containers.list", [c.name for c in client.blob_containers.list(GROUP, "peeraccount")], ["vouchsafe"])
    refused("blob_containers.get of nothing", 404, "ContainerNotFound", lambda: client.blob_containers.get(GROUP, "peeraccount", "other"))
    client.blob_containers.create(GROUP, "peeraccount", "second", {})
    client.blob_containers.delete(GROUP, "peeraccount", "second")
    expect("blob_containers.delete", [c.name for c in client.blob_containers.list(GROUP, "peeraccount")], ["vouchsafe"])
    expect("blob_services.get_service_properties", client.blob_services.get_service_properties(GROUP, "peeraccount").name, "default")
    refused("an invalid name", 400, "AccountNameInvalid", lambda: client.storage_accounts.begin_create(GROUP, "No_Good", body).result())
    client.storage_accounts.begin_create(GROUP, "peersecond", body).result()
    client.storage_accounts.delete(GROUP, "peersecond")
    refused("get_properties of what was deleted", 404, "ResourceNotFound", lambda: client.storage_accounts.get_properties(GROUP, "peersecond"))


def attestation():
    client = AttestationManagementClient(OWNER, SUBSCRIPTION)
    made = client.attestation_providers.create(GROUP, "peerprovider", {"location": LOCATION, "properties": {}})
    expect(
        "attestation_providers.create",
        (made.attest_uri, made.trust_model, made.status),
        ("https://peerprovider.weu.attest.azure.net", "AAD", "Ready"),
    )
    expect("attestation_providers.get", client.attestation_providers.get(GROUP, "peerprovider").attest_uri, made.attest_uri)
    listed = client.attestation_providers.list_by_resource_group(GROUP)
    expect("list_by_resource_group", [p.name for p in listed.value], ["peerprovider"])
    expect("list", [p.name for p in client.attestation_providers.list().value], ["peerprovider"])
    changed = client.attestation_providers.update(GROUP, "peerprovider", {"tags": {"a": "b"}})
    expect("update", changed.tags, {"a": "b"})
    shared = client.attestation_providers.list_default()
    holds("list_default", any(p.attest_uri == "https://sharedweu.weu.attest.azure.net" for p in shared.value))
    expect("get_default_by_location", client.attestation_providers.get_default_by_location(LOCATION).attest_uri, "https://sharedweu.weu.attest.azure.net")
    client.attestation_providers.delete(GROUP, "peerprovider")
    refused("get of what was deleted", 404, "ResourceNotFound", lambda: client.attestation_providers.get(GROUP, "peerprovider"))


def roles(identity, vault):
    client = AuthorizationManagementClient(OWNER, SUBSCRIPTION)
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, "peer"))
    body = {
        "roleDefinitionId": f"{ROLE_DEFINITIONS}/{ROLES['secrets user']}",
        "principalId": identity.principal_id,
        "principalType": "ServicePrincipal",
    }
    scope = f"{vault.id}/secrets/bundle"
    made = client.role_assignments.create(scope, name, body)
    expect("role_assignments.create", (made.name, made.principal_id, made.principal_type), (name, identity.principal_id, "ServicePrincipal"))
    same_id("its scope", made.scope, scope)
    same_id("its role", made.role_definition_id, body["roleDefinitionId"])
    again = client.role_assignments.create(scope, name, body)
    same_id("and again", again.id, made.id)
    refused("the same under another name", 409, "RoleAssignmentExists", lambda: client.role_assignments.create(scope, str(uuid.uuid4()), body))
    other = {**body, "roleDefinitionId": f"{ROLE_DEFINITIONS}/{ROLES['crypto user']}"}
    refused("another role under the same name", 400, "RoleAssignmentUpdateNotPermitted", lambda: client.role_assignments.create(scope, name, other))
    refused(
        "a principal that is none",
        400,
        "PrincipalNotFound",
        lambda: client.role_assignments.create(scope, str(uuid.uuid4()), {"roleDefinitionId": body["roleDefinitionId"], "principalId": str(uuid.uuid4())}),
    )
    same_id("role_assignments.get", client.role_assignments.get(scope, name).id, made.id)
    same_id("role_assignments.get_by_id", client.role_assignments.get_by_id(made.id).id, made.id)
    listed = client.role_assignments.list_for_scope(scope, filter="atScope()")
    holds("role_assignments.list_for_scope", name in [assignment.name for assignment in listed])
    listed = list(client.role_assignments.list_for_scope(GROUP_ID, filter=f"principalId eq '{identity.principal_id}'"))
    expect("of one principal", [assignment.name for assignment in listed], [name])
    listed = list(client.role_assignments.list_for_subscription(filter=f"assignedTo('{identity.principal_id}')"))
    expect("role_assignments.list_for_subscription", [assignment.name for assignment in listed], [name])
    client.role_assignments.delete(scope, name)
    refused("get of what was deleted", 404, "RoleAssignmentNotFound", lambda: client.role_assignments.get(scope, name))
    definition = client.role_definitions.get(f"/subscriptions/{SUBSCRIPTION}", ROLES["release user"])
    expect("role_definitions.get", definition.role_name, "Key Vault Crypto Service Release User")
    expect("its rights", definition.permissions[0].data_actions, ["Microsoft.KeyVault/vaults/keys/release/action"])
    listed = client.role_definitions.list(f"/subscriptions/{SUBSCRIPTION}", filter="roleName eq 'Key Vault Secrets User'")
    expect("role_definitions.list", [found.name for found in listed], [ROLES["secrets user"]])
    custom = str(uuid.uuid4())
    rights = {
        "roleName": "writer without delete",
        "type": "CustomRole",
        "assignableScopes": [GROUP_ID],
        "permissions": [{"actions": [], "notActions": [], "dataActions": ["Microsoft.KeyVault/vaults/secrets/setSecret/action"], "notDataActions": []}],
    }
    made = client.role_definitions.create_or_update(GROUP_ID, custom, rights)
    expect("role_definitions.create_or_update", (made.role_name, made.role_type), ("writer without delete", "CustomRole"))
    client.role_assignments.create(vault.id, name, {**body, "roleDefinitionId": made.id})
    checked("a custom role assigned")
    refused("role_definitions.delete of what is assigned", 400, "RoleDefinitionHasAssignments", lambda: client.role_definitions.delete(GROUP_ID, custom))
    client.role_assignments.delete(vault.id, name)
    client.role_definitions.delete(GROUP_ID, custom)
    refused("role_definitions.get of what was deleted", 404, "RoleDefinitionDoesNotExist", lambda: client.role_definitions.get(GROUP_ID, custom))


def registries():
    client = ContainerRegistryManagementClient(OWNER, SUBSCRIPTION)
    body = {"location": LOCATION, "sku": {"name": "Basic"}, "properties": {"adminUserEnabled": False}}
    made = client.registries.begin_create(GROUP, "peerregistry", body).result()
    expect("registries.begin_create", (made.login_server, made.sku.name), ("peerregistry.azurecr.io", "Basic"))
    found = client.registries.get(GROUP, "peerregistry")
    expect("registries.get", (found.provisioning_state, found.admin_user_enabled), ("Succeeded", False))
    expect("registries.list", [registry.name for registry in client.registries.list()], ["peerregistry"])
    changed = client.registries.begin_update(GROUP, "peerregistry", {"tags": {"a": "b"}}).result()
    expect("registries.begin_update", changed.tags, {"a": "b"})
    client.registries.begin_delete(GROUP, "peerregistry").result()
    refused("get of what was deleted", 404, "ResourceNotFound", lambda: client.registries.get(GROUP, "peerregistry"))


def workspaces():
    client = LogAnalyticsManagementClient(OWNER, SUBSCRIPTION)
    made = client.workspaces.begin_create_or_update(
        GROUP, "peer-log", {"location": LOCATION, "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 30}}
    ).result()
    holds("workspaces.begin_create_or_update", bool(made.customer_id))
    expect("workspaces.get", client.workspaces.get(GROUP, "peer-log").customer_id, made.customer_id)
    expect("workspaces.list_by_resource_group", [w.name for w in client.workspaces.list_by_resource_group(GROUP)], ["peer-log"])
    keys = client.shared_keys.get_shared_keys(GROUP, "peer-log")
    holds("shared_keys.get_shared_keys", keys.primary_shared_key and keys.secondary_shared_key)
    client.workspaces.begin_delete(GROUP, "peer-log", force=True).result()
    refused("get of what was deleted", 404, "ResourceNotFound", lambda: client.workspaces.get(GROUP, "peer-log"))


def refusals():
    nobody = ResourceManagementClient(credential(principal("arm-nobody")), SUBSCRIPTION)
    refused("without a role", 403, "AuthorizationFailed", lambda: nobody.resource_groups.get(GROUP))
    reader = principal("arm-reader")
    client = AuthorizationManagementClient(OWNER, SUBSCRIPTION)
    client.role_assignments.create(
        GROUP_ID,
        str(uuid.uuid4()),
        {
            "roleDefinitionId": f"{ROLE_DEFINITIONS}/acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "principalId": reader["oid"],
            "principalType": "ServicePrincipal",
        },
    )
    reading = ResourceManagementClient(credential(reader), SUBSCRIPTION)
    expect("a reader reads", eventually("read", lambda: reading.resource_groups.get(GROUP)).name, GROUP)
    refused("and writes nothing", 403, "AuthorizationFailed", lambda: reading.resource_groups.update(GROUP, {"tags": {}}))


def the_end(client):
    holds("resources.list_by_resource_group", len(list(client.resources.list_by_resource_group(GROUP))) >= 3)
    client.resource_groups.begin_delete(GROUP).result()
    refused("resource_groups.begin_delete", 404, "ResourceGroupNotFound", lambda: client.resource_groups.get(GROUP))
    storage = StorageManagementClient(OWNER, SUBSCRIPTION)
    expect("and nothing of it is left", list(storage.storage_accounts.list()), [])


CLIENT = groups()
IDENTITY = identities()
VAULT = vaults()
storage()
attestation()
roles(IDENTITY, VAULT)
registries()
workspaces()
refusals()
the_end(CLIENT)
