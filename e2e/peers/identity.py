"""azure-identity: tokens of applications by secret, certificate and federated assertion, and of managed identities."""

import base64
import datetime
import json
import time
import uuid

import jwt
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local_cloud import OWNER, TENANT, checked, control, expect, holds, owner, principal


def claims(token):
    payload = token.token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def authentication_refused(call, code, do):
    try:
        do()
    except ClientAuthenticationError as error:
        assert code is None or f"AADSTS{code}" in error.message, f"{call}: {error.message}"
        checked(f"{call}: {'no such authority' if code is None else f'AADSTS{code}'}")
    else:
        raise AssertionError(f"{call}: not refused")


def secrets():
    for resource in [
        "https://management.azure.com",
        "https://vault.azure.net",
        "https://attest.azure.net",
        "https://storage.azure.com",
    ]:
        token = owner().get_token(f"{resource}/.default")
        found = claims(token)
        expect(f"secret, {resource}: aud", found["aud"].rstrip("/"), resource)
        expect("oid", found["oid"], OWNER["oid"])
        expect("appid", found["appid"], OWNER["client_id"])
        expect("iss", found["iss"], f"https://sts.windows.net/{TENANT}/")
        holds("expires_on", time.time() + 600 < token.expires_on < time.time() + 90000, token.expires_on)
    scope = "https://vault.azure.net/.default"
    authentication_refused(
        "wrong secret", 7000215, lambda: ClientSecretCredential(TENANT, OWNER["client_id"], "wrong").get_token(scope)
    )
    authentication_refused(
        "unknown application",
        700016,
        lambda: ClientSecretCredential(TENANT, str(uuid.uuid4()), "wrong").get_token(scope),
    )
    # The client asks for the tenant's configuration first, and reports on that.
    authentication_refused(
        "unknown tenant",
        None,
        lambda: ClientSecretCredential(str(uuid.uuid4()), OWNER["client_id"], OWNER["client_secret"]).get_token(scope),
    )
    authentication_refused("scope that is none", 1002012, lambda: owner().get_token("vault"))


def certificates():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    application = principal("by-certificate", certificates=[pem.decode()])
    credential = CertificateCredential(TENANT, application["client_id"], certificate_data=pem + private)
    token = credential.get_token("https://vault.azure.net/.default")
    expect("certificate: oid", claims(token)["oid"], application["oid"])
    stranger = CertificateCredential(TENANT, OWNER["client_id"], certificate_data=pem + private)
    authentication_refused(
        "certificate of another application", 700027, lambda: stranger.get_token("https://vault.azure.net/.default")
    )


def assertions():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    issuer = "https://token.actions.example"
    application = principal(
        "federated",
        federated=[
            {
                "issuer": issuer,
                "subject": "repo:x",
                "audience": "api://AzureADTokenExchange",
                "public_key": public.decode(),
            }
        ],
    )

    def credential(subject):
        now = int(time.time())
        body = {"iss": issuer, "sub": subject, "aud": "api://AzureADTokenExchange", "iat": now, "nbf": now, "exp": now + 300}
        assertion = jwt.encode(body, key, algorithm="RS256", headers={"kid": "1"})
        return ClientAssertionCredential(TENANT, application["client_id"], lambda: assertion)

    token = credential("repo:x").get_token("https://attest.azure.net/.default")
    expect("assertion: oid", claims(token)["oid"], application["oid"])
    authentication_refused(
        "assertion for another subject",
        700213,
        lambda: credential("repo:y").get_token("https://attest.azure.net/.default"),
    )


def managed_identities():
    try:
        ManagedIdentityCredential(client_id=str(uuid.uuid4())).get_token("https://vault.azure.net/.default")
    except (CredentialUnavailableError, ClientAuthenticationError) as error:
        holds("managed identity where none runs", "Identity not found" in str(error) or "unavailable" in str(error), str(error))
    else:
        raise AssertionError("a managed identity out of nothing")


secrets()
certificates()
assertions()
managed_identities()
expect("every token was counted", control("GET", "/counts")["entra.token"]["ok"], 6)
