"""What the scripts share: who we are, counting what was checked, and the resources that they need first.

The environment says where the local cloud is: HTTPS_PROXY and REQUESTS_CA_BUNDLE as for any client, and VOUCHSAFE_CLOUD_STATE,
the state directory, which holds the credentials of the subscription's owner.
"""

import atexit
import json
import os
import pathlib
import sys
import time
import uuid

import requests
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

STATE = pathlib.Path(os.environ["VOUCHSAFE_CLOUD_STATE"])
OWNER = json.loads((STATE / "service-principal.json").read_text())
TENANT = OWNER["tenant"]
SUBSCRIPTION = "5b5c0000-0000-4000-8000-000000000001"
LOCATION = "westeurope"
GROUP = "peers"
GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"

ROLES = {
    "owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "vault administrator": "00482a5a-887f-4fb3-b363-3b7fe8e74483",
    "crypto officer": "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
    "crypto user": "12338af0-0e69-4776-bea7-57ae8d297424",
    "release user": "08bbd89e-9f13-488c-ac41-acfcb10c90ab",
    "secrets officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "secrets user": "4633458b-17de-408a-b874-0445c86b69e6",
    "attestation contributor": "bbf86eb8-f7b4-4cce-96e4-18cddf81d86e",
    "attestation reader": "fd1bd22b-8476-40bc-a0bc-69b95687b9f3",
    "blob contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "blob reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "registry pull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "registry push": "8311e382-0749-4cb8-b61a-304f252e45ec",
}

# A status or code of the service that nobody recorded.
ANY = object()

_checked = 0


def _close():
    # The last line, and only if nothing was raised: the test reads it.
    if _checked and not _failed:
        print(f"{_checked} calls checked", flush=True)


_failed = False
_hook = sys.excepthook


def _note(*what):
    global _failed
    _failed = True
    _hook(*what)


sys.excepthook = _note
atexit.register(_close)


def checked(call):
    """One call did what it should."""
    global _checked
    _checked += 1
    print(f"ok {call}", flush=True)


def expect(call, found, expected):
    """One call gave what it should."""
    assert found == expected, f"{call}: found {found!r}, expected {expected!r}"
    checked(call)


def holds(call, condition, found=None):
    """One call gave something of which this holds."""
    assert condition, f"{call}: does not hold{'' if found is None else f' of {found!r}'}"
    checked(call)


def refused(call, status, code, do, text=None):
    """One call is refused with that status, code (of the error body) and, if given, a part of the message."""
    try:
        answer = do()
        if hasattr(answer, "__iter__") and not isinstance(answer, (dict, str, bytes, list)):
            answer = list(answer)
    except HttpResponseError as error:
        found = (error.status_code, code_of(error))
        wanted = (found[0] if status is ANY else status, found[1] if code is ANY else code)
        assert found == wanted, f"{call}: found {found}, expected {wanted}: {error.message}"
        assert text is None or text in error.message, f"{call}: {error.message}"
        checked(f"{call}: {found[0]} {found[1]}")
        return error
    raise AssertionError(f"{call}: not refused, but {answer!r}")


def code_of(error):
    """The service's code, where the client shows it: innermost last."""
    if getattr(error, "error_code", None):
        return getattr(error.error_code, "value", error.error_code)
    if error.error is None:
        return None
    return error.error.code


def inner(error):
    """The code of the inner error of a Key Vault refusal."""
    body = json.loads(error.response.text())
    return body["error"].get("innererror", {}).get("code")


def eventually(call, do, seconds=60):
    """Roles and deletions take a while; the call is repeated until it is not refused."""
    until = time.monotonic() + seconds
    while True:
        try:
            return do()
        except HttpResponseError as error:
            if time.monotonic() > until:
                raise AssertionError(f"{call}: still refused: {error.message}") from error
        time.sleep(0.2)


def owner():
    """The owner's credential, by Microsoft's client."""
    return credential(OWNER)


def credential(principal):
    return ClientSecretCredential(principal["tenant"], principal["client_id"], principal["client_secret"])


def control(method, path, body=None):
    """A call of the local cloud's own control host."""
    token = (STATE / "control-token").read_text().strip()
    answer = requests.request(
        method, f"https://control.local{path}", json=body, timeout=60, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.ok, (path, answer.status_code, answer.text)
    return answer.json() if answer.content else None


def principal(name, **more):
    """A new principal without any role."""
    return control("POST", "/principals", {"name": name, **more})


def resource_group(credential):
    from azure.mgmt.resource import ResourceManagementClient

    client = ResourceManagementClient(credential, SUBSCRIPTION)
    return client.resource_groups.create_or_update(GROUP, {"location": LOCATION})


def vault(credential, name, **properties):
    """A premium vault with role-based access, on which the owner is also vault administrator."""
    from azure.mgmt.keyvault import KeyVaultManagementClient

    resource_group(credential)
    client = KeyVaultManagementClient(credential, SUBSCRIPTION)
    made = client.vaults.begin_create_or_update(
        GROUP,
        name,
        {
            "location": LOCATION,
            "properties": {
                "tenantId": TENANT,
                "sku": {"family": "A", "name": "premium"},
                "enableRbacAuthorization": True,
                "enableSoftDelete": True,
                "softDeleteRetentionInDays": 7,
                **properties,
            },
        },
    ).result()
    grant(credential, made.id, "vault administrator", OWNER["oid"])
    return made


def grant(credential, scope, role, oid):
    """A role at a scope for a service principal; the same call again changes nothing."""
    from azure.mgmt.authorization import AuthorizationManagementClient

    client = AuthorizationManagementClient(credential, SUBSCRIPTION)
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope} {role} {oid}"))
    return client.role_assignments.create(
        scope,
        name,
        {
            "roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{ROLES[role]}",
            "principalId": oid,
            "principalType": "ServicePrincipal",
        },
    )
