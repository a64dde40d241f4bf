"""azure-keyvault-keys: hardware keys, exportable keys with a release policy, versions, soft delete, and cryptography."""

import hashlib
import json

from azure.core.exceptions import ResourceExistsError
from azure.keyvault.keys import KeyClient, KeyReleasePolicy
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm

from local_cloud import checked, credential, eventually, expect, grant, holds, inner, owner, principal, refused, vault

OWNER = owner()
VAULT = vault(OWNER, "peer-keys")
URL = VAULT.properties.vault_uri
KEYS = KeyClient(URL, OWNER)
POLICY = {
    "version": "1.0.0",
    "anyOf": [
        {
            "authority": "https://peers.weu.attest.azure.net",
            "allOf": [{"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"}],
        }
    ],
}
OTHER = {**POLICY, "anyOf": [{**POLICY["anyOf"][0], "authority": "https://other.weu.attest.azure.net"}]}


def policy(immutable=False):
    return KeyReleasePolicy(json.dumps(POLICY).encode(), immutable=immutable)


def hardware_key():
    key = eventually("create_ec_key", lambda: KEYS.create_ec_key("signer", curve="P-256", hardware_protected=True))
    expect("create_ec_key: type", key.key_type, "EC-HSM")
    expect("create_ec_key: curve", key.key.crv, "P-256")
    expect("create_ec_key: coordinates", (len(key.key.x), len(key.key.y)), (32, 32))
    expect("create_ec_key: enabled", key.properties.enabled, True)
    expect("create_ec_key: recovery", (key.properties.recovery_level, key.properties.recoverable_days), ("CustomizedRecoverable+Purgeable", 7))
    holds("create_ec_key: no policy", key.properties.release_policy is None and not key.properties.exportable)
    got = KEYS.get_key("signer")
    expect("get_key", (got.id, got.key.x, got.key.y), (key.id, key.key.x, key.key.y))
    got = KEYS.get_key("signer", key.properties.version)
    expect("get_key of a version", got.id, key.id)
    got = KEYS.get_key("SIGNER")
    expect("get_key: names have no case", got.properties.version, key.properties.version)
    for curve, size in [("P-384", 48), ("P-521", 66), ("P-256K", 32)]:
        other = KEYS.create_ec_key(f"curve-{curve}", curve=curve, hardware_protected=True)
        expect(f"create_ec_key {curve}", (other.key.crv, len(other.key.x)), (curve, size))
    software = KEYS.create_ec_key("software", curve="P-384")
    expect("create_ec_key in software", software.key_type, "EC")


def exportable_key():
    key = KEYS.create_ec_key(
        "master", curve="P-384", hardware_protected=True, exportable=True, release_policy=policy(immutable=True), tags={"a": "b"}
    )
    expect("exportable", key.properties.exportable, True)
    expect("release policy", json.loads(key.properties.release_policy.encoded_policy), POLICY)
    expect("immutable", key.properties.release_policy.immutable, True)
    expect("tags", key.properties.tags, {"a": "b"})
    got = KEYS.get_key("master")
    expect("get_key: release policy", json.loads(got.properties.release_policy.encoded_policy), POLICY)
    refused(
        "an immutable policy stays",
        400,
        "BadParameter",
        lambda: KEYS.update_key_properties("master", release_policy=KeyReleasePolicy(json.dumps(OTHER).encode())),
        "AKV.SKR.1020",
    )
    refused(
        "exportable without a policy", 400, "BadParameter", lambda: KEYS.create_ec_key("x", hardware_protected=True, exportable=True), "AKV.SKR.1004"
    )
    refused(
        "a policy without exportable", 400, "BadParameter", lambda: KEYS.create_ec_key("x", hardware_protected=True, release_policy=policy()), "AKV.SKR.1005"
    )
    refused(
        "exportable in software", 400, "BadParameter", lambda: KEYS.create_ec_key("x", exportable=True, release_policy=policy()), "AKV.SKR.1006"
    )
    mutable = KEYS.create_ec_key("mutable", curve="P-256", hardware_protected=True, exportable=True, release_policy=policy())
    replacement = KeyReleasePolicy(json.dumps(OTHER).encode())
    refused(
        "update of one version's policy",
        400,
        "BadParameter",
        lambda: KEYS.update_key_properties("mutable", mutable.properties.version, release_policy=replacement),
        "AKV.SKR.1016",
    )
    updated = KEYS.update_key_properties("mutable", release_policy=replacement)
    expect("update: release policy", json.loads(updated.properties.release_policy.encoded_policy), OTHER)
    error = refused("release without a good token", 403, "Forbidden", lambda: KEYS.release_key("master", "e30.e30.e30"))
    expect("release: inner code", inner(error), "AccessDenied")


def versions():
    first = KEYS.create_ec_key("many", curve="P-256", hardware_protected=True)
    ids = {first.id}
    for _ in range(27):
        ids.add(KEYS.create_ec_key("many", curve="P-256", hardware_protected=True).id)
    found = list(KEYS.list_properties_of_key_versions("many"))
    expect("list_properties_of_key_versions", {version.id for version in found}, ids)
    holds("ordered by version", [v.version for v in found] == sorted(v.version for v in found))
    expect("paging", len(list(KEYS.list_properties_of_key_versions("many", max_page_size=5))), 28)
    names = {key.name for key in KEYS.list_properties_of_keys()}
    holds("list_properties_of_keys", {"signer", "master", "many", "mutable", "software"} <= names, names)
    rotated = KEYS.rotate_key("many")
    holds("rotate_key", rotated.id not in ids and KEYS.get_key("many").id == rotated.id)
    disabled = KEYS.update_key_properties("many", first.properties.version, enabled=False, tags={"why": "unasked"})
    expect("update_key_properties", (disabled.properties.enabled, disabled.properties.tags), (False, {"why": "unasked"}))
    got = KEYS.get_key("many", first.properties.version)
    expect("a disabled key still shows its public half", (got.properties.enabled, got.key.x), (False, first.key.x))
    refused(
        "a disabled key does nothing",
        403,
        "Forbidden",
        lambda: CryptographyClient(first.id, OWNER).sign(SignatureAlgorithm.es256, b"\0" * 32),
    )


def cryptography():
    digest = hashlib.sha256(b"text").digest()
    for name, algorithm, digest in [
        ("signer", SignatureAlgorithm.es256, hashlib.sha256(b"text").digest()),
        ("curve-P-384", SignatureAlgorithm.es384, hashlib.sha384(b"text").digest()),
        ("curve-P-521", SignatureAlgorithm.es512, hashlib.sha512(b"text").digest()),
        ("curve-P-256K", SignatureAlgorithm.es256_k, hashlib.sha256(b"text").digest()),
    ]:
        key = KEYS.get_key(name)
        # By id alone, so that the client asks the service rather than verify by itself.
        remote = CryptographyClient(key.id, OWNER)
        signature = remote.sign(algorithm, digest).signature
        # The client has the public half by now and verifies by itself.
        holds(f"{algorithm}: verified by the client", CryptographyClient.from_jwk(key.key).verify(algorithm, digest, signature).is_valid)
        answer = remote._client.verify(
            key_name=name,
            key_version=key.properties.version,
            parameters=remote._models.KeyVerifyParameters(algorithm=algorithm, digest=digest, signature=signature),
        )
        holds(f"{algorithm}: verified by the service", answer.value)
        answer = remote._client.verify(
            key_name=name,
            key_version=key.properties.version,
            parameters=remote._models.KeyVerifyParameters(algorithm=algorithm, digest=bytes(len(digest)), signature=signature),
        )
        holds(f"{algorithm}: another digest", not answer.value)
    rsa = KEYS.create_rsa_key("rsa", size=3072, hardware_protected=True)
    expect("create_rsa_key", (rsa.key_type, len(rsa.key.n)), ("RSA-HSM", 384))
    remote = CryptographyClient(rsa.id, OWNER)
    local = CryptographyClient.from_jwk(rsa.key)
    for algorithm in [
        SignatureAlgorithm.rs256,
        SignatureAlgorithm.rs384,
        SignatureAlgorithm.rs512,
        SignatureAlgorithm.ps256,
        SignatureAlgorithm.ps384,
        SignatureAlgorithm.ps512,
    ]:
        digest = hashlib.new("sha" + algorithm.value[2:], b"text").digest()
        signature = remote.sign(algorithm, digest).signature
        holds(f"{algorithm}", local.verify(algorithm, digest, signature).is_valid)
    for algorithm in [EncryptionAlgorithm.rsa_oaep, EncryptionAlgorithm.rsa_oaep_256, EncryptionAlgorithm.rsa1_5]:
        sealed = local.encrypt(algorithm, b"text").ciphertext
        expect(f"decrypt {algorithm}", remote.decrypt(algorithm, sealed).plaintext, b"text")
    sealed = remote.encrypt(EncryptionAlgorithm.rsa_oaep_256, b"text").ciphertext
    expect("encrypt", remote.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext, b"text")
    for algorithm in [KeyWrapAlgorithm.rsa_oaep, KeyWrapAlgorithm.rsa_oaep_256, KeyWrapAlgorithm.rsa1_5]:
        wrapped = remote.wrap_key(algorithm, b"k" * 32).encrypted_key
        expect(f"unwrap_key {algorithm}", remote.unwrap_key(algorithm, wrapped).key, b"k" * 32)


def deletion():
    KEYS.create_ec_key("gone", curve="P-256", hardware_protected=True)
    poller = KEYS.begin_delete_key("gone")
    expect("begin_delete_key", poller.result().name, "gone")
    holds("begin_delete_key: dates", poller.result().scheduled_purge_date > poller.result().deleted_date)
    try:
        KEYS.create_ec_key("gone", curve="P-256", hardware_protected=True)
        raise AssertionError("a name was given out while its key was being deleted")
    except ResourceExistsError as error:
        expect("re-creation while being deleted", inner(error), "ObjectIsBeingDeleted")
    poller.wait()
    expect("get_deleted_key", KEYS.get_deleted_key("gone").name, "gone")
    try:
        KEYS.create_ec_key("gone", curve="P-256", hardware_protected=True)
        raise AssertionError("a deleted name was given out")
    except ResourceExistsError as error:
        expect("re-creation when deleted", inner(error), "ObjectIsDeletedButRecoverable")
    refused("get_key when deleted", 404, "KeyNotFound", lambda: KEYS.get_key("gone"))
    holds("list_deleted_keys", "gone" in {key.name for key in KEYS.list_deleted_keys()})
    recovered = KEYS.begin_recover_deleted_key("gone")
    recovered.wait()
    expect("begin_recover_deleted_key", KEYS.get_key("gone").name, "gone")
    KEYS.begin_delete_key("gone").wait()
    KEYS.purge_deleted_key("gone")
    checked("purge_deleted_key")
    refused("get_deleted_key when purged", 404, "KeyNotFound", lambda: KEYS.get_deleted_key("gone"))
    again = eventually("the name is free again", lambda: KEYS.create_ec_key("gone", curve="P-256", hardware_protected=True))
    holds("the name is free again", again.name == "gone")
    refused("get_key of nothing", 404, "KeyNotFound", lambda: KEYS.get_key("never"))
    refused("begin_delete_key of nothing", 404, "KeyNotFound", lambda: KEYS.begin_delete_key("never"))


def roles():
    who = principal("keys-nobody")
    keys = KeyClient(URL, credential(who))
    error = refused("without a role", 403, "Forbidden", lambda: keys.get_key("signer"), "Action: 'Microsoft.KeyVault/vaults/keys/read")
    expect("without a role: inner code", inner(error), "ForbiddenByRbac")
    grant(OWNER, f"{VAULT.id}/keys/master", "release user", who["oid"])
    refused("the release user may not read", 403, "Forbidden", lambda: keys.get_key("master"))
    error = refused("release by the release user", 403, "Forbidden", lambda: keys.release_key("master", "e30.e30.e30"))
    expect("the release user's token is judged", inner(error), "AccessDenied")
    error = refused("and only on that key", 403, "Forbidden", lambda: keys.release_key("mutable", "e30.e30.e30"))
    expect("and only on that key: inner code", inner(error), "ForbiddenByRbac")


hardware_key()
exportable_key()
versions()
cryptography()
deletion()
roles()
