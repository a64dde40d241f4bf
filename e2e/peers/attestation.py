"""azure-security-attestation: policies, policy certificates, keys and metadata, on a provider of each kind of trust."""

import base64
import datetime
import hashlib
import json

from azure.mgmt.attestation import AttestationManagementClient
from azure.security.attestation import AttestationAdministrationClient, AttestationClient, AttestationPolicyToken, AttestationToken, AttestationType
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

import local_cloud
from local_cloud import GROUP, LOCATION, SUBSCRIPTION, credential, eventually, expect, grant, holds, owner, principal, refused, resource_group

OWNER = owner()
DEFAULT = "version= 1.0;authorizationrules{=> permit();};"
DEBUG = 'version=1.0; authorizationrules{ [type=="x-ms-sevsnpvm-is-debuggable", value==false] => permit(); }; issuancerules{};'
TYPE = "SevSnpVm"


def signer(name):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode(), certificate


def der(certificate):
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


FIRST, SECOND, STRANGER = signer("first"), signer("second"), signer("stranger")


def provider(name, certificates=()):
    resource_group(OWNER)
    client = AttestationManagementClient(OWNER, SUBSCRIPTION)
    properties = {}
    if certificates:
        keys = [{"kty": "RSA", "alg": "RS256", "use": "sig", "x5c": [der(certificate)]} for certificate in certificates]
        properties["policySigningCertificates"] = {"keys": keys}
    made = client.attestation_providers.create(GROUP, name, {"location": LOCATION, "properties": properties})
    grant(OWNER, made.id, "attestation contributor", local_cloud.OWNER["oid"])
    return made


def metadata(url):
    # The client validates every token of the service by these.
    client = AttestationClient(url, OWNER)
    found = client.get_open_id_metadata()
    expect("get_open_id_metadata", (found["issuer"], found["jwks_uri"]), (url, f"{url}/certs"))
    holds("claims_supported", "x-ms-sevsnpvm-hostdata" in found["claims_supported"] or len(found["claims_supported"]) > 5)
    signers = client.get_signing_certificates()
    holds("get_signing_certificates", len(signers) >= 1 and all(s.key_id and s.certificates for s in signers))
    for found in signers:
        x509.load_pem_x509_certificate(found.certificates[0].encode())
    return client


def policies(administration, sign=None):
    key, certificate = (sign[1], sign[0]) if sign else (None, None)
    text, token = administration.get_policy(TYPE)
    expect("get_policy, default", text, DEFAULT)
    expect("get_policy: issuer", token.issuer, administration._client._config.instance_url)
    result, _ = administration.set_policy(TYPE, DEBUG, signing_key=key, signing_certificate=certificate)
    expect("set_policy", result.policy_resolution, "Updated")
    # The hash is of the JWS as sent.
    sent = AttestationPolicyToken(DEBUG, signing_key=key, signing_certificate=certificate).to_jwt_string()
    found = result.policy_token_hash
    found = found if isinstance(found, bytes) else base64.urlsafe_b64decode(found + "=" * (-len(found) % 4))
    expect("set_policy: hash", found, hashlib.sha256(sent.encode()).digest())
    if sign:
        expect("set_policy: signer", result.policy_signer.certificates[0].strip(), certificate.strip())
    else:
        expect("set_policy: no signer", result.policy_signer, None)
    expect("get_policy", administration.get_policy(TYPE)[0], DEBUG)
    expect("get_policy: the type has no case", administration.get_policy("sevsnpvm")[0], DEBUG)
    refused(
        "set_policy with a fault in it",
        400,
        "PolicyParsingError",
        lambda: administration.set_policy(TYPE, "version=1.0; authorizationrules{ nonsense };", signing_key=key, signing_certificate=certificate),
    )
    expect("and the old one stays", administration.get_policy(TYPE)[0], DEBUG)
    result, _ = administration.reset_policy(TYPE, signing_key=key, signing_certificate=certificate)
    expect("reset_policy", result.policy_resolution, "Removed")
    expect("get_policy after reset", administration.get_policy(TYPE)[0], DEFAULT)
    holds("get_policy of another type", "permit" in administration.get_policy(AttestationType.SGX_ENCLAVE)[0])


def isolated():
    made = provider("peerisolated", [FIRST[2]])
    expect("create, isolated", (made.trust_model, made.status), ("Isolated", "Ready"))
    url = made.attest_uri
    metadata(url)
    administration = AttestationAdministrationClient(url, OWNER)
    eventually("get_policy", lambda: administration.get_policy(TYPE))
    policies(administration, FIRST)
    refused("set_policy, unsigned", 400, "InvalidOperation", lambda: administration.set_policy(TYPE, DEBUG))
    refused(
        "set_policy by a stranger",
        400,
        "InvalidOperation",
        lambda: administration.set_policy(TYPE, DEBUG, signing_key=STRANGER[1], signing_certificate=STRANGER[0]),
    )
    refused("reset_policy, unsigned", 400, "InvalidOperation", lambda: administration.reset_policy(TYPE))
    certificates, _ = administration.get_policy_management_certificates()
    expect("get_policy_management_certificates", [[pem.strip() for pem in chain] for chain in certificates], [[FIRST[0].strip()]])
    as_first = {"signing_key": FIRST[1], "signing_certificate": FIRST[0]}
    result, _ = administration.add_policy_management_certificate(SECOND[0], **as_first)
    thumbprint = SECOND[2].fingerprint(hashes.SHA1()).hex().upper()
    expect("add_policy_management_certificate", (result.certificate_resolution, result.certificate_thumbprint), ("IsPresent", thumbprint))
    result, _ = administration.add_policy_management_certificate(SECOND[0], **as_first)
    expect("and again", result.certificate_resolution, "IsPresent")
    expect("two certificates", len(administration.get_policy_management_certificates()[0]), 2)
    result, _ = administration.set_policy(TYPE, DEBUG, signing_key=SECOND[1], signing_certificate=SECOND[0])
    expect("set_policy by the second", result.policy_resolution, "Updated")
    refused(
        "add_policy_management_certificate by a stranger",
        400,
        "InvalidOperation",
        lambda: administration.add_policy_management_certificate(STRANGER[0], signing_key=STRANGER[1], signing_certificate=STRANGER[0]),
    )
    result, _ = administration.remove_policy_management_certificate(SECOND[0], **as_first)
    expect("remove_policy_management_certificate", result.certificate_resolution, "IsAbsent")
    expect("one certificate", len(administration.get_policy_management_certificates()[0]), 1)


def entra():
    made = provider("peerentra")
    expect("create, entra", made.trust_model, "AAD")
    url = made.attest_uri
    client = metadata(url)
    administration = AttestationAdministrationClient(url, OWNER)
    eventually("get_policy", lambda: administration.get_policy(TYPE))
    policies(administration)
    policies(administration, STRANGER)
    expect("get_policy_management_certificates", administration.get_policy_management_certificates()[0], [])
    refused(
        "add_policy_management_certificate",
        400,
        "InvalidOperation",
        lambda: administration.add_policy_management_certificate(FIRST[0], signing_key=FIRST[1], signing_certificate=FIRST[0]),
    )
    # Another technology than ours: refused, and never with a token.
    attest_refused("attest_sgx_enclave", lambda: client.attest_sgx_enclave(b"quote", runtime_data=b"x"))
    attest_refused("attest_open_enclave", lambda: client.attest_open_enclave(b"report"))
    attest_refused("attest_tpm", lambda: client.attest_tpm('{"payload":{"type":"aikcert"}}'))
    nobody = AttestationAdministrationClient(url, credential(principal("attestation-nobody")))
    refused("get_policy without a role", 401, "Unauthorized", lambda: nobody.get_policy(TYPE))
    reader = principal("attestation-reader")
    grant(OWNER, made.id, "attestation reader", reader["oid"])
    reading = AttestationAdministrationClient(url, credential(reader))
    expect("get_policy by a reader", eventually("get_policy", lambda: reading.get_policy(TYPE))[0], DEFAULT)
    refused("set_policy by a reader", 401, "Unauthorized", lambda: reading.set_policy(TYPE, DEBUG))


def attest_refused(call, do):
    from azure.core.exceptions import HttpResponseError

    try:
        do()
    except HttpResponseError as error:
        holds(f"{call}: {error.status_code}", 400 <= error.status_code < 500, error.status_code)
        body = json.loads(error.response.text())
        holds(f"{call}: says why", body["error"]["code"] and body["error"]["message"], body)
        return
    raise AssertionError(f"{call}: not refused")


isolated()
entra()
