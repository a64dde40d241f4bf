//! Which door answers what, and when.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use protocol::attest::Nonce;
use protocol::server_evidence::{self, EXPORTER_LABEL, EvidenceAnswer, Expectation};
use serde_json::{Value, json};

use super::world::{NOW, World};
use crate::core::Phase;

#[tokio::test]
async fn an_unconfirmed_server_answers_evidence_and_health_only() {
    let world = World::new().await;
    let token = world.operator().await;
    world.phase.send_replace(Phase::Unconfirmed(Arc::clone(&world.core)));
    let nonce = Some(json!({"version": 1, "nonce": protocol::b64::encode(&[1; 32])}));
    for (method, path, body, status) in [
        ("POST", "/vouchsafe/v1/evidence", nonce, 200),
        ("GET", "/vouchsafe/v1/health", None, 200),
        ("GET", "/v1/sys/health", None, 503),
        ("GET", "/v1/sys/health?sealedcode=299", None, 299),
        ("GET", "/v1/sys/seal-status", None, 200),
        ("POST", "/vouchsafe/v1/challenge", None, 503),
        ("POST", "/vouchsafe/v1/attest", None, 503),
        ("POST", "/v1/auth/jwt/login", None, 503),
        ("GET", "/v1/secret/data/a", None, 503),
        ("GET", "/v1/sys/leader", None, 503),
        ("GET", "/anything", None, 503),
    ] {
        let (found, answer) = world.call(method, path, Some(&token), body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        if path.starts_with("/vouchsafe") && status == 503 {
            assert_eq!(answer["errors"], json!(["sealed"]));
        }
    }
    world.phase.send_replace(Phase::Serving(Arc::clone(&world.core)));
    assert_eq!(world.call("GET", "/v1/sys/health", None, None).await.0, 200);
    assert_eq!(world.call("POST", "/vouchsafe/v1/challenge", None, None).await.0, 200);
}

#[tokio::test]
async fn the_evidence_is_for_this_connection() {
    let world = World::new().await;
    let stream = world.connect([127, 0, 0, 1]).await;
    let exporter =
        stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    drop(tokio::spawn(connection));

    let nonce = Nonce([5; 32]);
    let body = json!({"version": 1, "nonce": nonce}).to_string();
    let request = http::Request::post("/vouchsafe/v1/evidence")
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: EvidenceAnswer = serde_json::from_slice(&answer).unwrap();
    let expect = Expectation {
        deployment: "dev".to_owned(),
        signers: world.core.trust_root.signers().clone(),
        anchors: world.core.verifier.anchors().clone(),
        revocation_lists: world.core.revocation.all(),
        minimum_revision: 1,
        minimum_serial: 1,
    };
    let server = server_evidence::verify(&expect, &answer, &nonce, &exporter, NOW);
    server.unwrap().confirmed().unwrap();
    assert!(server_evidence::verify(&expect, &answer, &nonce, &[0; 32], NOW).is_err());
}

#[tokio::test]
async fn what_nobody_knows_is_refused_and_never_ignored() {
    let world = World::new().await;
    let token = world.operator().await;
    for (method, path, status, text) in [
        ("GET", "/", 404, "not-found"),
        ("GET", "/vouchsafe/v1/nothing", 404, "not-found"),
        ("GET", "/vouchsafe/v1/attest", 405, "not-supported"),
        ("GET", "/v1/nothing", 404, "unsupported path"),
        ("POST", "/v1/transit/encrypt/a", 404, "unsupported path"),
        ("GET", "/v1/sys/nothing", 404, "unsupported path"),
        ("GET", "/v1/auth/nothing/x", 404, "unsupported path"),
        ("POST", "/v1/auth/cert/login", 405, "login by certificate is not supported"),
        ("POST", "/v1/sys/wrapping/unwrap", 405, "response wrapping is not supported"),
        ("POST", "/v1/sys/unseal", 405, "no request seals or unseals"),
        ("POST", "/v1/auth/jwt/role/x", 405, "manifest"),
        ("POST", "/v1/sys/mounts/other", 405, "manifest"),
        ("PUT", "/v1/sys/policies/acl/x", 405, "manifest"),
        ("POST", "/v1/sys/leases/lookup", 400, "invalid lease"),
        ("PUT", "/v1/sys/leases/renew", 400, "lease not found"),
        ("PUT", "/v1/sys/leases/revoke", 400, "lease not found"),
    ] {
        let (found, answer) = world.call(method, path, Some(&token), None).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert!(answer["errors"][0].as_str().unwrap().contains(text), "{path}: {answer}");
        assert!(answer["request_id"].is_string());
    }
}

#[tokio::test]
async fn wrapping_and_namespaces_are_refused_by_name() {
    let world = World::new().await;
    let token = world.operator().await;
    let path = "/v1/auth/token/lookup-self";
    for (name, value, status) in [
        ("x-vault-wrap-ttl", "60", 405),
        ("x-vault-namespace", "team", 405),
        ("x-vault-namespace", "root", 200),
        ("x-vault-namespace", "", 200),
        ("x-vault-request", "true", 200),
    ] {
        let headers = [("x-vault-token", token.as_str()), (name, value)];
        assert_eq!(world.call_with("GET", path, &headers, None).await.0, status, "{name}: {value}");
    }
}

#[tokio::test]
async fn what_the_manifest_owns_is_readable() {
    let world = World::new().await;
    let token = world.operator().await;
    let read = async |method: &str, path: &str| {
        let (status, answer) = world.call(method, path, Some(&token), None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer["data"].clone()
    };
    let mounts = read("GET", "/v1/sys/mounts").await;
    assert_eq!(mounts["secret/"]["type"], "kv");
    let mount = read("GET", "/v1/sys/internal/ui/mounts/secret/demo/db-password").await;
    assert_eq!((&mount["path"], &mount["options"]["version"]), (&json!("secret/"), &json!("2")));
    let names = read("LIST", "/v1/sys/policies/acl").await;
    assert_eq!(names["keys"], json!(["operator-dev", "workload-demo", "workload-machine"]));
    let policy = read("GET", "/v1/sys/policies/acl/workload-demo").await;
    let text = policy["policy"].as_str().unwrap();
    assert!(text.contains("path \"secret/data/demo/db-password\" { capabilities = [\"read\"] }"));

    let body = json!({"paths": ["secret/data/demo/db-password", "secret/data/x", "sys/x"]});
    let workload = world.workload().await;
    let path = "/v1/sys/capabilities-self";
    let (_, answer) = world.call("POST", path, Some(&workload), Some(body)).await;
    assert_eq!(answer["data"]["secret/data/demo/db-password"], json!(["read"]));
    assert_eq!(answer["data"]["secret/data/x"], json!(["deny"]));
    assert_eq!(answer["data"]["sys/x"], json!(["deny"]));
}

#[tokio::test]
async fn an_address_that_tries_too_often_has_to_wait() {
    let world = World::new().await;
    let mut last = (0, Value::Null);
    for _ in 0..400 {
        last = world.call("POST", "/vouchsafe/v1/challenge", None, Some(json!({"x": 1}))).await;
        if last.0 == 429 {
            break;
        }
    }
    assert_eq!((last.0, &last.1["errors"]), (429, &json!(["rate-limited"])));
    // Beyond the manifest's limit, refusals are counted and not recorded.
    assert!(world.audit().await.len() <= 60);
}

#[tokio::test]
async fn a_body_has_an_end() {
    let world = World::new().await;
    let token = world.operator().await;
    let large = json!({"data": {"x": "a".repeat(1 << 20)}});
    let (status, _) = world.call("POST", "/v1/secret/data/a", Some(&token), Some(large)).await;
    assert_eq!(status, 400);
    let fits = json!({"data": {"x": "a".repeat(1 << 19)}});
    let (status, _) = world.call("POST", "/v1/secret/data/a", Some(&token), Some(fits)).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_refusal_is_explained_to_operators_only() {
    let world = World::new().await;
    let (operator, workload) = (world.operator().await, world.workload().await);
    let path = "/v1/secret/data/elsewhere";
    let (_, refused) = world.call("GET", path, Some(&workload), None).await;
    for _ in 0..250 {
        world.call("GET", "/v1/secret/data/x", Some(&workload), None).await;
    }
    let path = format!("/vouchsafe/v1/refusals/{}", refused["request_id"].as_str().unwrap());
    let (status, answer) = world.call("GET", &path, Some(&operator), None).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["record"]["outcome"], "refused");
    let reason = answer["record"]["reason"]["text"].as_str().unwrap();
    assert_eq!(reason, "the workload is not a reader of elsewhere");
    assert_eq!(world.call("GET", &path, Some(&workload), None).await.0, 403);
    assert_eq!(world.call("GET", &path, None, None).await.0, 403);
    let unknown = "/vouchsafe/v1/refusals/00000000-0000-4000-8000-000000000000";
    assert_eq!(world.call("GET", unknown, Some(&operator), None).await.0, 404);
}

#[tokio::test]
async fn the_audit_log_is_exported_to_operators_as_documents_that_verify() {
    let world = World::new().await;
    let (operator, workload) = (world.operator().await, world.workload().await);
    for _ in 0..3 {
        world.call("GET", "/v1/secret/data/elsewhere", Some(&workload), None).await;
    }
    let (status, answer) = world.call("GET", "/vouchsafe/v1/audit", Some(&operator), None).await;
    assert_eq!(status, 200, "{answer}");
    let id = world.core.store.identity().id();
    let first = store::verify_audit(answer.to_string().as_bytes(), &id, None).unwrap();
    assert!(first.records.len() >= 3);
    let note = answer["checkpoint"].as_str().unwrap();
    let size = first.checkpoint.size;
    let path = format!("/vouchsafe/v1/audit?from={}&since={size}", size + 1);
    let (_, answer) = world.call("GET", &path, Some(&operator), None).await;
    let next = store::verify_audit(answer.to_string().as_bytes(), &id, Some(note)).unwrap();
    assert_eq!(next.before, first.checkpoint);
    assert_eq!(next.records.len(), 1, "the export is on record itself");
    for (path, token, status) in [
        ("/vouchsafe/v1/audit", Some(&workload), 403),
        ("/vouchsafe/v1/audit", None, 403),
        ("/vouchsafe/v1/audit?from=x", Some(&operator), 400),
        ("/vouchsafe/v1/audit?since=99999", Some(&operator), 400),
    ] {
        let token = token.map(String::as_str);
        assert_eq!(world.call("GET", path, token, None).await.0, status, "{path}");
    }
}
