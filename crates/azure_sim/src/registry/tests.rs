//! Requests through the dispatcher, with roles given through resource management.

use serde_json::json;
use uuid::Uuid;

use super::reference::Digest;
use super::*;
use crate::testing::Bench;

const HOST: &str = "https://images.azurecr.io";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

async fn bench() -> Bench {
    let bench = Bench::new();
    let group = format!("{}/resourceGroups/g", bench.subscription());
    bench
        .arm("PUT", &format!("{group}?api-version=2021-04-01"), json!({ "location": "westeurope" }))
        .await;
    let registry = format!(
        "{group}/providers/Microsoft.ContainerRegistry/registries/images?api-version=2023-07-01"
    );
    bench
        .arm("PUT", &registry, json!({ "location": "westeurope", "sku": { "name": "Basic" } }))
        .await;
    bench
}

async fn push(bench: &Bench, bearer: &str) -> (Digest, Vec<u8>) {
    let auth = [("authorization", bearer)];
    for blob in [b"config".as_slice(), b"layer"] {
        let url = format!("{HOST}/v2/a/b/blobs/uploads/?digest={}", Digest::of(blob));
        assert_eq!(bench.send("POST", &url, &auth, blob.to_vec()).await.status, 201);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(b"config"), "size": 6 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(b"layer"), "size": 5 }],
    })
    .to_string()
    .into_bytes();
    let typed = [("authorization", bearer), ("content-type", MANIFEST)];
    let put =
        bench.send("PUT", &format!("{HOST}/v2/a/b/manifests/v1"), &typed, manifest.clone()).await;
    assert_eq!(put.status, 201, "{:?}", put.body);
    (Digest::of(&manifest), manifest)
}

#[tokio::test]
async fn an_image_comes_back_as_it_was_pushed_also_after_a_restart() {
    let bench = bench().await;
    let bearer =
        bench.registry_login("images", bench.admin, "repository:a/b:pull,push").await.unwrap();
    let (digest, manifest) = push(&bench, &bearer).await;
    let bench = bench.reopen();
    let auth = [("authorization", bearer.as_str())];
    for reference in ["v1".to_owned(), digest.to_string()] {
        let got =
            bench.send("GET", &format!("{HOST}/v2/a/b/manifests/{reference}"), &auth, "").await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (200, manifest.as_slice()));
        assert_eq!(got.headers["docker-content-digest"], digest.to_string());
        assert_eq!(got.headers["content-type"], MANIFEST);
    }
    let layer = bench
        .send("GET", &format!("{HOST}/v2/a/b/blobs/{}", Digest::of(b"layer")), &auth, "")
        .await;
    assert_eq!(layer.body, "layer");
    // As Microsoft's clients ask: a part, and the slash escaped.
    let url = format!("{HOST}/v2/a%2Fb/blobs/{}", Digest::of(b"layer"));
    for (range, status, body) in [
        ("bytes=1-2", 206, "ay"),
        ("bytes=3-99", 206, "er"),
        ("bytes=0-", 206, "layer"),
        ("lines=1", 200, "layer"),
    ] {
        let part = bench.send("GET", &url, &[auth[0], ("range", range)], "").await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (status, body.as_bytes()), "{range}");
    }
    let part = bench.send("GET", &url, &[auth[0], ("range", "bytes=5-9")], "").await;
    assert_eq!(part.status, 416);
    let tags = bench.send("GET", &format!("{HOST}/v2/a/b/tags/list"), &auth, "").await;
    assert_eq!(tags.body, "{\"name\":\"a/b\",\"tags\":[\"v1\"]}");
    let head = bench.send("HEAD", &format!("{HOST}/v2/a/b/manifests/none"), &auth, "").await;
    assert_eq!(head.status, 404);
}

#[tokio::test]
async fn digests_and_what_a_manifest_names_are_checked() {
    let bench = bench().await;
    let bearer =
        bench.registry_login("images", bench.admin, "repository:a/b:pull,push").await.unwrap();
    let auth = [("authorization", bearer.as_str()), ("content-type", MANIFEST)];
    let wrong = bench
        .send(
            "POST",
            &format!("{HOST}/v2/a/b/blobs/uploads/?digest={}", Digest::of(b"x")),
            &auth,
            "y",
        )
        .await;
    assert!(wrong.status == 400 && wrong.body.windows(14).any(|part| part == b"DIGEST_INVALID"));
    let manifest =
        json!({ "schemaVersion": 2, "config": { "digest": Digest::of(b"absent") }, "layers": [] })
            .to_string();
    let unknown = bench.send("PUT", &format!("{HOST}/v2/a/b/manifests/v1"), &auth, manifest).await;
    assert!(unknown.body.windows(21).any(|part| part == b"MANIFEST_BLOB_UNKNOWN"));
    let (digest, manifest) = push(&bench, &bearer).await;
    let other = format!("{HOST}/v2/a/b/manifests/{}", Digest::of(b"other"));
    assert_eq!(bench.send("PUT", &other, &auth, manifest.clone()).await.status, 400);
    assert_eq!(
        bench
            .send("PUT", &format!("{HOST}/v2/a/b/manifests/{digest}"), &auth, manifest)
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn blobs_are_uploaded_in_chunks() {
    let bench = bench().await;
    let bearer =
        bench.registry_login("images", bench.admin, "repository:a/b:pull,push").await.unwrap();
    let auth = [("authorization", bearer.as_str())];
    let begun = bench.send("POST", &format!("{HOST}/v2/a/b/blobs/uploads/"), &auth, "").await;
    assert_eq!(begun.status, 202);
    let location = format!("{HOST}{}", begun.headers["location"].to_str().unwrap());
    let ranged =
        |range: &'static str| [("authorization", bearer.as_str()), ("content-range", range)];
    assert_eq!(bench.send("PATCH", &location, &ranged("0-2"), "abc").await.status, 202);
    assert_eq!(bench.send("PATCH", &location, &ranged("0-2"), "abc").await.status, 416);
    let status = bench.send("GET", &location, &auth, "").await;
    assert_eq!((status.status.as_u16(), &status.headers["range"]), (204, &"0-2".parse().unwrap()));
    let bad =
        bench.send("PUT", &format!("{location}?digest={}", Digest::of(b"abc")), &auth, "d").await;
    assert_eq!(bad.status, 400, "the digest is of the whole");
    let done =
        bench.send("PUT", &format!("{location}?digest={}", Digest::of(b"abcd")), &auth, "").await;
    assert_eq!(done.status, 201);
    let mount = format!("{HOST}/v2/c/blobs/uploads/?mount={}&from=a/b", Digest::of(b"abcd"));
    let other =
        bench.registry_login("images", bench.admin, "repository:c:pull,push").await.unwrap();
    assert_eq!(bench.send("POST", &mount, &[("authorization", &other)], "").await.status, 201);
}

#[tokio::test]
async fn rights_come_from_roles() {
    let bench = bench().await;
    let [nobody, reader] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    bench.give(reader, "7f951dda-4ed3-4680-a7ca-43fe172d538d").await;
    let anonymous = bench.send("GET", &format!("{HOST}/v2/a/b/tags/list"), &[], "").await;
    let challenge = anonymous.headers["www-authenticate"].to_str().unwrap();
    let expected = "Bearer realm=\"https://images.azurecr.io/oauth2/token\",service=\"images.azurecr.io\",scope=\"repository:a/b:pull\"";
    assert_eq!((anonymous.status.as_u16(), challenge), (401, expected));
    assert_eq!(bench.registry_login("images", nobody, "repository:a/b:pull").await, None);
    let admin =
        bench.registry_login("images", bench.admin, "repository:a/b:pull,push").await.unwrap();
    let (digest, _) = push(&bench, &admin).await;
    let bearer = bench.registry_login("images", reader, "repository:a/b:pull,push").await.unwrap();
    let auth = [("authorization", bearer.as_str())];
    assert_eq!(bench.send("GET", &format!("{HOST}/v2/a/b/tags/list"), &auth, "").await.status, 200);
    let refused = bench.send("POST", &format!("{HOST}/v2/a/b/blobs/uploads/"), &auth, "").await;
    assert!(
        refused.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .ends_with("error=\"insufficient_scope\"")
    );
    assert_eq!(
        bench.send("GET", &format!("{HOST}/v2/other/tags/list"), &auth, "").await.status,
        401,
        "another repository"
    );
    let image = format!("images.azurecr.io/a/b@{digest}");
    assert!(matches!(pull(&bench.cloud, &image, None), Err(PullError::Forbidden(_))));
    assert!(matches!(pull(&bench.cloud, &image, Some(nobody)), Err(PullError::Forbidden(_))));
    let pulled = pull(&bench.cloud, &image, Some(reader)).unwrap();
    assert_eq!(Digest::of(pulled.manifest()), digest);
    let absent = format!("images.azurecr.io/a/b@{}", Digest::of(b"none"));
    assert!(matches!(pull(&bench.cloud, &absent, Some(reader)), Err(PullError::Absent)));
    assert!(matches!(pull(&bench.cloud, "example.com/a", Some(reader)), Err(PullError::Foreign)));
}
