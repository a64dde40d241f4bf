use serde_json::{Value, json};

use super::*;
use crate::testing::{FarEnd, Hosts, Reply, corpus, credential};

const HOST: Hosts = Hosts(&["v.vault.azure.net"]);
const VERSION: &str = "c3c28aadd7d54867beb596461e6640bd";

fn client(far: &FarEnd) -> Client {
    let vault = "https://v.vault.azure.net".parse().unwrap();
    Client::new(&far.endpoints, &vault, credential()).unwrap()
}

fn bundle() -> String {
    let coordinate = "A".repeat(64);
    json!({
        "key": {
            "kid": format!("https://v.vault.azure.net/keys/k/{VERSION}"),
            "kty": "EC-HSM", "key_ops": ["sign", "verify"], "crv": "P-384",
            "x": coordinate, "y": coordinate,
        },
        "attributes": {"enabled": true, "created": 1651868727, "updated": 1651868727, "exportable": true},
        "release_policy": {"contentType": "application/json; charset=utf-8", "data": "eyJ2ZXJzaW9uIjoiMS4wLjAifQ", "immutable": true},
        "tags": {"a": "b"},
    })
    .to_string()
}

fn new() -> NewEcHsm {
    NewEcHsm {
        name: "k".parse().unwrap(),
        curve: Curve::P384,
        policy: KeyPolicy { document: json!({"version": "1.0.0"}), immutable: true },
        tags: BTreeMap::new(),
    }
}

#[tokio::test]
async fn creates_an_exportable_ec_key_under_an_immutable_policy() {
    let far = FarEnd::start(
        HOST,
        vec![Reply::challenge(), Reply::new(429, ""), Reply::new(200, bundle())],
    )
    .await;
    let key = client(&far).create_ec_hsm(&new()).await.unwrap();
    assert!(key.exportable && key.enabled && key.policy.as_ref().unwrap().immutable);
    assert_eq!(key.version.as_str(), VERSION);
    let KeyKind::EcHsm(public) = &key.kind else { panic!("{:?}", key.kind) };
    assert_eq!((public.curve(), public.x().len()), (Curve::P384, 48));

    let seen = far.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].body.is_empty() && seen[0].header("authorization").is_none());
    let asked = seen[2].json();
    assert_eq!(asked["kty"], "EC-HSM");
    assert_eq!(asked["crv"], "P-384");
    assert_eq!(asked["key_ops"], json!(["sign", "verify"]));
    assert_eq!(asked["attributes"]["exportable"], true);
    assert_eq!(asked["release_policy"]["immutable"], true);
    assert_eq!(asked["release_policy"]["data"], "eyJ2ZXJzaW9uIjoiMS4wLjAifQ");
}

#[tokio::test]
async fn never_repeats_a_creation_whose_outcome_is_unknown() {
    for lost in [Reply::cut(), Reply::new(500, "")] {
        let far = FarEnd::start(HOST, vec![Reply::challenge(), lost]).await;
        let error = client(&far).create_ec_hsm(&new()).await.unwrap_err();
        assert!(matches!(error, KeyError::Unavailable(_)), "{error:?}");
        assert_eq!(far.seen().len(), 2);
    }
}

#[tokio::test]
async fn names_the_version_in_every_call_about_a_key() {
    let far = FarEnd::start(
        HOST,
        vec![
            Reply::challenge(),
            Reply::new(200, bundle()),
            // Release has a client of its own, which is challenged too.
            Reply::challenge(),
            Reply::new(200, r#"{"value":"a.b.c"}"#),
            Reply::new(200, bundle()),
            Reply::new(204, ""),
        ],
    )
    .await;
    let client = client(&far);
    let (name, version) = ("k".parse().unwrap(), VERSION.parse().unwrap());
    client.get(&name, &version).await.unwrap();
    let token = AttestationToken::new("t.t.t".to_owned().into());
    client.release(&name, &version, &token).await.unwrap();
    client.disable(&name, &version).await.unwrap();
    client.purge(&name).await.unwrap();
    let at = format!("v.vault.azure.net/keys/k/{VERSION}");
    assert_eq!(
        far.lines()[1..],
        [
            format!("GET {at}?api-version=2025-07-01"),
            format!("POST {at}/release?api-version=2025-07-01"),
            format!("POST {at}/release?api-version=2025-07-01"),
            format!("PATCH {at}?api-version=2025-07-01"),
            "DELETE v.vault.azure.net/deletedkeys/k?api-version=2025-07-01".to_owned(),
        ]
    );
    let asked = far.seen()[3].json();
    assert_eq!(asked, json!({"target": "t.t.t", "enc": "RSA_AES_KEY_WRAP_256"}));
    assert_eq!(far.seen()[4].json(), json!({"attributes": {"enabled": false}}));
}

#[tokio::test]
async fn a_release_refused_before_its_challenge_is_asked_again_with_its_body() {
    let far = FarEnd::start(
        HOST,
        vec![Reply::new(503, ""), Reply::challenge(), Reply::new(200, r#"{"value":"a.b.c"}"#)],
    )
    .await;
    let (name, version) = ("k".parse().unwrap(), VERSION.parse().unwrap());
    let token = AttestationToken::new("t.t.t".to_owned().into());
    client(&far).release(&name, &version, &token).await.unwrap();
    assert_eq!(far.seen()[2].json(), json!({"target": "t.t.t", "enc": "RSA_AES_KEY_WRAP_256"}));
}

#[tokio::test]
async fn refuses_an_answer_about_another_version() {
    let far = FarEnd::start(HOST, vec![Reply::challenge(), Reply::new(200, bundle())]).await;
    let other = "0".repeat(32).parse().unwrap();
    let error = client(&far).get(&"k".parse().unwrap(), &other).await.unwrap_err();
    assert!(matches!(error, KeyError::Malformed(_)));
}

#[tokio::test]
async fn lists_versions_over_pages() {
    let item = |version: &str| json!({"kid": format!("https://v.vault.azure.net/keys/k/{version}"), "attributes": {"enabled": true}});
    let next = "https://v.vault.azure.net/keys/k/versions?api-version=2025-07-01&$skiptoken=x";
    let far = FarEnd::start(
        HOST,
        vec![
            Reply::challenge(),
            Reply::new(200, json!({"value": [item(VERSION)], "nextLink": next}).to_string()),
            Reply::new(
                200,
                json!({"value": [item(&"0".repeat(32))], "nextLink": null}).to_string(),
            ),
        ],
    )
    .await;
    let versions = client(&far).versions(&"k".parse().unwrap()).await.unwrap();
    assert_eq!(versions.len(), 2);
    assert!(far.lines()[2].contains("skiptoken=x"));
}

#[tokio::test]
async fn sorts_refusals() {
    let refusal = |status: u16, code: &str, inner: &str, message: &str| {
        Reply::new(
            status,
            json!({"error": {"code": code, "message": message, "innererror": {"code": inner}}})
                .to_string(),
        )
    };
    let far = FarEnd::start(
        HOST,
        vec![
            Reply::challenge(),
            refusal(404, "KeyNotFound", "", "not found"),
            refusal(409, "Conflict", "ObjectIsBeingDeleted", "later"),
            refusal(409, "Conflict", "ObjectIsDeletedButRecoverable", "recover"),
            refusal(403, "Forbidden", "ForbiddenByRbac", "Caller is not authorized"),
            refusal(400, "BadParameter", "", "AKV.SKR.1020 immutable"),
            refusal(
                403,
                "Forbidden",
                "AccessDenied",
                "Target environment attestation statement cannot be verified.",
            ),
            refusal(
                403,
                "Forbidden",
                "AccessDenied",
                "Target environment attestation does not meet key release policy requirements.",
            ),
            refusal(403, "Forbidden", "ForbiddenByRbac", "Caller is not authorized"),
        ],
    )
    .await;
    let client = client(&far);
    let name: Name = "k".parse().unwrap();
    let version = VERSION.parse().unwrap();
    assert!(matches!(client.latest(&name).await, Err(KeyError::NotFound(_))));
    assert!(matches!(client.latest(&name).await, Err(KeyError::Changing(_))));
    assert!(matches!(client.latest(&name).await, Err(KeyError::Deleted(_))));
    assert!(matches!(client.latest(&name).await, Err(KeyError::Denied(_))));
    assert!(matches!(client.latest(&name).await, Err(KeyError::Rejected(_))));
    let token = AttestationToken::new("secret-token".to_owned().into());
    let error = client.release(&name, &version, &token).await.unwrap_err();
    assert!(matches!(error, ReleaseError::TokenRefused(_)));
    assert!(!format!("{error:?}").contains("secret-token"));
    assert!(matches!(
        client.release(&name, &version, &token).await,
        Err(ReleaseError::PolicyNotMet(_))
    ));
    assert!(matches!(
        client.release(&name, &version, &token).await,
        Err(ReleaseError::Key(KeyError::Denied(_)))
    ));
}

#[tokio::test]
async fn corpus_reads_recorded_answers() {
    let path = "azure-sdk-for-cpp/keyvault-keys/KeyVaultKeyClient.DoubleDelete.json";
    let Some(recording) = corpus("corpus_reads_recorded_answers", path) else {
        return;
    };
    let recording: Value = serde_json::from_slice(&recording).unwrap();
    let replies = recording["networkCallRecords"].as_array().unwrap().iter().map(|record| {
        let response = &record["Response"];
        Reply::new(
            response["STATUS_CODE"].as_str().unwrap().parse().unwrap(),
            response["BODY"].as_str().unwrap(),
        )
    });
    let replies = std::iter::once(Reply::challenge()).chain(replies).collect();
    let far = FarEnd::start(HOST, replies).await;
    let client = client(&far);
    let name = "DoubleDelete".parse().unwrap();
    // Created; then deleted, not yet deleted, deleted; then there is nothing left to delete.
    assert!(matches!(
        client.latest(&name).await.unwrap().kind,
        KeyKind::Other(kty) if kty == "EC"
    ));
    let deleted = client.delete(&name).await.unwrap();
    assert_eq!(deleted.purged.unwrap().as_second(), 1_646_177_476);
    assert!(matches!(client.delete(&name).await, Err(KeyError::NotFound(_))));
}

#[tokio::test]
async fn a_signers_key_signs_a_digest() {
    use base64::Engine as _;
    let value = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([7; 384]);
    let answer =
        json!({"kid": format!("https://v.vault.azure.net/keys/k/{VERSION}"), "value": value});
    let far =
        FarEnd::start(HOST, vec![Reply::challenge(), Reply::new(200, answer.to_string())]).await;
    let (name, version) = ("k".parse().unwrap(), VERSION.parse().unwrap());
    let signature = client(&far).sign_rs256(&name, &version, &[3; 32]).await.unwrap();
    assert_eq!(signature, [7; 384]);
    let seen = far.seen();
    let asked = seen.last().unwrap();
    assert!(asked.line.contains(&format!("/keys/k/{VERSION}/sign?")), "{}", asked.line);
    assert_eq!(asked.json()["alg"], "RS256");
}
