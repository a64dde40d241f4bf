"""The fault script as Microsoft's clients meet it: what is throttled, fails, is cut or loses its answer is tried again by the client itself."""

import time

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.keyvault.secrets import SecretClient
from azure.mgmt.resource import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient

from local_cloud import GROUP, LOCATION, SUBSCRIPTION, checked, control, eventually, expect, holds, owner, refused, vault

OWNER = owner()
VAULT = vault(OWNER, "peer-faults")
SECRETS = SecretClient(VAULT.properties.vault_uri, OWNER, retry_backoff_factor=0.05)
eventually("set_secret", lambda: SECRETS.set_secret("a", "1"))


def script(*rules):
    control("PUT", "/faults", list(rules))


def seen():
    return [rule["seen"] for rule in control("GET", "/faults")]


def throttling():
    script({"family": "keyvault", "method": "GET", "path": "/secrets/a*", "count": 2, "action": {"kind": "throttle"}})
    expect("throttled twice", (SECRETS.get_secret("a").value, seen()), ("1", [3]))
    script({"family": "keyvault", "path": "/secrets/a*", "action": {"kind": "throttle", "retry_after": 1}})
    began = time.monotonic()
    SECRETS.get_secret("a")
    holds("throttled with Retry-After: the client waits", 1 <= time.monotonic() - began < 5, time.monotonic() - began)
    script({"family": "keyvault", "path": "/secrets/a*", "action": {"kind": "throttle", "retry_after_ms": 300}})
    began = time.monotonic()
    SECRETS.get_secret("a")
    holds("throttled with retry-after-ms: the client waits", 0.3 <= time.monotonic() - began < 5, time.monotonic() - began)
    script({"family": "keyvault", "path": "/secrets/a*", "count": 0, "action": {"kind": "throttle", "retry_after": 0}})
    hasty = SecretClient(VAULT.properties.vault_uri, OWNER, retry_total=0)
    refused("throttled for ever", 429, "Throttled", lambda: hasty.get_secret("a"))
    script()
    SECRETS.get_secret("a")
    checked("an empty script")


def failures():
    groups = ResourceManagementClient(OWNER, SUBSCRIPTION, retry_backoff_factor=0.05).resource_groups
    for status in [500, 502, 503]:
        script({"family": "arm", "method": "GET", "action": {"kind": "status", "status": status}})
        expect(f"status {status}", (groups.get(GROUP).name, seen()), (GROUP, [2]))
    script({"family": "arm", "method": "GET", "action": {"kind": "cut"}})
    expect("a cut connection", (groups.get(GROUP).name, seen()), (GROUP, [2]))
    script({"family": "arm", "method": "GET", "action": {"kind": "stall", "ms": 300}})
    began = time.monotonic()
    groups.get(GROUP)
    holds("a stall", time.monotonic() - began >= 0.3)
    # A token is needed first, and its endpoint may fail as well.
    script({"family": "entra", "method": "POST", "action": {"kind": "status", "status": 503}})
    fresh = ResourceManagementClient(owner(), SUBSCRIPTION).resource_groups
    expect("no token at first", (fresh.get(GROUP).name, seen()), (GROUP, [2]))


def lost_answers():
    script({"family": "keyvault", "method": "PUT", "path": "/secrets/twice*", "nth": 1, "action": {"kind": "lose-response"}})
    # The first call of a client is the one that asks for the challenge; the next is the one that counts.
    SECRETS.set_secret("twice", "1")
    expect("a lost answer is asked for again", (len(list(SECRETS.list_properties_of_secret_versions("twice"))), seen()), (2, [2]))
    storage = StorageManagementClient(OWNER, SUBSCRIPTION).storage_accounts
    storage.begin_create(GROUP, "peerfaults", {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}).result()
    key = storage.list_keys(GROUP, "peerfaults").keys[0].value
    service = BlobServiceClient("https://peerfaults.blob.core.windows.net", credential=key, initial_backoff=0, increment_base=0.05)
    container = service.create_container("logs")
    script({"family": "blob", "method": "PUT", "path": "/logs/*", "action": {"kind": "lose-response"}})
    try:
        container.upload_blob("log/1", b"mine")
        raise AssertionError("the second try met nothing")
    except ResourceExistsError as error:
        expect("a lost answer of a create-only upload", (str(getattr(error.error_code, "value", error.error_code)), seen()), ("BlobAlreadyExists", [2]))
    expect("and yet it is there", container.download_blob("log/1").readall(), b"mine")


def counters():
    control("DELETE", "/counts")
    script()
    SECRETS.get_secret("a")
    try:
        SECRETS.get_secret("never")
    except HttpResponseError:
        pass
    found = control("GET", "/counts")
    expect("counters", found["keyvault.secrets.get"], {"calls": 2, "ok": 1})


throttling()
failures()
lost_answers()
counters()
