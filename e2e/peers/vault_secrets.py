"""azure-keyvault-secrets: set, get, versions, tags, disabling, and soft delete."""

import datetime

from azure.core.exceptions import ResourceExistsError
from azure.keyvault.secrets import SecretClient

from local_cloud import checked, credential, eventually, expect, grant, holds, inner, owner, principal, refused, vault

OWNER = owner()
VAULT = vault(OWNER, "peer-secrets")
SECRETS = SecretClient(VAULT.properties.vault_uri, OWNER)


def values():
    first = eventually("set_secret", lambda: SECRETS.set_secret("a", "one", content_type="text/plain", tags={"t": "1"}))
    expect("set_secret", (first.name, first.value, first.properties.content_type, first.properties.tags), ("a", "one", "text/plain", {"t": "1"}))
    expect("set_secret: recovery", (first.properties.recovery_level, first.properties.recoverable_days), ("CustomizedRecoverable+Purgeable", 7))
    second = SECRETS.set_secret("a", "two – zwei \U0001f511")
    holds("every value is a version", first.properties.version != second.properties.version)
    expect("get_secret", SECRETS.get_secret("a").value, "two – zwei \U0001f511")
    expect("get_secret of a version", SECRETS.get_secret("a", first.properties.version).value, "one")
    versions = list(SECRETS.list_properties_of_secret_versions("a"))
    expect("list_properties_of_secret_versions", {v.version for v in versions}, {first.properties.version, second.properties.version})
    for number in range(26):
        SECRETS.set_secret(f"n{number:02}", str(number))
    names = [secret.name for secret in SECRETS.list_properties_of_secrets()]
    expect("list_properties_of_secrets", sorted(names), ["a"] + [f"n{number:02}" for number in range(26)])
    pages = list(SECRETS.list_properties_of_secrets(max_page_size=10).by_page())
    holds("paging", len(pages) >= 3, len(pages))
    large = "x" * 25000
    SECRETS.set_secret("large", large)
    expect("25 kB", SECRETS.get_secret("large").value, large)
    refused("more than 25 kB", 400, "BadParameter", lambda: SECRETS.set_secret("large", "x" * 26000))


def properties():
    first = SECRETS.set_secret("p", "value", content_type="text/plain")
    later = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=30)
    changed = SECRETS.update_secret_properties("p", first.properties.version, tags={"anchor": "1"}, expires_on=later)
    expect("update_secret_properties", (changed.tags, changed.expires_on, changed.content_type), ({"anchor": "1"}, later, "text/plain"))
    expect("update_secret_properties stays", SECRETS.get_secret("p").properties.tags, {"anchor": "1"})
    changed = SECRETS.update_secret_properties("p", first.properties.version, enabled=False)
    expect("disabled", (changed.enabled, changed.tags), (False, {"anchor": "1"}))
    error = refused("get_secret when disabled", 403, "Forbidden", lambda: SECRETS.get_secret("p"))
    expect("get_secret when disabled: inner code", inner(error), "SecretDisabled")
    changed = SECRETS.update_secret_properties("p", first.properties.version, enabled=True)
    expect("enabled again", SECRETS.get_secret("p").value, "value")
    disabled = SECRETS.set_secret("d", "value", enabled=False)
    expect("set_secret, disabled", disabled.properties.enabled, False)


def deletion():
    SECRETS.set_secret("gone", "1")
    SECRETS.set_secret("gone", "2")
    poller = SECRETS.begin_delete_secret("gone")
    deleted = poller.result()
    holds("begin_delete_secret", deleted.recovery_id.endswith("/deletedsecrets/gone"), deleted.recovery_id)
    expect("begin_delete_secret: dates", (deleted.scheduled_purge_date - deleted.deleted_date).days, 7)
    poller.wait()
    refused("get_secret when deleted", 404, "SecretNotFound", lambda: SECRETS.get_secret("gone"))
    expect("get_deleted_secret", SECRETS.get_deleted_secret("gone").name, "gone")
    holds("list_deleted_secrets", "gone" in {s.name for s in SECRETS.list_deleted_secrets()})
    try:
        SECRETS.set_secret("gone", "3")
        raise AssertionError("a deleted name was given out")
    except ResourceExistsError as error:
        expect("set_secret when deleted", inner(error), "ObjectIsDeletedButRecoverable")
    SECRETS.begin_recover_deleted_secret("gone").wait()
    expect("begin_recover_deleted_secret", SECRETS.get_secret("gone").value, "2")
    expect("versions come back", len(list(SECRETS.list_properties_of_secret_versions("gone"))), 2)
    SECRETS.begin_delete_secret("gone").wait()
    SECRETS.purge_deleted_secret("gone")
    checked("purge_deleted_secret")
    refused("get_deleted_secret when purged", 404, "SecretNotFound", lambda: SECRETS.get_deleted_secret("gone"))
    made = eventually("the name is free again", lambda: SECRETS.set_secret("gone", "4"))
    expect("the name is free again", len(list(SECRETS.list_properties_of_secret_versions("gone"))), 1)
    holds("and nothing of the old is left", made.value == "4")
    refused("get_secret of nothing", 404, "SecretNotFound", lambda: SECRETS.get_secret("never"))
    refused("get_secret of no version", 404, "SecretNotFound", lambda: SECRETS.get_secret("a", "0" * 32))


def purge_protection():
    made = vault(OWNER, "peer-protected", enablePurgeProtection=True)
    secrets = SecretClient(made.properties.vault_uri, OWNER)
    secret = eventually("set_secret", lambda: secrets.set_secret("a", "1"))
    expect("purge protection", secret.properties.recovery_level, "CustomizedRecoverable")
    secrets.begin_delete_secret("a").wait()
    refused("purge under purge protection", 403, "Forbidden", lambda: secrets.purge_deleted_secret("a"))
    secrets.begin_recover_deleted_secret("a").wait()
    expect("and it comes back", secrets.get_secret("a").value, "1")


def roles():
    who = principal("secrets-nobody")
    secrets = SecretClient(VAULT.properties.vault_uri, credential(who))
    error = refused(
        "without a role", 403, "Forbidden", lambda: secrets.get_secret("a"), "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'"
    )
    expect("without a role: inner code", inner(error), "ForbiddenByRbac")
    grant(OWNER, f"{VAULT.id}/secrets/a", "secrets user", who["oid"])
    read = eventually("the role on one secret", lambda: secrets.get_secret("a"))
    holds("the role on one secret", read.name == "a")
    refused("and not on another", 403, "Forbidden", lambda: secrets.get_secret("n00"))
    refused("and not to write", 403, "Forbidden", lambda: secrets.set_secret("a", "x"))


values()
properties()
deletion()
purge_protection()
roles()
