//! Tokens from the first use to the last.

use jiff::SignedDuration;
use serde_json::json;

use super::world::{DEV, NOW, World};

const SELF: &str = "/v1/auth/token/lookup-self";

#[tokio::test]
async fn a_token_is_looked_up_by_header_or_bearer() {
    let world = World::new().await;
    let token = world.operator().await;
    let (status, answer) = world.call("GET", SELF, Some(&token), None).await;
    assert_eq!(status, 200, "{answer}");
    let data = &answer["data"];
    assert_eq!(data["policies"], json!(["operator-dev"]));
    assert_eq!((data["ttl"].as_u64(), data["renewable"].as_bool()), (Some(3600), Some(false)));
    assert_eq!(data["id"], json!(token));
    let bearer = format!("Bearer {token}");
    assert_eq!(world.call_with("GET", SELF, &[("authorization", &bearer)], None).await.0, 200);
}

#[tokio::test]
async fn what_is_no_token_is_denied() {
    let world = World::new().await;
    let token = world.operator().await;
    let other = format!("vst.{}", protocol::b64::encode(&[1; 32]));
    for bad in [None, Some("root"), Some("vst."), Some(other.as_str()), token.get(4..)] {
        let (status, answer) = world.call("GET", SELF, bad, None).await;
        assert_eq!((status, &answer["errors"]), (403, &json!(["permission denied"])), "{bad:?}");
    }
}

#[tokio::test]
async fn the_store_does_not_hold_the_token() {
    let world = World::new().await;
    let token = world.operator().await;
    let mut after = None;
    loop {
        let page = world.core.store.range("", after.as_ref(), 100);
        for entry in page.entries {
            let value = String::from_utf8_lossy(entry.value.expose_secret()).into_owned();
            assert!(!value.contains(&token) && !entry.key.as_str().contains(&token));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
}

#[tokio::test]
async fn a_token_expires_and_is_swept() {
    let world = World::new().await;
    let token = world.workload().await;
    let (path, body) = ("/v1/auth/token/renew-self", Some(json!({"increment": "1h"})));
    world.core.clock.raise(NOW + SignedDuration::from_mins(14));
    let (status, answer) = world.call("POST", path, Some(&token), body.clone()).await;
    assert_eq!(status, 200, "{answer}");
    // An hour from the beginning and no longer.
    assert_eq!(answer["auth"]["lease_duration"], json!(46 * 60));
    let (status, answer) = world.call("POST", path, Some(&token), body).await;
    assert_eq!((status, &answer["errors"]), (400, &json!(["lease is not renewable"])));

    world.core.clock.raise(NOW + SignedDuration::from_mins(60));
    assert_eq!(world.call("GET", SELF, Some(&token), None).await.0, 403);
    assert_eq!(world.core.store.range("token", None, 10).entries.len(), 2);
    crate::tokens::sweep(&world.core.store, world.core.now()).await.unwrap();
    assert_eq!(world.core.store.range("token", None, 10).entries.len(), 0);
}

#[tokio::test]
async fn a_token_is_revoked_by_its_holder() {
    let world = World::new().await;
    let token = world.workload().await;
    let path = "/v1/auth/token/revoke-self";
    assert_eq!(world.call("POST", path, Some(&token), None).await.0, 204);
    assert_eq!(world.call("GET", SELF, Some(&token), None).await.0, 403);
    assert_eq!(world.core.store.range("token", None, 10).entries.len(), 0);
}

#[tokio::test]
async fn an_operator_with_rights_looks_up_and_revokes_others() {
    let world = World::new().await;
    let (operator, workload) = (world.operator().await, world.workload().await);
    let body = Some(json!({"token": workload}));
    let lookup = "/v1/auth/token/lookup";
    let (status, answer) = world.call("POST", lookup, Some(&operator), body.clone()).await;
    assert_eq!((status, &answer["data"]["policies"]), (200, &json!(["workload-demo"])));
    assert_eq!(world.call("POST", lookup, Some(&workload), body).await.0, 403);

    let accessor = Some(json!({"accessor": answer["data"]["accessor"]}));
    let path = "/v1/auth/token/lookup-accessor";
    let (status, answer) = world.call("POST", path, Some(&operator), accessor.clone()).await;
    assert_eq!((status, &answer["data"]["id"]), (200, &json!("")));
    let path = "/v1/auth/token/revoke-accessor";
    assert_eq!(world.call("POST", path, Some(&operator), accessor.clone()).await.0, 204);
    assert_eq!(world.call("POST", path, Some(&operator), accessor).await.0, 400);
    assert_eq!(world.call("GET", SELF, Some(&workload), None).await.0, 403);
}

#[tokio::test]
async fn a_token_ends_when_the_manifest_asks_for_other_things() {
    let world = World::new().await;
    let (operator, workload) = (world.operator().await, world.workload().await);
    let more = DEV.replace("token_minutes = 60", "token_minutes = 50");
    world.put_in_force(&more.replace("revision = 1", "revision = 2"));
    assert_eq!(world.call("GET", SELF, Some(&operator), None).await.0, 200);
    assert_eq!(world.call("GET", SELF, Some(&workload), None).await.0, 200);
    let stricter = DEV.replace("minimum_svn = 100", "minimum_svn = 101");
    world.put_in_force(&stricter.replace("oid = \"7e4a", "oid = \"8e4a"));
    assert_eq!(world.call("GET", SELF, Some(&operator), None).await.0, 403);
    assert_eq!(world.call("GET", SELF, Some(&workload), None).await.0, 403);
}

#[tokio::test]
async fn what_is_not_done_is_refused() {
    let world = World::new().await;
    let token = world.operator().await;
    for (method, path, status) in [
        ("POST", "create", 405),
        ("POST", "create-orphan", 405),
        ("LIST", "accessors", 405),
        ("POST", "renew", 405),
        ("GET", "revoke-self", 405),
        ("POST", "nothing", 404),
    ] {
        let path = format!("/v1/auth/token/{path}");
        let (found, answer) = world.call(method, &path, Some(&token), None).await;
        assert_eq!(found, status, "{path}: {answer}");
    }
}
