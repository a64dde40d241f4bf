use serde_json::json;

use super::*;
use crate::testing::{FarEnd, Hosts, Reply, credential};

const HOST: Hosts = Hosts(&["v.vault.azure.net"]);
const VERSION: &str = "33b68cc2fd1b4e188a82d4620671626c";

fn client(far: &FarEnd) -> Client {
    let vault = "https://v.vault.azure.net".parse().unwrap();
    Client::new(&far.endpoints, &vault, credential()).unwrap()
}

fn bundle(value: &str) -> Reply {
    Reply::new(
        200,
        json!({
            "value": value,
            "id": format!("https://v.vault.azure.net/secrets/s/{VERSION}"),
            "attributes": {"enabled": true, "created": 1663696630, "updated": 1663696630},
            "tags": {"t": "1"},
        })
        .to_string(),
    )
}

#[tokio::test]
async fn sets_reads_and_retags_a_secret() {
    let far = FarEnd::start(
        HOST,
        // Two SDK clients, so two challenges.
        vec![
            Reply::challenge(),
            bundle("hush"),
            Reply::challenge(),
            bundle("hush"),
            Reply::new(
                200,
                json!({
                    "id": format!("https://v.vault.azure.net/secrets/s/{VERSION}"),
                    "attributes": {"enabled": true}, "tags": {"t": "2"},
                })
                .to_string(),
            ),
        ],
    )
    .await;
    let client = client(&far);
    let name = "s".parse().unwrap();
    let tags = BTreeMap::from([("t".to_owned(), "1".to_owned())]);
    let stored = client.set(&name, &"hush".to_owned().into(), None, &tags).await.unwrap();
    let secret = client.get(&name, Some(&stored.version)).await.unwrap();
    assert_eq!(secret.about, stored);
    assert_eq!(secret.value.expose_secret(), "hush");
    assert!(!format!("{secret:?}").contains("hush"));
    let tags = BTreeMap::from([("t".to_owned(), "2".to_owned())]);
    let updated = client.update_tags(&name, &stored.version, &tags).await.unwrap();
    assert_eq!(updated.tags, tags);
    assert_eq!(far.seen()[4].json(), json!({"tags": {"t": "2"}}));
}

#[tokio::test]
async fn stores_a_value_once_when_the_answer_is_lost() {
    let far = FarEnd::start(
        HOST,
        vec![Reply::challenge(), Reply::cut(), Reply::challenge(), bundle("hush")],
    )
    .await;
    let stored = client(&far)
        .set(&"s".parse().unwrap(), &"hush".to_owned().into(), None, &BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(stored.version.as_str(), VERSION);
    let puts = far.lines().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(puts, 2, "the challenge and one attempt");
}

#[tokio::test]
async fn stores_a_value_again_when_the_attempt_was_lost() {
    let missing = Reply::new(404, r#"{"error":{"code":"SecretNotFound","message":"no"}}"#);
    let far = FarEnd::start(
        HOST,
        vec![Reply::challenge(), Reply::new(503, ""), Reply::challenge(), missing, bundle("hush")],
    )
    .await;
    client(&far)
        .set(&"s".parse().unwrap(), &"hush".to_owned().into(), None, &BTreeMap::new())
        .await
        .unwrap();
    assert!(far.lines()[4].starts_with("PUT"));
}

#[tokio::test]
async fn tells_a_disabled_secret_from_a_forbidden_one() {
    let forbidden = |inner| {
        let body =
            json!({"error": {"code": "Forbidden", "message": "m", "innererror": {"code": inner}}});
        Reply::new(403, body.to_string())
    };
    let far = FarEnd::start(
        HOST,
        vec![Reply::challenge(), forbidden("SecretDisabled"), forbidden("ForbiddenByRbac")],
    )
    .await;
    let client = client(&far);
    let name = "s".parse().unwrap();
    assert!(matches!(client.get(&name, None).await, Err(SecretError::Disabled(_))));
    assert!(matches!(client.get(&name, None).await, Err(SecretError::Denied(_))));
}
