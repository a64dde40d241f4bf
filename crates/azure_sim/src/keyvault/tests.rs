use hyper::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, GROUP, json as body};
use crate::core::Response;
use crate::core::encoding::b64url;

const ADMINISTRATOR: &str = "00482a5a-887f-4fb3-b363-3b7fe8e74483";
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const CRYPTO_USER: &str = "12338af0-0e69-4776-bea7-57ae8d297424";

fn vault() -> String {
    format!("{GROUP}/providers/Microsoft.KeyVault/vaults/v")
}

struct Caller {
    bench: Bench,
    token: String,
}

impl Caller {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut crate::core::inventory::Vault)) -> Self {
        let bench = Bench::new().with_vault(change);
        bench.grant(ADMINISTRATOR, &vault());
        let token = bench.token(&bench.administrator, "https://vault.azure.net").await;
        Self { bench, token }
    }

    async fn call(&self, method: &str, path: &str, sent: Value) -> Response {
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = format!("https://v.vault.azure.net{path}{separator}api-version=7.4");
        let sent = if sent.is_null() { String::new() } else { sent.to_string() };
        self.bench.call(method.parse::<Method>().unwrap(), &url, Some(&self.token), sent).await
    }

    async fn ok(&self, method: &str, path: &str, sent: Value) -> Value {
        let answer = self.call(method, path, sent).await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, body(&answer));
        body(&answer)
    }

    async fn refused(
        &self,
        method: &str,
        path: &str,
        sent: Value,
        status: u16,
        inner: &str,
    ) -> Value {
        let answer = self.call(method, path, sent).await;
        let said = body(&answer);
        assert_eq!(answer.status, status, "{method} {path}: {said}");
        assert!(said.to_string().contains(inner), "{said}");
        said
    }
}

fn policy() -> Value {
    let text = r#"{"anyOf":[{"allOf":[{"equals":"x","claim":"c"}],"authority":"https://p.weu.attest.azure.net"}],"version":"1.0.0"}"#;
    json!({"data": b64url(text), "immutable": true})
}

fn exportable() -> Value {
    json!({"kty": "EC-HSM", "crv": "P-384", "key_ops": ["sign", "verify"], "attributes": {"exportable": true}, "release_policy": policy()})
}

#[tokio::test]
async fn a_call_without_token_gets_the_challenge_before_anything_else() {
    let bench = Bench::new().with_vault(|_| {});
    let answer =
        bench.call(Method::POST, "https://v.vault.azure.net/keys/k/create", None, "").await;
    assert_eq!(answer.status, 401);
    let challenge = answer.headers.get("www-authenticate").unwrap().to_str().unwrap();
    assert!(
        challenge.starts_with("Bearer authorization=\"https://login.microsoftonline.com/7e4a0000-"),
        "{challenge}"
    );
    assert!(challenge.ends_with("resource=\"https://vault.azure.net\""), "{challenge}");
}

#[tokio::test]
async fn a_token_for_another_resource_is_no_token() {
    let bench = Bench::new().with_vault(|_| {});
    bench.grant(ADMINISTRATOR, &vault());
    let token = bench.token(&bench.administrator, "https://management.azure.com").await;
    let answer = bench
        .call(Method::GET, "https://v.vault.azure.net/keys?api-version=7.4", Some(&token), "")
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn owner_of_the_subscription_has_no_data_action() {
    let bench = Bench::new().with_vault(|_| {});
    let token = bench.token(&bench.administrator, "https://vault.azure.net").await;
    let answer = bench
        .call(Method::GET, "https://v.vault.azure.net/secrets/s?api-version=7.4", Some(&token), "")
        .await;
    assert_eq!(answer.status, 403);
    let said = body(&answer);
    assert_eq!(said["error"]["innererror"]["code"], "ForbiddenByRbac");
    assert!(
        said["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\n")
    );
}

#[tokio::test]
async fn a_role_at_one_secret_opens_that_secret_only() {
    let caller = Caller::new().await;
    for name in ["one", "two"] {
        caller.ok("PUT", &format!("/secrets/{name}"), json!({"value": "v"})).await;
    }
    let reader = caller.bench.stranger();
    caller.bench.grant_to(reader.oid, SECRETS_USER, &format!("{}/secrets/one", vault()));
    let token = caller.bench.token(&reader, "https://vault.azure.net").await;
    let status = async |path: &str| {
        let url = format!("https://v.vault.azure.net{path}?api-version=7.4");
        caller.bench.call(Method::GET, &url, Some(&token), "").await.status.as_u16()
    };
    assert_eq!(status("/secrets/one").await, 200);
    assert_eq!(status("/secrets/ONE/").await, 200);
    assert_eq!(status("/secrets/two").await, 403);
    assert_eq!(status("/secrets").await, 403);
}

#[tokio::test]
async fn an_exportable_key_is_made_and_its_policy_stored_anew() {
    let caller = Caller::new().await;
    let made = caller.ok("POST", "/keys/Master/create", exportable()).await;
    assert_eq!(made["key"]["kty"], "EC-HSM");
    assert_eq!(made["key"]["crv"], "P-384");
    assert_eq!(made["attributes"]["exportable"], true);
    assert_eq!(made["attributes"]["recoveryLevel"], "Recoverable+Purgeable");
    assert_eq!(made["release_policy"]["immutable"], true);
    let stored =
        crate::core::encoding::from_b64url(made["release_policy"]["data"].as_str().unwrap())
            .unwrap();
    assert!(
        stored.starts_with(br#"{"version":"1.0.0","anyOf":[{"authority":"#),
        "{}",
        String::from_utf8_lossy(&stored)
    );
    let kid = made["key"]["kid"].as_str().unwrap();
    let version = kid.rsplit('/').next().unwrap();
    let again = caller.ok("GET", &format!("/keys/MASTER/{version}"), Value::Null).await;
    assert_eq!(made, again);
    // The private half lies in the HSM's folder only.
    let state =
        std::fs::read_to_string(caller.bench.cloud.directory().join("keyvault.json")).unwrap();
    assert!(
        !state.contains("PRIVATE")
            && caller.bench.cloud.directory().join(format!("hsm/{version}.p8")).exists()
    );
}

#[tokio::test]
async fn the_rules_of_exportable_keys() {
    let caller = Caller::new().await;
    let with = |change: fn(&mut Value)| {
        let mut sent = exportable();
        change(&mut sent);
        sent
    };
    caller
        .refused("POST", "/keys/a/create", with(|k| k["kty"] = json!("EC")), 400, "AKV.SKR.1006")
        .await;
    caller
        .refused(
            "POST",
            "/keys/a/create",
            with(|k| {
                k.as_object_mut().unwrap().remove("release_policy");
            }),
            400,
            "AKV.SKR.1004",
        )
        .await;
    caller
        .refused(
            "POST",
            "/keys/a/create",
            with(|k| k["attributes"]["exportable"] = json!(false)),
            400,
            "AKV.SKR.1005",
        )
        .await;
    let made = caller.ok("POST", "/keys/a/create", exportable()).await;
    let version = made["key"]["kid"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    caller.refused("POST", "/keys/a/create", json!({"kty": "EC-HSM"}), 400, "AKV.SKR.1003").await;
    let other = json!({"data": b64url(r#"{"version":"1.0.0","anyOf":[{"authority":"https://x.weu.attest.azure.net","allOf":[{"claim":"c","equals":"x"}]}]}"#)});
    caller.refused("PATCH", "/keys/a", json!({"release_policy": other}), 400, "AKV.SKR.1020").await;
    caller
        .refused(
            "POST",
            "/keys/a/create",
            with(|k| k["release_policy"]["data"] = json!("e30")),
            400,
            "AKV.SKR.1002",
        )
        .await;
    caller
        .refused(
            "PATCH",
            &format!("/keys/a/{version}"),
            json!({"release_policy": policy()}),
            400,
            "AKV.SKR.1016",
        )
        .await;
    caller
        .refused(
            "PATCH",
            "/keys/a",
            json!({"attributes": {"exportable": false}}),
            400,
            "AKV.SKR.1014",
        )
        .await;
    // The same policy again is no change, and neither is switching a version off.
    caller.ok("PATCH", "/keys/a", json!({"release_policy": policy()})).await;
    let off = caller
        .ok("PATCH", &format!("/keys/a/{version}"), json!({"attributes": {"enabled": false}}))
        .await;
    assert_eq!(off["attributes"]["enabled"], false);
    caller.ok("GET", "/keys/a", Value::Null).await;
    let standard = Caller::with(|vault| vault.premium = false).await;
    standard
        .refused("POST", "/keys/a/create", with(|k| k["kty"] = json!("EC")), 400, "AKV.SKR.1001")
        .await;
}

#[tokio::test]
async fn an_ec_key_signs_and_verifies_but_opens_nothing_whatever_the_role() {
    let caller = Caller::new().await;
    caller.bench.grant(CRYPTO_USER, &vault());
    caller.ok("POST", "/keys/k/create", exportable()).await;
    let digest = b64url([7; 48]);
    let signed = caller.ok("POST", "/keys/k/sign", json!({"alg": "ES384", "value": digest})).await;
    let verify =
        |digest: String| json!({"alg": "ES384", "digest": digest, "value": signed["value"]});
    assert_eq!(caller.ok("POST", "/keys/k//verify", verify(digest)).await["value"], true);
    assert_eq!(caller.ok("POST", "/keys/k/verify", verify(b64url([8; 48]))).await["value"], false);
    for operation in ["decrypt", "unwrapkey", "encrypt", "wrapkey"] {
        let sent = json!({"alg": "RSA-OAEP-256", "value": b64url([1; 32])});
        caller
            .refused("POST", &format!("/keys/k/{operation}"), sent, 403, "KeyOperationForbidden")
            .await;
    }
    caller
        .refused(
            "POST",
            "/keys/e/create",
            json!({"kty": "EC", "key_ops": ["unwrapKey"]}),
            400,
            "BadParameter",
        )
        .await;
    caller
        .refused(
            "POST",
            "/keys/k/sign",
            json!({"alg": "RS256", "value": b64url([7; 32])}),
            400,
            "BadParameter",
        )
        .await;
    caller.ok("PATCH", "/keys/k", json!({"attributes": {"enabled": false}})).await;
    caller
        .refused(
            "POST",
            "/keys/k/sign",
            json!({"alg": "ES384", "value": b64url([7; 48])}),
            403,
            "KeyDisabled",
        )
        .await;
}

#[tokio::test]
async fn an_rsa_key_wraps_and_unwraps() {
    let caller = Caller::new().await;
    let made = caller.ok("POST", "/keys/r/create", json!({"kty": "RSA"})).await;
    assert_eq!(made["key"]["e"], "AQAB");
    for algorithm in ["RSA1_5", "RSA-OAEP", "RSA-OAEP-256"] {
        let wrapped = caller
            .ok("POST", "/keys/r/wrapkey", json!({"alg": algorithm, "value": b64url("hello")}))
            .await;
        let opened = caller
            .ok("POST", "/keys/r/unwrapkey", json!({"alg": algorithm, "value": wrapped["value"]}))
            .await;
        assert_eq!(opened["value"], b64url("hello"), "{algorithm}");
    }
    for algorithm in ["RS256", "PS256"] {
        let signed = caller
            .ok("POST", "/keys/r/sign", json!({"alg": algorithm, "value": b64url([3; 32])}))
            .await;
        let verify = json!({"alg": algorithm, "digest": b64url([3; 32]), "value": signed["value"]});
        assert_eq!(caller.ok("POST", "/keys/r/verify", verify).await["value"], true);
    }
}

#[tokio::test]
async fn versions_come_in_pages_ordered_by_id() {
    let caller = Caller::new().await;
    for _ in 0..7 {
        caller.ok("PUT", "/secrets/s", json!({"value": "v"})).await;
    }
    let (mut path, mut ids) = ("/secrets/s/versions?maxresults=3".to_owned(), Vec::new());
    loop {
        let page = caller.ok("GET", &path, Value::Null).await;
        ids.extend(
            page["value"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextLink"].as_str() else { break };
        path = next.strip_prefix("https://v.vault.azure.net:443").unwrap().to_owned();
    }
    assert_eq!(ids.len(), 7);
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn soft_delete_recover_and_purge() {
    let caller = Caller::new().await;
    caller.ok("POST", "/keys/k/create", json!({"kty": "EC"})).await;
    let gone = caller.ok("DELETE", "/keys/k", Value::Null).await;
    assert_eq!(
        gone["scheduledPurgeDate"].as_i64().unwrap() - gone["deletedDate"].as_i64().unwrap(),
        90 * 86_400
    );
    assert_eq!(gone["recoveryId"], "https://v.vault.azure.net/deletedkeys/k");
    caller.refused("GET", "/keys/k", Value::Null, 404, "KeyNotFound").await;
    caller
        .refused(
            "POST",
            "/keys/k/create",
            json!({"kty": "EC"}),
            409,
            "ObjectIsDeletedButRecoverable",
        )
        .await;
    caller.ok("POST", "/deletedkeys/k/recover", Value::Null).await;
    caller.ok("GET", "/keys/k", Value::Null).await;
    caller.ok("DELETE", "/keys/k", Value::Null).await;
    assert_eq!(
        caller.ok("GET", "/deletedkeys", Value::Null).await["value"].as_array().unwrap().len(),
        1
    );
    assert_eq!(caller.call("DELETE", "/deletedkeys/k", Value::Null).await.status, 204);
    caller.ok("POST", "/keys/k/create", json!({"kty": "EC"})).await;
    assert_eq!(std::fs::read_dir(caller.bench.cloud.directory().join("hsm")).unwrap().count(), 1);
    let protected = Caller::with(|vault| vault.purge_protection = true).await;
    protected.ok("PUT", "/secrets/s", json!({"value": "v"})).await;
    let gone = protected.ok("DELETE", "/secrets/s", Value::Null).await;
    assert_eq!(gone["attributes"]["recoveryLevel"], "Recoverable");
    assert_eq!(gone.get("value"), None);
    protected.refused("DELETE", "/deletedsecrets/s", Value::Null, 403, "purge protection").await;
}

#[tokio::test]
async fn secrets_have_versions_tags_and_a_switch() {
    let caller = Caller::new().await;
    let first = caller
        .ok(
            "PUT",
            "/secrets/s",
            json!({"value": "one", "tags": {"a": "b"}, "contentType": "text/plain"}),
        )
        .await;
    let version = first["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    caller.ok("PUT", "/secrets/s", json!({"value": "two"})).await;
    assert_eq!(caller.ok("GET", "/secrets/s", Value::Null).await["value"], "two");
    assert_eq!(
        caller.ok("GET", &format!("/secrets/s/{version}"), Value::Null).await["value"],
        "one"
    );
    let tagged = caller.ok("PATCH", &format!("/secrets/s/{version}"), json!({"tags": {}})).await;
    assert_eq!(tagged["tags"], json!({}));
    assert_eq!(tagged.get("value"), None);
    caller
        .ok("PATCH", &format!("/secrets/s/{version}"), json!({"attributes": {"enabled": false}}))
        .await;
    caller
        .refused("GET", &format!("/secrets/s/{version}"), Value::Null, 403, "SecretDisabled")
        .await;
    caller
        .refused("PUT", "/secrets/s", json!({"value": "x".repeat(26_000)}), 400, "BadParameter")
        .await;
}

#[tokio::test]
async fn state_survives_a_restart() {
    let mut caller = Caller::new().await;
    caller.ok("PUT", "/secrets/s", json!({"value": "kept"})).await;
    caller.ok("POST", "/keys/k/create", json!({"kty": "EC"})).await;
    caller.bench = caller.bench.restart();
    assert_eq!(caller.ok("GET", "/secrets/s", Value::Null).await["value"], "kept");
    caller.ok("POST", "/keys/k/sign", json!({"alg": "ES256", "value": b64url([1; 32])})).await;
}

#[tokio::test]
async fn rotation_makes_a_version_that_expires_as_its_policy_says() {
    let caller = Caller::new().await;
    let first = caller.ok("POST", "/keys/k/create", json!({"kty": "EC"})).await;
    caller
        .ok(
            "PUT",
            "/keys/k/rotationpolicy",
            json!({"lifetimeActions": [], "attributes": {"expiryTime": "P48M"}}),
        )
        .await;
    let second = caller.ok("POST", "/keys/k/rotate", Value::Null).await;
    assert_ne!(first["key"]["kid"], second["key"]["kid"]);
    let life = second["attributes"]["exp"].as_i64().unwrap()
        - second["attributes"]["created"].as_i64().unwrap();
    assert!((1460 * 86_400..=1461 * 86_400).contains(&life), "{life}");
}

#[tokio::test]
async fn a_backup_restores_under_the_old_name_and_versions_and_only_here() {
    let caller = Caller::new().await;
    let key = caller.ok("POST", "/keys/k/create", json!({"kty": "EC"})).await;
    let secret = caller.ok("PUT", "/secrets/s", json!({"value": "v"})).await;
    let blobs = [
        caller.ok("POST", "/keys/k/backup", Value::Null).await,
        caller.ok("POST", "/secrets/s/backup", Value::Null).await,
    ];
    assert!(blobs.iter().all(|blob| blob["value"].as_str().unwrap().starts_with("KUF6dXJl")));
    let digest = json!({"alg": "ES256", "value": b64url([1; 32])});
    let signed = caller.ok("POST", "/keys/k/sign", digest).await;
    caller.refused("POST", "/keys/restore", blobs[0].clone(), 409, "in use").await;
    for (path, blob) in ["/keys/k", "/secrets/s"].into_iter().zip(&blobs) {
        caller.ok("DELETE", path, Value::Null).await;
        let (kind, name) = path[1..].split_once('/').unwrap();
        assert_eq!(
            caller.call("DELETE", &format!("/deleted{kind}/{name}"), Value::Null).await.status,
            204
        );
        caller.ok("POST", &format!("/{kind}/restore"), blob.clone()).await;
    }
    assert_eq!(caller.ok("GET", "/keys/k", Value::Null).await["key"], key["key"]);
    assert_eq!(caller.ok("GET", "/secrets/s", Value::Null).await, secret);
    let verify = json!({"alg": "ES256", "digest": b64url([1; 32]), "value": signed["value"]});
    assert_eq!(caller.ok("POST", "/keys/k/verify", verify).await["value"], true);
    caller.refused("POST", "/secrets/restore", blobs[0].clone(), 400, "BadParameter").await;
    let elsewhere = Caller::new().await;
    elsewhere.refused("POST", "/keys/restore", blobs[0].clone(), 400, "BadParameter").await;
}
