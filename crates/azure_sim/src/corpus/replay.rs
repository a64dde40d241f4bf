//! Recordings of the live services (`azure-sdk-for-cpp`), call by call: the same status, the headers that clients read, the same JSON shape,
//! and the same text of every error.
//!
//! Replayed: `keyvault-keys` CreateDeletedKey, CreateKeyWithReleasePolicyOptions, DoubleDelete, GetKeysVersions, ReleaseKey2, RotateKey;
//! `keyvault-secrets` FirstCreateTest, GetProperties, RecoverSecret; `attestation` MetadataTests.GetOpenIdMetadata-Shared,
//! MetadataTests.GetSigningCertificates-Aad, CertificateTests.GetPolicyManagementCertificatesAad, CertificateTests.AddPolicyManagementCertificate,
//! CertificateTests.VerifyFailedAddCertificate, PolicyTests-ModifyUnsecured_AAD_SgxEnclave.
//! `keyvault-keys` CreateRsaHsmKey was recorded at a managed HSM, which is not simulated, since no deployment has one (its keys are made and
//! released by another service, with roles of its own). Its calls are replayed at a premium vault; what only a managed HSM says is listed there.
//! Not replayed: `POST /keys/restore` in ReleaseKey2 (a foreign backup), `/attest/SgxEnclave`.
//! Most recordings have no request bodies, so each test brings its own; versions and page links are mapped to ours; calls that the client
//! repeated while it waited count once, and are repeated here until the recorded status comes.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use serde_json::{Map, Value, json};

use super::file;
use crate::bench::{Bench, GROUP, json as body};
use crate::core::Response;
use crate::core::encoding::{b64url, from_b64, from_b64url};

struct Call {
    method: String,
    url: url::Url,
    status: u16,
    headers: BTreeMap<String, String>,
    answer: Value,
    sent: Option<String>,
}

/// The calls of a recording in either of its two layouts.
fn calls(test: &str, path: &str) -> Option<Vec<Call>> {
    let recording: Value =
        serde_json::from_slice(&file(test, &format!("azure-sdk-for-cpp/{path}.json"))?).unwrap();
    let headers = |value: &Value| {
        let map = value.as_object().unwrap();
        map.iter()
            .filter_map(|(name, value)| {
                Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()))
            })
            .collect()
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let parsed = |value: &Value| {
        let text = value.as_str().map(|text| serde_json::from_str(text).unwrap_or(Value::Null));
        text.unwrap_or_else(|| value.clone())
    };
    let mut calls: Vec<Call> = Vec::new();
    let new = recording["networkCallRecords"].as_array().map(|records| {
        records
            .iter()
            .map(|one| Call {
                method: text(&one["Method"]).unwrap(),
                url: one["Url"].as_str().unwrap().parse().unwrap(),
                status: one["Response"]["STATUS_CODE"].as_str().unwrap().parse().unwrap(),
                headers: headers(&one["Response"]),
                answer: parsed(&one["Response"]["BODY"]),
                sent: None,
            })
            .collect::<Vec<_>>()
    });
    let old = recording["Entries"].as_array().map(|records| {
        records
            .iter()
            .map(|one| Call {
                method: text(&one["RequestMethod"]).unwrap(),
                url: one["RequestUri"].as_str().unwrap().parse().unwrap(),
                status: one["StatusCode"].as_u64().unwrap().try_into().unwrap(),
                headers: headers(&one["ResponseHeaders"]),
                answer: parsed(&one["ResponseBody"]),
                sent: text(&one["RequestBody"]),
            })
            .collect::<Vec<_>>()
    });
    for call in new.or(old).unwrap() {
        let again = calls.last().is_some_and(|last| {
            last.method == "GET"
                && (&last.method, &last.url, last.status) == (&call.method, &call.url, call.status)
        });
        if !again {
            calls.push(call);
        }
    }
    Some(calls)
}

/// Plays the calls against `host`; `sent` gives the body of a call from its method and path.
async fn replay(
    bench: &Bench,
    host: &str,
    token: &str,
    calls: Vec<Call>,
    sent: impl Fn(&Call) -> Value,
) {
    let (mut versions, mut next) = (BTreeMap::<String, String>::new(), None::<String>);
    for call in calls {
        let mut path = call.url.path().to_owned();
        for (theirs, ours) in &versions {
            path = path.replace(theirs, ours);
        }
        let query = call.url.query().unwrap_or_default();
        let url = match (query.contains("skiptoken"), next.take()) {
            (true, Some(link)) => link.replace(":443", ""),
            _ => format!("https://{host}{path}?{query}"),
        };
        let chosen = sent(&call);
        let body_sent = if chosen.is_null() {
            call.sent.clone().unwrap_or_default()
        } else {
            chosen.as_str().map_or_else(|| chosen.to_string(), str::to_owned)
        };
        let mut answer = None;
        for _ in 0..200 {
            let ours = bench
                .call(call.method.parse::<Method>().unwrap(), &url, Some(token), body_sent.clone())
                .await;
            let fits = ours.status == call.status;
            answer = Some(ours);
            if fits || call.method != "GET" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ours = answer.unwrap();
        compare(&format!("{} {url}", call.method), &call, &ours);
        let ours = body(&ours);
        if let (Some(theirs), Some(ours)) = (version(&call.answer), version(&ours)) {
            versions.insert(theirs, ours);
        }
        next = ours["nextLink"].as_str().map(str::to_owned);
    }
}

/// The version of the key or secret that an answer is about.
fn version(answer: &Value) -> Option<String> {
    let id = answer["key"]["kid"].as_str().or_else(|| answer["id"].as_str())?;
    id.rsplit('/').next().filter(|version| version.len() == 32).map(str::to_owned)
}

fn compare(what: &str, theirs: &Call, ours: &Response) {
    let said = body(ours);
    assert_eq!(ours.status, theirs.status, "{what}: {said}");
    for (name, value) in &theirs.headers {
        let found = ours.headers.get(name.as_str()).map(|value| value.to_str().unwrap());
        match name.as_str() {
            "content-type"
            | "cache-control"
            | "strict-transport-security"
            | "x-content-type-options"
            | "pragma"
            | "expires"
            | "server" => {
                assert_eq!(found, Some(value.as_str()), "{what}: {name}");
            }
            "x-ms-keyvault-region"
            | "x-ms-keyvault-service-version"
            | "x-ms-keyvault-network-info"
            | "x-ms-request-id"
            | "x-ms-maa-service-version" => {
                assert!(found.is_some(), "{what}: no {name}");
            }
            // What the transport adds, the client's own id, and the server's brand.
            "date"
            | "content-length"
            | "transfer-encoding"
            | "x-ms-client-request-id"
            | "x-powered-by"
            | "reason_phrase"
            | "status_code"
            | "body" => {}
            other => panic!("{what}: {other} is not looked at"),
        }
    }
    if theirs.answer.get("error").is_some() {
        assert_eq!(said, theirs.answer, "{what}");
    }
    assert_eq!(shape(&said), shape(&theirs.answer), "{what}");
}

/// Types in place of values; a token or JWS is opened. Of a list the first entry counts.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(text) => opened(text).map_or_else(|| json!("string"), |parts| shape(&parts)),
        Value::Array(list) => list.first().map_or_else(|| json!([]), |first| json!([shape(first)])),
        Value::Object(map) => Value::Object(
            map.iter().map(|(name, value)| (name.clone(), shape(value))).collect::<Map<_, _>>(),
        ),
    }
}

/// Header and payload of a compact JWS.
fn opened(text: &str) -> Option<Value> {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, _] = parts.as_slice() else { return None };
    let json = |part: &str| serde_json::from_slice::<Value>(&from_b64url(part)?).ok();
    Some(json!([{"header": json(header)?, "payload": json(payload)?}]))
}

async fn vault(test: &str, path: &str, sent: impl Fn(&Call) -> Value) {
    let Some(calls) = calls(test, path) else { return };
    let (bench, token) = with_vault().await;
    replay(&bench, "v.vault.azure.net", &token, calls, sent).await;
}

async fn with_vault() -> (Bench, String) {
    let bench = Bench::deleting(Duration::from_millis(200)).with_vault(|_| {});
    bench.grant(
        "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        &format!("{GROUP}/providers/Microsoft.KeyVault/vaults/v"),
    );
    let token = bench.token(&bench.administrator, "https://vault.azure.net").await;
    (bench, token)
}

fn release_policy(authority: &str) -> Value {
    let condition = json!([{"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]);
    let policy =
        json!({"version": "1.0.0", "anyOf": [{"authority": authority, "allOf": condition}]});
    json!({"contentType": "application/json; charset=utf-8", "data": b64url(policy.to_string())})
}

fn ec_key(call: &Call) -> Value {
    if call.url.path().ends_with("/create") { json!({"kty": "EC"}) } else { Value::Null }
}

#[tokio::test]
async fn corpus_replays_keys_that_are_deleted() {
    vault("CreateDeletedKey", "keyvault-keys/KeyVaultKeyClient.CreateDeletedKey", ec_key).await;
    vault("DoubleDelete", "keyvault-keys/KeyVaultKeyClient.DoubleDelete", ec_key).await;
}

#[tokio::test]
async fn corpus_replays_versions_of_a_key() {
    vault("GetKeysVersions", "keyvault-keys/KeyVaultKeyClient.GetKeysVersions", ec_key).await;
}

#[tokio::test]
async fn corpus_replays_rotation() {
    vault("RotateKey", "keyvault-keys/KeyVaultKeyClient.RotateKey", |call| {
        match call.url.path().rsplit('/').next() {
            Some("create") => json!({"kty": "EC", "attributes": {"exp": 1_777_413_701}}),
            Some("rotationpolicy") => json!({
                "lifetimeActions": [
                    {"trigger": {"timeAfterCreate": "P18M"}, "action": {"type": "Rotate"}},
                    {"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}},
                ],
                "attributes": {"expiryTime": "P48M"},
            }),
            _ => Value::Null,
        }
    })
    .await;
}

/// A managed HSM has headers that a vault has not, writes one with a blank more, and always tells `exportable`.
#[tokio::test]
async fn corpus_replays_a_hardware_key_of_a_managed_hsm_at_a_vault() {
    let path = "keyvault-keys/KeyVaultKeyClient.CreateRsaHsmKey";
    let Some(mut calls) = calls("CreateRsaHsmKey", path) else { return };
    for call in &mut calls {
        for only in [
            "content-security-policy",
            "x-frame-options",
            "x-ms-build-version",
            "x-ms-server-latency",
        ] {
            call.headers.remove(only);
        }
        let strict = call.headers.get_mut("strict-transport-security").unwrap();
        *strict = strict.replace("; ", ";");
        let attributes = call.answer["attributes"].as_object_mut().unwrap();
        assert_eq!(attributes.remove("exportable"), Some(json!(false)));
    }
    let (bench, token) = with_vault().await;
    replay(&bench, "v.vault.azure.net", &token, calls, |call| {
        if call.method == "POST" {
            json!({"kty": "RSA-HSM", "key_ops": ["sign"]})
        } else {
            Value::Null
        }
    })
    .await;
}

#[tokio::test]
async fn corpus_replays_a_key_with_release_policy() {
    vault(
        "CreateKeyWithReleasePolicyOptions",
        "keyvault-keys/KeyVaultKeyClient.CreateKeyWithReleasePolicyOptions",
        |_| {
            let policy = release_policy("https://sharedeus.eus.test.attest.azure.net/");
            json!({"kty": "EC-HSM", "attributes": {"exportable": true}, "release_policy": policy})
        },
    )
    .await;
}

#[tokio::test]
async fn corpus_replays_a_release() {
    let Some(calls) = calls("ReleaseKey2", "keyvault-keys/KeyVaultKeyClient.ReleaseKey2") else {
        return;
    };
    let request =
        file("ReleaseKey2", "azure-cleanroom/insecure-virtual/encryption/maa-request.json")
            .unwrap();
    let (bench, bearer) = with_vault().await;
    let bench = bench.with_provider("p", Vec::new());
    let answer = bench
        .call(
            Method::POST,
            "https://p.weu.attest.azure.net/attest/SevSnpVm?api-version=2020-10-01",
            None,
            request,
        )
        .await;
    let target = body(&answer)["token"].clone();
    let calls = calls.into_iter().filter(|call| call.url.path() != "/keys/restore").collect();
    replay(&bench, "v.vault.azure.net", &bearer, calls, |call| {
        if call.url.path().ends_with("/create") {
            json!({"kty": "EC-HSM", "attributes": {"exportable": true}, "release_policy": release_policy("https://p.weu.attest.azure.net")})
        } else {
            json!({"target": target, "enc": "RSA_AES_KEY_WRAP_256"})
        }
    })
    .await;
}

#[tokio::test]
async fn corpus_replays_secrets() {
    let value = |call: &Call| {
        if call.method == "PUT" { json!({"value": "secretValue"}) } else { Value::Null }
    };
    vault("FirstCreateTest", "keyvault-secrets/KeyVaultSecretClientTest.FirstCreateTest", value)
        .await;
    vault("GetProperties", "keyvault-secrets/KeyVaultSecretClientTest.GetProperties", value).await;
    vault("RecoverSecret", "keyvault-secrets/KeyVaultSecretClientTest.RecoverSecret", value).await;
}

async fn provider(
    test: &str,
    path: &str,
    certificates: Vec<String>,
    sent: impl Fn(&Call) -> Value,
) {
    let Some(calls) = calls(test, path) else { return };
    let bench = Bench::deleting(Duration::ZERO).with_provider("p", certificates);
    let token = bench.token(&bench.administrator, "https://attest.azure.net").await;
    replay(&bench, "p.weu.attest.azure.net", &token, calls, sent).await;
}

#[tokio::test]
async fn corpus_replays_metadata_of_attestation() {
    let nothing = |_: &Call| Value::Null;
    provider(
        "GetOpenIdMetadata",
        "attestation/Attestation-MetadataTests.GetOpenIdMetadata-Shared",
        Vec::new(),
        nothing,
    )
    .await;
    provider(
        "GetSigningCertificates",
        "attestation/Attestation-MetadataTests.GetSigningCertificates-Aad",
        Vec::new(),
        nothing,
    )
    .await;
}

#[tokio::test]
async fn corpus_replays_policies() {
    use maa::policy_jws::{unsigned, unsigned_reset};
    let path = "attestation/Policy-PolicyTests.PolicyTests-ModifyUnsecured_AAD_SgxEnclave";
    provider("PolicyTests", path, Vec::new(), |call| match call.method.as_str() {
        "PUT" => Value::String(unsigned(
            "version=1.0; authorizationrules{=> permit();}; issuancerules{};",
        )),
        "POST" => Value::String(unsigned_reset()),
        _ => Value::Null,
    })
    .await;
}

#[tokio::test]
async fn corpus_replays_policy_certificates() {
    let nothing = |_: &Call| Value::Null;
    let aad = "attestation/CertificateTests.GetPolicyManagementCertificatesAad";
    provider("GetPolicyManagementCertificatesAad", aad, Vec::new(), nothing).await;
    let failed = "attestation/CertificateTests.VerifyFailedAddCertificate";
    provider("VerifyFailedAddCertificate", failed, Vec::new(), |call| {
        if call.method == "POST" { json!("\"a.b.c\"") } else { Value::Null }
    })
    .await;
    // The recorded request itself, signed by a stranger's key, on a provider that trusts his certificate.
    let added = "attestation/CertificateTests.AddPolicyManagementCertificate";
    let Some(calls) = calls("AddPolicyManagementCertificate", added) else { return };
    let jws: String =
        calls.iter().find_map(|call| serde_json::from_str(call.sent.as_deref()?).ok()).unwrap();
    let header: Value =
        serde_json::from_slice(&from_b64url(jws.split('.').next().unwrap()).unwrap()).unwrap();
    let signer = header["x5c"][0].as_str().unwrap().to_owned();
    assert!(from_b64(&signer).is_some());
    provider("AddPolicyManagementCertificate", added, vec![signer], nothing).await;
}
