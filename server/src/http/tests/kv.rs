//! The key-value engine, as Vault documents it.

use serde_json::{Value, json};

use super::world::{DEV, NOW, World, nobody};

/// A call, the status that it must have, and what must be where in the answer.
type Step<'a> = (&'a str, &'a str, Value, u16, &'a [(&'a str, Value)]);

async fn check(world: &World, token: &str, steps: &[Step<'_>]) {
    for (number, (method, path, body, status, members)) in steps.iter().enumerate() {
        let body = (!body.is_null()).then(|| body.clone());
        let (found, answer) =
            world.call(method, &format!("/v1/secret/{path}"), Some(token), body).await;
        assert_eq!(found, *status, "step {number}: {method} {path}: {answer}");
        for (pointer, expected) in *members {
            let found = answer.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(found, expected, "step {number}: {method} {path} {pointer}: {answer}");
        }
    }
}

#[tokio::test]
async fn versions_are_written_read_deleted_undeleted_and_destroyed() {
    let world = World::new().await;
    let token = world.operator().await;
    let now = json!(NOW.to_string());
    let steps: &[Step<'_>] = &[
        ("GET", "data/a/b", json!(null), 404, &[("/errors", json!([]))]),
        (
            "POST",
            "data/a/b",
            json!({"data": {"x": "1", "y": {"z": [1, 2]}}}),
            200,
            &[
                ("/data/version", json!(1)),
                ("/data/created_time", now.clone()),
                ("/data/deletion_time", json!("")),
                ("/data/destroyed", json!(false)),
                ("/lease_id", json!("")),
            ],
        ),
        (
            "PUT",
            "data/a/b",
            json!({"data": {"x": "2"}, "options": {}}),
            200,
            &[("/data/version", json!(2))],
        ),
        (
            "GET",
            "data/a/b",
            json!(null),
            200,
            &[
                ("/data/data", json!({"x": "2"})),
                ("/data/metadata/version", json!(2)),
                ("/data/metadata/custom_metadata", json!(null)),
            ],
        ),
        ("GET", "data/a/b?version=1", json!(null), 200, &[("/data/data/y", json!({"z": [1, 2]}))]),
        ("GET", "data/a/b?version=3", json!(null), 404, &[("/errors", json!([]))]),
        (
            "GET",
            "subkeys/a/b?version=1",
            json!(null),
            200,
            &[("/data/subkeys", json!({"x": null, "y": {"z": null}}))],
        ),
        ("DELETE", "data/a/b", json!(null), 204, &[]),
        (
            "GET",
            "data/a/b",
            json!(null),
            404,
            &[
                ("/data/data", json!(null)),
                ("/data/metadata/deletion_time", now.clone()),
                ("/data/metadata/version", json!(2)),
            ],
        ),
        ("POST", "undelete/a/b", json!({"versions": ["2"]}), 204, &[]),
        ("GET", "data/a/b", json!(null), 200, &[("/data/data/x", json!("2"))]),
        ("POST", "delete/a/b", json!({"versions": [1]}), 204, &[]),
        ("PUT", "destroy/a/b", json!({"versions": [2]}), 204, &[]),
        ("POST", "undelete/a/b", json!({"versions": [2]}), 204, &[]),
        ("GET", "data/a/b", json!(null), 404, &[("/data/metadata/destroyed", json!(true))]),
        (
            "GET",
            "metadata/a/b",
            json!(null),
            200,
            &[
                ("/data/current_version", json!(2)),
                ("/data/oldest_version", json!(1)),
                ("/data/versions/1/deletion_time", now),
                ("/data/versions/2/destroyed", json!(true)),
            ],
        ),
        ("DELETE", "metadata/a/b", json!(null), 204, &[]),
        ("GET", "metadata/a/b", json!(null), 404, &[("/errors", json!([]))]),
        ("GET", "data/a/b", json!(null), 404, &[]),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn check_and_set_decides() {
    let world = World::new().await;
    let token = world.operator().await;
    let write = |cas: Value| json!({"data": {"x": "1"}, "options": {"cas": cas}});
    let mismatch =
        [("/errors/0", json!("check-and-set parameter did not match the current version"))];
    let required = [("/errors/0", json!("check-and-set parameter required for this call"))];
    let steps: &[Step<'_>] = &[
        ("POST", "data/a", write(json!(1)), 400, &mismatch),
        ("POST", "data/a", write(json!(0)), 200, &[]),
        ("POST", "data/a", write(json!(0)), 400, &mismatch),
        ("POST", "data/a", write(json!("1")), 200, &[("/data/version", json!(2))]),
        (
            "POST",
            "metadata/a",
            json!({"cas_required": true, "custom_metadata": {"owner": "me"}}),
            204,
            &[],
        ),
        ("POST", "data/a", json!({"data": {}}), 400, &required),
        (
            "POST",
            "data/a",
            write(json!(2)),
            200,
            &[("/data/custom_metadata", json!({"owner": "me"}))],
        ),
        ("POST", "data/a", write(json!(-1)), 400, &[]),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn only_the_newest_versions_are_kept() {
    let world = World::new().await;
    let token = world.operator().await;
    let write: Step<'_> = ("POST", "data/a", json!({"data": {"x": "1"}}), 200, &[]);
    check(&world, &token, &vec![write.clone(); 11]).await;
    let steps: &[Step<'_>] = &[
        ("GET", "data/a?version=1", json!(null), 404, &[]),
        ("GET", "data/a?version=2", json!(null), 200, &[]),
        ("POST", "metadata/a", json!({"max_versions": 2}), 204, &[]),
        write,
        ("GET", "data/a?version=10", json!(null), 404, &[]),
        ("GET", "metadata/a", json!(null), 200, &[("/data/oldest_version", json!(11))]),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn a_patch_merges_and_needs_something_to_merge_with() {
    let world = World::new().await;
    let token = world.operator().await;
    let steps: &[Step<'_>] = &[
        ("PATCH", "data/a", json!({"data": {"x": "1"}}), 404, &[]),
        ("POST", "data/a", json!({"data": {"x": "1", "y": {"a": 1, "b": 2}}}), 200, &[]),
        (
            "PATCH",
            "data/a",
            json!({"data": {"x": null, "y": {"b": 3}}}),
            200,
            &[("/data/version", json!(2))],
        ),
        ("GET", "data/a", json!(null), 200, &[("/data/data", json!({"y": {"a": 1, "b": 3}}))]),
        ("DELETE", "data/a", json!(null), 204, &[]),
        ("PATCH", "data/a", json!({"data": {"x": "1"}}), 404, &[]),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn folders_are_listed() {
    let world = World::new().await;
    let token = world.operator().await;
    let write = json!({"data": {"x": "1"}});
    let steps: &[Step<'_>] = &[
        ("LIST", "metadata/", json!(null), 404, &[("/errors", json!([]))]),
        ("POST", "data/a/b/c", write.clone(), 200, &[]),
        ("POST", "data/a/d", write.clone(), 200, &[]),
        ("POST", "data/ab", write, 200, &[]),
        ("LIST", "metadata/", json!(null), 200, &[("/data/keys", json!(["a/", "ab"]))]),
        ("GET", "metadata/a/?list=true", json!(null), 200, &[("/data/keys", json!(["b/", "d"]))]),
        ("LIST", "metadata/x", json!(null), 404, &[("/errors", json!([]))]),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn what_is_not_done_is_refused() {
    let world = World::new().await;
    let token = world.operator().await;
    let steps: &[Step<'_>] = &[
        ("POST", "data/a", json!({}), 400, &[("/errors/0", json!("no data provided"))]),
        ("POST", "data/a", json!({"data": []}), 400, &[]),
        ("POST", "data/a", json!({"data": {}, "more": 1}), 400, &[]),
        ("POST", "data/a", json!({"data": {}, "options": {"more": 1}}), 400, &[]),
        ("POST", "data/a%20b", json!({"data": {}}), 400, &[]),
        ("POST", "data/../a", json!({"data": {}}), 404, &[]),
        ("POST", "metadata/a", json!({"delete_version_after": "1h"}), 405, &[]),
        ("POST", "config", json!({"max_versions": 5}), 405, &[]),
        ("GET", "config", json!(null), 200, &[("/data/max_versions", json!(0))]),
        ("POST", "delete/a", json!({}), 400, &[]),
        ("GET", "delete/a", json!(null), 405, &[]),
        ("GET", "elsewhere/a", json!(null), 404, &[("/errors/0", json!("unsupported path"))]),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn an_operator_does_what_the_manifest_says_and_where() {
    let manifest = DEV
        .replace(
            "may = [\"write\", \"list\", \"delete\", \"read\", \"rotate\"]",
            "may = [\"write\"]",
        )
        .replace("paths = [\"*\"]", "paths = [\"a/*\"]");
    let world = World::with(&manifest, nobody()).await;
    let token = world.operator().await;
    let write = json!({"data": {"x": "1"}});
    let denied = [("/errors", json!(["permission denied"]))];
    let steps: &[Step<'_>] = &[
        ("POST", "data/a/b", write.clone(), 200, &[]),
        ("POST", "data/b", write, 403, &denied),
        ("GET", "data/a/b", json!(null), 403, &denied),
        ("GET", "subkeys/a/b", json!(null), 403, &denied),
        ("GET", "metadata/a/b", json!(null), 403, &denied),
        ("LIST", "metadata/a", json!(null), 403, &denied),
        ("DELETE", "data/a/b", json!(null), 403, &denied),
        ("DELETE", "metadata/a/b", json!(null), 403, &denied),
        ("POST", "destroy/a/b", json!({"versions": [1]}), 403, &denied),
    ];
    check(&world, &token, steps).await;
}

#[tokio::test]
async fn a_workload_reads_the_delivered_field_of_its_own_secrets_and_nothing_else() {
    let world = World::new().await;
    let (operator, workload) = (world.operator().await, world.workload().await);
    let write = json!({"data": {"value": "hunter2", "note": "more"}});
    check(
        &world,
        &operator,
        &[
            ("POST", "data/demo/db-password", write.clone(), 200, &[]),
            ("POST", "data/demo/tls-key", write.clone(), 200, &[]),
            ("POST", "data/other", write.clone(), 200, &[]),
        ],
    )
    .await;
    let steps: &[Step<'_>] = &[
        (
            "GET",
            "data/demo/db-password",
            json!(null),
            200,
            &[("/data/data", json!({"value": "hunter2"}))],
        ),
        (
            "GET",
            "subkeys/demo/db-password",
            json!(null),
            200,
            &[("/data/subkeys", json!({"value": null}))],
        ),
        ("GET", "metadata/demo/db-password", json!(null), 200, &[]),
        ("GET", "data/demo/tls-key", json!(null), 404, &[]),
        ("GET", "data/other", json!(null), 403, &[]),
        ("POST", "data/demo/db-password", write, 403, &[]),
        ("LIST", "metadata/demo", json!(null), 403, &[]),
        ("DELETE", "data/demo/db-password", json!(null), 403, &[]),
    ];
    check(&world, &workload, steps).await;
}

#[tokio::test]
async fn no_value_leaves_before_its_record_is_durable() {
    let world = World::new().await;
    let token = world.operator().await;
    let write = json!({"data": {"x": "hunter2"}});
    check(&world, &token, &[("POST", "data/a", write, 200, &[])]).await;
    world.objects.break_writes();
    let (status, answer) = world.call("GET", "/v1/secret/data/a", Some(&token), None).await;
    assert_eq!(status, 503);
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
}

#[tokio::test]
async fn every_operation_is_on_record_without_its_value() {
    let world = World::new().await;
    let token = world.operator().await;
    check(
        &world,
        &token,
        &[
            ("POST", "data/a", json!({"data": {"x": "hunter2"}}), 200, &[]),
            ("GET", "data/a", json!(null), 200, &[]),
            ("LIST", "metadata/", json!(null), 200, &[]),
            ("DELETE", "data/a", json!(null), 204, &[]),
        ],
    )
    .await;
    let audit = world.audit().await;
    let said: Vec<(&str, &Value)> = audit
        .iter()
        .map(|record| {
            (record["request"]["operation"].as_str().unwrap(), &record["request"]["paths"])
        })
        .collect();
    let (a, root) = (json!(["a"]), json!([""]));
    assert_eq!(
        said,
        [("secret-write", &a), ("secret-read", &a), ("secret-list", &root), ("secret-delete", &a),]
    );
    let text = serde_json::to_string(&audit).unwrap();
    assert!(!text.contains("hunter2") && !text.contains(&token));
    assert_eq!(audit[1]["request"]["caller"], json!({"operator": "dev"}));
}
