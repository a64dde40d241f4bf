"""azure-containerregistry and azure-mgmt-containerinstance: an image is pushed and runs as a confidential group; then its key is released.

VOUCHSAFE_IMAGE is a directory with an image in OCI layout, VOUCHSAFE_CCE_POLICY a file with the policy that permits it to run as `/app wait`
with GREETING=peer. The image prints its greeting and its security context. The release at the end is the whole of secure key release by other
people's programs: token of the managed identity by azure-identity, release by azure-keyvault-keys, unwrapping by the package cryptography.
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import re
import socket

import requests
from azure.containerregistry import ContainerRegistryClient
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ManagedIdentityCredential
from azure.keyvault.keys import KeyClient, KeyReleasePolicy
from azure.mgmt.attestation import AttestationManagementClient
from azure.mgmt.containerinstance import ContainerInstanceManagementClient
from azure.mgmt.containerinstance.models import Resource
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from local_cloud import (
    ANY,
    GROUP,
    LOCATION,
    SUBSCRIPTION,
    checked,
    credential,
    eventually,
    expect,
    grant,
    holds,
    owner,
    principal,
    refused,
    resource_group,
    vault,
)

OWNER = owner()
LAYOUT = pathlib.Path(os.environ["VOUCHSAFE_IMAGE"])
POLICY = pathlib.Path(os.environ["VOUCHSAFE_CCE_POLICY"]).read_bytes()
REPOSITORY = "peer/app"
REGISTRY = "peerimages"


def unbase64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def registry():
    client = ContainerRegistryManagementClient(OWNER, SUBSCRIPTION)
    made = client.registries.begin_create(GROUP, REGISTRY, {"location": LOCATION, "sku": {"name": "Basic"}}).result()
    return made, f"https://{made.login_server}"


def push(url):
    client = ContainerRegistryClient(url, OWNER, audience="https://containerregistry.azure.net")
    manifest_digest = json.loads((LAYOUT / "index.json").read_text())["manifests"][0]["digest"]
    blob = lambda digest: (LAYOUT / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()
    manifest = json.loads(blob(manifest_digest))
    for part in [manifest["config"], *manifest["layers"]]:
        digest, size = client.upload_blob(REPOSITORY, io.BytesIO(blob(part["digest"])))
        expect("upload_blob", (digest, size), (part["digest"], part["size"]))
        expect("download_blob", b"".join(client.download_blob(REPOSITORY, digest)), blob(digest))
    raw = blob(manifest_digest)
    expect("set_manifest", client.set_manifest(REPOSITORY, io.BytesIO(raw), tag="first"), manifest_digest)
    found = client.get_manifest(REPOSITORY, "first")
    expect("get_manifest by tag", (found.digest, found.manifest, found.media_type), (manifest_digest, manifest, manifest["mediaType"]))
    expect("get_manifest by digest", client.get_manifest(REPOSITORY, manifest_digest).digest, manifest_digest)
    refused("get_manifest of nothing", 404, ANY, lambda: client.get_manifest(REPOSITORY, "second"))
    refused("download_blob of nothing", 404, ANY, lambda: client.download_blob(REPOSITORY, "sha256:" + "0" * 64))
    missing = {**manifest, "layers": [{**manifest["layers"][0], "digest": "sha256:" + "0" * 64}]}
    refused("set_manifest whose layer is not there", ANY, ANY, lambda: client.set_manifest(REPOSITORY, missing, tag="bad"))
    other = {**manifest, "annotations": {"which": "other"}}
    digest = client.set_manifest(REPOSITORY, other, tag="other")
    client.delete_manifest(REPOSITORY, digest)
    refused("get_manifest of what was deleted", 404, ANY, lambda: client.get_manifest(REPOSITORY, "other"))
    nobody = ContainerRegistryClient(url, credential(principal("registry-nobody")), audience="https://containerregistry.azure.net")
    try:
        nobody.get_manifest(REPOSITORY, "first")
        raise AssertionError("an image for anybody")
    except (ClientAuthenticationError, HttpResponseError) as error:
        holds("get_manifest without a role", error.status_code in (401, 403), error.status_code)
    return manifest_digest


def identity():
    client = ManagedServiceIdentityClient(OWNER, SUBSCRIPTION)
    return client.user_assigned_identities.create_or_update(GROUP, "peer", {"location": LOCATION})


def body(identity, image, policy=POLICY, **more):
    return {
        "location": LOCATION,
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}},
        "properties": {
            "sku": "Confidential",
            "osType": "Linux",
            "restartPolicy": "Never",
            "confidentialComputeProperties": {"ccePolicy": base64.b64encode(policy).decode()},
            "imageRegistryCredentials": [{"server": f"{REGISTRY}.azurecr.io", "identity": identity.id}],
            "containers": [
                {
                    "name": "app",
                    "properties": {
                        "image": image,
                        "command": ["/app", "wait"],
                        "environmentVariables": [{"name": "GREETING", "value": "peer"}],
                        "resources": {"requests": {"cpu": 1.0, "memoryInGB": 1.0}},
                        "ports": [{"port": 8200, "protocol": "TCP"}],
                    },
                }
            ],
            "ipAddress": {"type": "Public", "ports": [{"port": 8200, "protocol": "TCP"}]},
            **more,
        },
    }


def group(image_registry, identity, digest):
    client = ContainerInstanceManagementClient(OWNER, SUBSCRIPTION)
    image = f"{REGISTRY}.azurecr.io/{REPOSITORY}@{digest}"

    def create(name, **more):
        return client.container_groups.begin_create_or_update(GROUP, name, body(identity, image, **more)).result()

    def fails(call, name, **more):
        try:
            create(name, **more)
            raise AssertionError(f"{call}: not refused")
        except HttpResponseError as error:
            checked(f"{call}: {error.message.splitlines()[0][:100]}")
        client.container_groups.begin_delete(GROUP, name).result()

    fails("an image that the identity may not pull", "early")
    grant(OWNER, image_registry.id, "registry pull", identity.principal_id)
    other = POLICY.replace(b"GREETING", b"FAREWELL")
    assert other != POLICY
    fails("a policy that does not permit it", "unfit", policy=other)
    refused("a policy that is none", 400, ANY, lambda: create("none", confidentialComputeProperties={"ccePolicy": "?"}))
    made = create("peer")
    expect("container_groups.begin_create_or_update", made.provisioning_state, "Succeeded")
    found = client.container_groups.get(GROUP, "peer")
    expect("container_groups.get: policy", base64.b64decode(found.confidential_compute_properties.cce_policy), POLICY)
    expect("container_groups.get: sku", found.sku, "Confidential")
    state = found.containers[0].instance_view.current_state
    expect("container_groups.get: it runs", (found.instance_view.state, state.state), ("Running", "Running"))
    holds("container_groups.get: address", found.ip_address.ip.startswith("127."), found.ip_address.ip)
    expect("list_by_resource_group", [group.name for group in client.container_groups.list_by_resource_group(GROUP)], ["peer"])
    expect("list", [group.name for group in client.container_groups.list()], ["peer"])
    logs = eventually_in("context", lambda: client.containers.list_logs(GROUP, "peer", "app").content)
    holds("list_logs", "hello peer" in logs, logs)
    holds("list_logs, timestamps", re.match(r"\d{4}-\d\d-\d\dT", client.containers.list_logs(GROUP, "peer", "app", timestamps=True).content))
    expect("list_logs, tail", len(client.containers.list_logs(GROUP, "peer", "app", tail=1).content.strip().splitlines()), 1)
    changed = client.container_groups.update(GROUP, "peer", Resource(location=LOCATION, tags={"a": "b"}))
    expect("update", changed.tags, {"a": "b"})
    client.container_groups.stop(GROUP, "peer")
    eventually_in("Stopped", lambda: client.container_groups.get(GROUP, "peer").instance_view.state)
    checked("stop")
    client.container_groups.begin_start(GROUP, "peer").result()
    eventually_in("Running", lambda: client.container_groups.get(GROUP, "peer").instance_view.state)
    checked("begin_start")
    client.container_groups.begin_restart(GROUP, "peer").result()
    eventually_in("Running", lambda: client.container_groups.get(GROUP, "peer").instance_view.state)
    checked("begin_restart")
    logs = eventually_in("context", lambda: client.containers.list_logs(GROUP, "peer", "app").content)
    return client, re.search(r"^context (\S+)$", logs, re.M).group(1)


def eventually_in(part, do):
    import time

    for _ in range(150):
        found = do() or ""
        if part in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"never {part!r}, but {found!r}")


def provider():
    client = AttestationManagementClient(OWNER, SUBSCRIPTION)
    return client.attestation_providers.create(GROUP, "peercontainers", {"location": LOCATION, "properties": {}}).attest_uri


def report(context, data):
    with socket.socket(socket.AF_UNIX) as device:
        device.connect(f"{context}/insecure-snp-device")
        device.sendall(hashlib.sha256(data).digest() + bytes(32))
        found = b""
        while part := device.recv(4096):
            found += part
    expect("a report", len(found), 1184)
    return found


def attest(url, context, runtime, **more):
    amd = json.loads(base64.b64decode((pathlib.Path(context) / "host-amd-cert-base64").read_text()))
    uvm = base64.b64decode((pathlib.Path(context) / "reference-info-base64").read_text())
    evidence = {
        "SnpReport": base64url(report(context, runtime)),
        "VcekCertChain": base64url((amd["vcekCert"] + amd["certificateChain"]).encode()),
        "Endorsements": base64url(json.dumps({"Uvm": [base64url(uvm)]}).encode()),
    }
    request = {"report": base64url(json.dumps(evidence).encode()), "runtimeData": {"data": base64url(runtime), "dataType": "JSON"}, **more}
    return requests.post(f"{url}/attest/SevSnpVm?api-version=2022-08-01", json=request, timeout=60)


def release(url, context, identity):
    made = vault(OWNER, "peer-release")
    host_data = hashlib.sha256(POLICY).hexdigest()
    condition = lambda value: {
        "version": "1.0.0",
        "anyOf": [
            {
                "authority": url,
                "allOf": [
                    {"claim": "x-ms-sevsnpvm-hostdata", "equals": value},
                    {"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"},
                    {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": "false"},
                ],
            }
        ],
    }
    keys = KeyClient(made.properties.vault_uri, OWNER)
    create = lambda name, value: keys.create_ec_key(
        name, curve="P-384", hardware_protected=True, exportable=True, release_policy=KeyReleasePolicy(json.dumps(condition(value)).encode())
    )
    key = eventually("create_ec_key", lambda: create("master", host_data))
    create("foreign", "00" * 32)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private.public_key().public_numbers()
    runtime = json.dumps(
        {
            "keys": [
                {
                    "kid": "release",
                    "kty": "RSA",
                    "key_ops": ["encrypt"],
                    "e": base64url(numbers.e.to_bytes(3, "big")),
                    "n": base64url(numbers.n.to_bytes(256, "big")),
                }
            ]
        }
    ).encode()
    answer = attest(url, context, runtime, nonce="12345")
    expect("attest", answer.status_code, 200)
    token = answer.json()["token"]
    claims = json.loads(unbase64url(token.split(".")[1]))
    expect(
        "attest: claims",
        (claims["iss"], claims["x-ms-sevsnpvm-hostdata"], claims["x-ms-compliance-status"], claims["nonce"], claims["x-ms-runtime"]),
        (url, host_data, "azure-compliant-uvm", "12345", json.loads(runtime)),
    )
    wrong = attest(url, context, runtime, runtimeData={"data": base64url(b"{}"), "dataType": "JSON"})
    expect("attest for another's key", (wrong.status_code, wrong.json()["error"]["code"]), (400, "InvalidParameter"))

    running = ManagedIdentityCredential(client_id=identity.client_id)
    held = json.loads(unbase64url(running.get_token("https://vault.azure.net/.default").token.split(".")[1]))
    expect("ManagedIdentityCredential: oid", held["oid"], identity.principal_id)
    released = KeyClient(made.properties.vault_uri, running)
    refused("release_key before the role", 403, "Forbidden", lambda: released.release_key("master", token))
    for name in ["master", "foreign"]:
        grant(OWNER, f"{made.id}/keys/{name}", "release user", identity.principal_id)
    for algorithm, digest in [("CKM_RSA_AES_KEY_WRAP", hashes.SHA1()), ("RSA_AES_KEY_WRAP_256", hashes.SHA256()), ("RSA_AES_KEY_WRAP_384", hashes.SHA384())]:
        answer = eventually("release_key", lambda: released.release_key("master", token, algorithm=algorithm, nonce="n"))
        jws = answer.value.split(".")
        header, payload = json.loads(unbase64url(jws[0])), json.loads(unbase64url(jws[1]))
        leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
        leaf.public_key().verify(unbase64url(jws[2]), f"{jws[0]}.{jws[1]}".encode(), padding.PKCS1v15(), hashes.SHA256())
        expect(f"release_key {algorithm}: as asked", (payload["request"]["enc"], payload["request"]["nonce"]), (algorithm, "n"))
        inner = payload["response"]["key"]
        envelope = json.loads(unbase64url(inner["key"]["key_hsm"]))
        expect("release_key: for the key of the token", envelope["header"]["kid"], "release")
        sealed = unbase64url(envelope["ciphertext"])
        aes = private.decrypt(sealed[:256], padding.OAEP(padding.MGF1(digest), digest, None))
        opened = serialization.load_der_private_key(keywrap.aes_key_unwrap_with_padding(aes, sealed[256:]), None)
        public = opened.public_key().public_numbers()
        expect(f"release_key {algorithm}", (public.x, public.y), (int.from_bytes(key.key.x, "big"), int.from_bytes(key.key.y, "big")))
        holds("release_key: the curve", isinstance(opened.curve, ec.SECP384R1))
    refused("release_key to another host data", 403, "Forbidden", lambda: released.release_key("foreign", token), "does not meet key release policy requirements")
    forged = ".".join([*token.split(".")[:2], base64url(bytes(256))])
    refused("release_key by a forged token", 403, "Forbidden", lambda: released.release_key("master", forged), "cannot be verified")


resource_group(OWNER)
IMAGES, ADDRESS = registry()
DIGEST = push(ADDRESS)
IDENTITY = identity()
INSTANCES, CONTEXT = group(IMAGES, IDENTITY, DIGEST)
release(provider(), CONTEXT, IDENTITY)
INSTANCES.container_groups.begin_delete(GROUP, "peer").result()
refused("begin_delete", 404, "ResourceNotFound", lambda: INSTANCES.container_groups.get(GROUP, "peer"))
