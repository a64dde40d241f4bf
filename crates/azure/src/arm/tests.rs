use serde_json::json;

use super::*;
use crate::testing::{FarEnd, Hosts, Reply, credential};

const HOST: Hosts = Hosts(&["management.azure.com"]);
const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.X/things/t";
const VERSION: ApiVersion = ApiVersion("2025-01-01");

fn id() -> ResourceId {
    ResourceId::parse(ID).unwrap()
}

async fn start(replies: Vec<Reply>) -> (FarEnd, Client) {
    let far = FarEnd::start(HOST, replies).await;
    let client = Client::new(&far.endpoints, credential()).unwrap();
    (far, client)
}

fn running() -> Reply {
    Reply::new(200, r#"{"status":"Creating"}"#).header("retry-after-ms", "1")
}

#[tokio::test]
async fn waits_for_an_async_operation_and_reads_the_resource() {
    let (far, client) = start(vec![
        Reply::new(201, "{}")
            .header(
                "azure-asyncoperation",
                "https://management.azure.com/operations/1?api-version=x",
            )
            .header("retry-after-ms", "1"),
        running(),
        Reply::new(503, "").header("retry-after-ms", "1"),
        running(),
        Reply::new(200, r#"{"status":"Succeeded"}"#),
        Reply::new(200, r#"{"name":"t"}"#),
    ])
    .await;
    let made = client.put(&id(), VERSION, &json!({"a": 1})).await.unwrap();
    assert_eq!(made, json!({"name": "t"}));
    let lines = far.lines();
    assert_eq!(lines[0], format!("PUT management.azure.com{ID}?api-version=2025-01-01"));
    assert_eq!(lines[1], "GET management.azure.com/operations/1?api-version=x");
    assert_eq!(lines[5], format!("GET management.azure.com{ID}?api-version=2025-01-01"));
    assert_eq!(far.seen()[0].json(), json!({"a": 1}));
    assert_eq!(
        far.seen()[1].header("authorization"),
        Some("Bearer token for https://management.azure.com/.default")
    );
}

#[tokio::test]
async fn waits_for_a_location_and_for_a_provisioning_state() {
    let location =
        |reply: Reply| reply.header("location", "/monitor/1").header("retry-after-ms", "1");
    let (far, client) = start(vec![
        location(Reply::new(202, "")),
        location(Reply::new(202, "")),
        Reply::new(204, ""),
        Reply::new(200, r#"{"properties":{"provisioningState":"Updating"}}"#)
            .header("retry-after-ms", "1"),
        Reply::new(200, r#"{"properties":{"provisioningState":"Succeeded"}}"#),
        location(Reply::new(202, "")),
        Reply::new(200, r#"{"content":"log"}"#),
        Reply::new(204, ""),
        Reply::new(404, r#"{"error":{"code":"ResourceNotFound","message":"m"}}"#),
    ])
    .await;
    client.delete(&id(), VERSION).await.unwrap();
    assert_eq!(far.lines()[2], "GET management.azure.com/monitor/1");
    let changed = client.patch(&id(), VERSION, &json!({})).await.unwrap();
    assert_eq!(changed["properties"]["provisioningState"], "Succeeded");
    let answer = client.post(&id(), "logs", VERSION, None).await.unwrap();
    assert_eq!(answer["content"], "log");
    assert_eq!(client.post(&id(), "stop", VERSION, None).await.unwrap(), Value::Null);
    client.delete(&id(), VERSION).await.unwrap();
}

#[tokio::test]
async fn reports_why_an_operation_failed() {
    let (_far, client) = start(vec![
        Reply::new(202, "")
            .header("azure-asyncoperation", "https://management.azure.com/operations/1")
            .header("retry-after-ms", "1"),
        Reply::new(
            200,
            r#"{"status":"Failed","error":{"code":"QuotaExceeded","message":"no cores"}}"#,
        ),
        Reply::new(200, r#"{"properties":{"provisioningState":"Failed"}}"#),
    ])
    .await;
    let error = client.put(&id(), VERSION, &json!({})).await.unwrap_err();
    let ArmError::Failed(answer) = error else { panic!("{error:?}") };
    assert_eq!(answer.code(), "QuotaExceeded");
    assert!(answer.to_string().starts_with(&format!("put: {ID}: 200 QuotaExceeded: no cores")));
    let error = client.put(&id(), VERSION, &json!({})).await.unwrap_err();
    assert!(matches!(error, ArmError::Failed(_)));
}

#[tokio::test]
async fn gives_up_after_its_patience() {
    let mut replies = vec![
        Reply::new(202, "")
            .header("azure-asyncoperation", "https://management.azure.com/operations/1"),
    ];
    replies.extend((0..20).map(|_| running()));
    let (_far, mut client) = start(replies).await;
    client.patience = Duration::from_millis(1);
    let error = client.put(&id(), VERSION, &json!({})).await.unwrap_err();
    assert!(matches!(error, ArmError::TimedOut { .. }));
}

#[tokio::test]
async fn sends_its_token_nowhere_else() {
    let elsewhere = "https://elsewhere.example/operations/1";
    let (far, client) = start(vec![
        Reply::new(202, "").header("azure-asyncoperation", elsewhere),
        Reply::new(202, "").header("location", elsewhere),
        Reply::new(200, json!({"value": [], "nextLink": elsewhere}).to_string()),
    ])
    .await;
    let malformed = |error: ArmError| matches!(error, ArmError::Malformed(_));
    assert!(malformed(client.put(&id(), VERSION, &json!({})).await.unwrap_err()));
    assert!(malformed(client.delete(&id(), VERSION).await.unwrap_err()));
    assert!(malformed(client.list(&id(), VERSION).await.unwrap_err()));
    assert_eq!(far.seen().len(), 3);
}

#[tokio::test]
async fn follows_pages_and_hides_storage_keys() {
    let next = "https://management.azure.com/next?page=2";
    let (far, client) = start(vec![
        Reply::new(200, json!({"value": [1], "nextLink": next}).to_string()),
        Reply::new(200, json!({"value": [2]}).to_string()),
        Reply::new(
            200,
            json!({"keys": [{"keyName": "key1", "value": "c2VjcmV0", "permissions": "Full"}]})
                .to_string(),
        ),
    ])
    .await;
    assert_eq!(
        client.list_filtered(&id(), VERSION, Some("a eq 'b'")).await.unwrap(),
        [json!(1), json!(2)]
    );
    assert!(far.lines()[0].contains("filter=a+eq+%27b%27"));
    let keys = client.storage_keys(&id(), VERSION).await.unwrap();
    assert_eq!(keys[0].name, "key1");
    assert!(!format!("{keys:?}").contains("c2VjcmV0"));
}

#[tokio::test]
async fn sorts_refusals_and_says_what_to_try() {
    let refusal = |status, code: &str| {
        Reply::new(status, json!({"error": {"code": code, "message": "m"}}).to_string())
    };
    let (_far, client) = start(vec![
        refusal(404, "ResourceNotFound"),
        refusal(409, "RoleAssignmentExists"),
        refusal(403, "AuthorizationFailed"),
        refusal(400, "MissingSubscriptionRegistration"),
    ])
    .await;
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(client.get(&id(), VERSION).await.unwrap_err());
    }
    assert!(matches!(errors[0], ArmError::NotFound(_)));
    assert!(matches!(errors[1], ArmError::Conflict(_)));
    assert!(errors[1].remedy().contains("another name"));
    assert!(matches!(errors[2], ArmError::Denied(_)));
    assert!(matches!(errors[3], ArmError::Rejected(_)));
    assert!(errors[3].remedy().contains("az provider register"));
}

#[test]
fn resource_ids_are_paths_that_compare_without_case() {
    assert_eq!(
        ResourceId::parse("/subscriptions/s/resourcegroups/G").unwrap(),
        ResourceId::parse("/subscriptions/s/resourceGroups/g").unwrap()
    );
    for text in ["", "a", "/", "/a//b", "/a/../b", "/a?b", "/a#b", "/a%2f", "/a b"] {
        assert!(ResourceId::parse(text).is_err(), "{text}");
    }
    assert!(ResourceId::parse("/a").unwrap().child("../b").is_err());
}
