"""hvac, the Python client of Vault: KV version 2, tokens and health of a running server.

The environment says where it is, as for Vault's own program: VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN.
The token's role must be able to do everything below `secret/…/PREFIX/`, where PREFIX is VOUCHSAFE_PREFIX (default `peer`).
If VOUCHSAFE_OUTSIDE is set, it is a path on which the role can do nothing.
"""

import json
import os
import uuid

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError

ADDRESS = os.environ["VAULT_ADDR"]
AUTHORITY = os.environ["VAULT_CACERT"]
PREFIX = os.environ.get("VOUCHSAFE_PREFIX", "peer")
CLIENT = hvac.Client(url=ADDRESS, token=os.environ["VAULT_TOKEN"], verify=AUTHORITY)
KV = CLIENT.secrets.kv.v2

_checked = 0


def checked(call):
    global _checked
    _checked += 1
    print(f"ok {call}", flush=True)


def expect(call, found, expected):
    assert found == expected, f"{call}: found {found!r}, expected {expected!r}"
    checked(call)


def holds(call, condition, found=None):
    assert condition, f"{call}: does not hold of {found!r}"
    checked(call)


def refused(call, kind, do):
    try:
        answer = do()
    except kind as error:
        checked(f"{call}: {type(error).__name__}")
        return error
    raise AssertionError(f"{call}: not refused, but {answer!r}")


def http(method, path, body, media_type="application/json"):
    """A call that hvac does not make."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Vault-Token": CLIENT.token, "Content-Type": media_type}
    return requests.request(method, f"{ADDRESS}/v1/secret/{path}", data=body, headers=headers, verify=AUTHORITY, timeout=30)


def health():
    found = CLIENT.sys.read_health_status(method="GET")
    found = found if isinstance(found, dict) else found.json()
    expect("read_health_status", (found["initialized"], found["sealed"], found["standby"]), (True, False, False))
    expect("is_initialized", CLIENT.sys.is_initialized(), True)
    expect("is_sealed", CLIENT.sys.is_sealed(), False)
    expect("read_health_status with HEAD", CLIENT.sys.read_health_status(method="HEAD").status_code, 200)


def tokens():
    holds("is_authenticated", CLIENT.is_authenticated())
    found = CLIENT.auth.token.lookup_self()["data"]
    holds("lookup_self", 0 < found["ttl"] and isinstance(found["policies"], list) and "root" not in found["policies"], found)
    for token in ["", "hvs.wrong", "root"]:
        stranger = hvac.Client(url=ADDRESS, token=token, verify=AUTHORITY)
        refused(f"lookup_self with {token!r}", Forbidden, stranger.auth.token.lookup_self)
        refused(f"read with {token!r}", Forbidden, lambda: stranger.secrets.kv.v2.read_secret_version(f"{PREFIX}/a", raise_on_deleted_version=True))


def values():
    path = f"{PREFIX}/{uuid.uuid4()}/db"
    refused("read of nothing", InvalidPath, lambda: KV.read_secret_version(path, raise_on_deleted_version=True))
    made = KV.create_or_update_secret(path, {"user": "u", "password": "one"})["data"]
    expect("create_or_update_secret", (made["version"], made["destroyed"], made["deletion_time"]), (1, False, ""))
    found = KV.read_secret_version(path, raise_on_deleted_version=True)["data"]
    expect("read_secret_version", (found["data"], found["metadata"]["version"]), ({"user": "u", "password": "one"}, 1))
    made = KV.create_or_update_secret(path, {"user": "u", "password": "two"}, cas=1)["data"]
    expect("create_or_update_secret with cas", made["version"], 2)
    refused("create_or_update_secret with the cas of the past", InvalidRequest, lambda: KV.create_or_update_secret(path, {"x": "y"}, cas=1))
    refused("create_or_update_secret with cas 0", InvalidRequest, lambda: KV.create_or_update_secret(path, {"x": "y"}, cas=0))
    expect("read of the first", KV.read_secret_version(path, version=1, raise_on_deleted_version=True)["data"]["data"]["password"], "one")
    expect("and of the last", KV.read_secret_version(path, raise_on_deleted_version=True)["data"]["data"]["password"], "two")
    made = KV.patch(path, {"password": "three"})["data"]
    expect("patch", made["version"], 3)
    expect("patch keeps the rest", KV.read_secret_version(path, raise_on_deleted_version=True)["data"]["data"], {"user": "u", "password": "three"})
    answer = http("PATCH", f"data/{path}", {"data": {"user": None, "more": "m"}, "options": {"cas": 3}}, "application/merge-patch+json")
    expect("a merge patch", (answer.status_code, answer.json()["data"]["version"]), (200, 4))
    expect("what it leaves", KV.read_secret_version(path, raise_on_deleted_version=True)["data"]["data"], {"password": "three", "more": "m"})
    refused("patch of nothing", (InvalidPath, InvalidRequest), lambda: KV.patch(f"{PREFIX}/never", {"x": "y"}))
    return path


def listing(path):
    folder = path.rsplit("/", 1)[0]
    KV.create_or_update_secret(f"{folder}/deep/er", {"a": "b"})
    expect("list_secrets", sorted(KV.list_secrets(folder)["data"]["keys"]), ["db", "deep/"])
    expect("list_secrets, deeper", KV.list_secrets(f"{folder}/deep")["data"]["keys"], ["er"])
    refused("list_secrets of nothing", InvalidPath, lambda: KV.list_secrets(f"{PREFIX}/never"))


def versions(path):
    found = KV.read_secret_metadata(path)["data"]
    expect("read_secret_metadata", (found["current_version"], sorted(found["versions"])), (4, ["1", "2", "3", "4"]))
    KV.update_metadata(path, custom_metadata={"owner": "peer"}, max_versions=5)
    found = KV.read_secret_metadata(path)["data"]
    expect("update_metadata", (found["custom_metadata"], found["max_versions"]), ({"owner": "peer"}, 5))
    KV.delete_secret_versions(path, versions=[2])
    refused("read of a deleted version", InvalidPath, lambda: KV.read_secret_version(path, version=2, raise_on_deleted_version=True))
    found = KV.read_secret_version(path, version=2, raise_on_deleted_version=False)["data"]
    holds("its metadata stays", found["data"] is None and found["metadata"]["deletion_time"], found)
    KV.undelete_secret_versions(path, versions=[2])
    expect("undelete_secret_versions", KV.read_secret_version(path, version=2, raise_on_deleted_version=True)["data"]["data"]["password"], "two")
    KV.delete_latest_version_of_secret(path)
    refused("delete_latest_version_of_secret", InvalidPath, lambda: KV.read_secret_version(path, raise_on_deleted_version=True))
    KV.undelete_secret_versions(path, versions=[4])
    KV.destroy_secret_versions(path, versions=[1])
    holds("destroy_secret_versions", KV.read_secret_metadata(path)["data"]["versions"]["1"]["destroyed"])
    refused("read of a destroyed version", InvalidPath, lambda: KV.read_secret_version(path, version=1, raise_on_deleted_version=True))
    KV.undelete_secret_versions(path, versions=[1])
    refused("and it does not come back", InvalidPath, lambda: KV.read_secret_version(path, version=1, raise_on_deleted_version=True))
    KV.delete_metadata_and_all_versions(path)
    refused("delete_metadata_and_all_versions", InvalidPath, lambda: KV.read_secret_metadata(path))
    expect("versions begin anew", KV.create_or_update_secret(path, {"a": "b"}, cas=0)["data"]["version"], 1)


def refusals():
    if outside := os.environ.get("VOUCHSAFE_OUTSIDE"):
        refused("write outside the role", Forbidden, lambda: KV.create_or_update_secret(outside, {"a": "b"}))
        refused("read outside the role", Forbidden, lambda: KV.read_secret_version(outside, raise_on_deleted_version=True))
        refused("delete outside the role", Forbidden, lambda: KV.delete_metadata_and_all_versions(outside))
    # Nobody administers this server by its API: whatever the answer is called, it is a refusal.
    kinds = VaultError
    holds("list_policies", "root" not in CLIENT.sys.list_policies()["data"]["policies"])
    refused("create_or_update_policy", kinds, lambda: CLIENT.sys.create_or_update_policy("mine", 'path "*" { capabilities = ["read"] }'))
    refused("seal", kinds, CLIENT.sys.seal)
    refused("enable_secrets_engine", kinds, lambda: CLIENT.sys.enable_secrets_engine("kv", path="other"))
    refused("create a token", kinds, lambda: CLIENT.auth.token.create(policies=["root"]))
    refused("initialize", (VaultError, AssertionError), lambda: CLIENT.sys.initialize(1, 1))
    answer = http("POST", f"data/{PREFIX}/x", b"{")
    expect("a body that is no JSON", (answer.status_code, "errors" in answer.json()), (400, True))


health()
tokens()
PATH = values()
listing(PATH)
versions(PATH)
refusals()
print(f"{_checked} calls checked", flush=True)
