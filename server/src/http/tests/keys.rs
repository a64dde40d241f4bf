//! Who may renew the store's keys, and what is said of them.

use serde_json::json;

use super::world::{DEV, World};

#[tokio::test]
async fn whoever_may_not_rotate_renews_no_key() {
    let world = World::new().await;
    let (operator, workload) = (world.operator().await, world.workload().await);
    let before = world.core.store.header();
    let without = DEV.replace(", \"rotate\"]", "]").replace("revision = 1", "revision = 2");
    assert_ne!(without, DEV);
    let narrow = DEV.replace("paths = [\"*\"]", "paths = [\"demo/*\"]");
    assert_ne!(narrow, DEV);
    for (token, manifest) in [(&workload, DEV), (&operator, &without), (&operator, &narrow)] {
        world.put_in_force(manifest);
        for (method, path) in [
            ("PUT", "/v1/sys/rotate"),
            ("POST", "/v1/sys/rotate"),
            ("GET", "/v1/sys/key-status"),
            ("POST", "/vouchsafe/v1/rotate"),
            ("POST", "/vouchsafe/v1/rekey"),
        ] {
            let (status, answer) = world.call(method, path, Some(token), None).await;
            assert_eq!(status, 403, "{method} {path}: {answer}");
        }
    }
    assert_eq!(world.core.store.header().sequence(), before.sequence());
}

#[tokio::test]
async fn whoever_may_rotate_sees_which_key_is_in_force() {
    let world = World::new().await;
    let operator = world.operator().await;
    for term in 1..=2 {
        let (status, answer) = world.call("GET", "/v1/sys/key-status", Some(&operator), None).await;
        assert_eq!((status, &answer["data"]["term"]), (200, &json!(term)), "{answer}");
        world.core.store.rotate().await.unwrap();
    }
    let asked = json!({ "paths": ["sys/rotate", "sys/key-status", "sys/seal"] });
    let (status, answer) =
        world.call("POST", "/v1/sys/capabilities-self", Some(&operator), Some(asked)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"]["sys/rotate"], json!(["update"]), "{answer}");
    assert_eq!(answer["data"]["sys/key-status"], json!(["read"]), "{answer}");
    assert_eq!(answer["data"]["sys/seal"], json!(["deny"]), "{answer}");
}

#[tokio::test]
async fn what_vault_asks_for_shares_is_refused_with_the_way_to_do_it() {
    let world = World::new().await;
    let (status, answer) = world.call("PUT", "/v1/sys/rekey/init", None, Some(json!({}))).await;
    assert!(status >= 400 && answer.to_string().contains("cargo xtask rekey"), "{answer}");
}
