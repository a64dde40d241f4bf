use super::*;
use crate::testing::{FarEnd, Hosts, Reply, credential};

const HOSTS: Hosts = Hosts(&["r.azurecr.io", "s.blob.core.windows.net"]);

fn client(far: &FarEnd) -> Client {
    let address = "https://r.azurecr.io".parse().unwrap();
    Client::new(&far.endpoints, &address, credential())
}

fn repository() -> Repository {
    "vouchsafe/server".parse().unwrap()
}

fn challenge() -> Vec<Reply> {
    vec![
        Reply::new(401, "").header(
            "www-authenticate",
            r#"Bearer realm="https://r.azurecr.io/oauth2/token",service="r.azurecr.io",scope="repository:vouchsafe/server:pull,push""#,
        ),
        Reply::new(200, r#"{"refresh_token":"refresh"}"#),
        Reply::new(200, r#"{"access_token":"access"}"#),
    ]
}

fn script(then: Vec<Reply>) -> Vec<Reply> {
    challenge().into_iter().chain(then).collect()
}

#[tokio::test]
async fn pushes_what_is_missing_in_chunks() {
    let present = Bytes::from_static(b"layer");
    let missing = Bytes::from(vec![7; CHUNK + 10]);
    let upload =
        |state: &str| Reply::new(202, "").header("location", format!("/v2/u/1?_state={state}"));
    let far = FarEnd::start(
        HOSTS,
        script(vec![
            Reply::new(200, ""),
            Reply::new(404, ""),
            upload("a"),
            upload("b"),
            upload("c"),
            Reply::new(201, ""),
            Reply::new(201, ""),
            Reply::new(201, ""),
        ]),
    )
    .await;
    let manifest = Manifest {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        bytes: Bytes::from_static(b"{}"),
    };
    let blobs = [present.clone(), missing.clone()];
    let digest = client(&far).push(&repository(), &blobs, &manifest, Some("latest")).await.unwrap();
    assert_eq!(digest, Digest::of(b"{}"));

    let base = "r.azurecr.io/v2/vouchsafe/server";
    let encoded = Digest::of(&missing).to_string().replace(':', "%3A");
    assert_eq!(
        far.lines(),
        [
            format!("HEAD {base}/blobs/{}", Digest::of(&present)),
            "POST r.azurecr.io/oauth2/exchange".to_owned(),
            "POST r.azurecr.io/oauth2/token".to_owned(),
            format!("HEAD {base}/blobs/{}", Digest::of(&present)),
            format!("HEAD {base}/blobs/{}", Digest::of(&missing)),
            format!("POST {base}/blobs/uploads/"),
            "PATCH r.azurecr.io/v2/u/1?_state=a".to_owned(),
            "PATCH r.azurecr.io/v2/u/1?_state=b".to_owned(),
            format!("PUT r.azurecr.io/v2/u/1?_state=c&digest={encoded}"),
            format!("PUT {base}/manifests/{digest}"),
            format!("PUT {base}/manifests/latest"),
        ]
    );
    let seen = far.seen();
    let form = String::from_utf8(seen[1].body.clone()).unwrap();
    assert!(form.contains("grant_type=access_token"));
    assert!(form.contains("containerregistry.azure.net"));
    assert_eq!(seen[6].header("content-range"), Some("0-4194303"));
    assert_eq!(seen[7].header("content-range"), Some("4194304-4194313"));
    assert_eq!(seen[7].body.len(), 10);
    assert!(seen[3..].iter().all(|r| r.header("authorization") == Some("Bearer access")));
    assert_eq!(seen[9].header("content-type"), Some("application/vnd.oci.image.manifest.v1+json"));
}

#[tokio::test]
async fn pulls_by_digest_and_follows_to_storage_without_the_token() {
    let layer = Bytes::from(vec![9; 1000]);
    let far = FarEnd::start(
        HOSTS,
        script(vec![
            Reply::new(200, "{}")
                .header("content-type", "application/vnd.oci.image.manifest.v1+json"),
            Reply::new(200, "{ }"),
            Reply::new(200, ""),
            Reply::new(307, "")
                .header("location", "https://s.blob.core.windows.net/x?sig=permission"),
            Reply::new(200, layer.to_vec()),
            Reply::new(200, ""),
            Reply::new(200, layer.to_vec()),
            Reply::new(200, ""),
            Reply::new(200, "other"),
        ]),
    )
    .await;
    let client = client(&far);
    let digest = Digest::of(b"{}");
    let manifest = client.pull_manifest(&repository(), &digest).await.unwrap();
    assert_eq!(&manifest.bytes[..], b"{}");
    let error = client.pull_manifest(&repository(), &digest).await.unwrap_err();
    assert!(matches!(error, RegistryError::Malformed(_)));

    let digest = Digest::of(&layer);
    let repository = repository();
    let pull = |limit| client.pull_blob(&repository, &digest, limit);
    assert_eq!(pull(1000).await.unwrap(), layer);
    assert!(matches!(pull(999).await, Err(RegistryError::Malformed(_))));
    assert!(matches!(pull(1000).await, Err(RegistryError::Malformed(_))));
    let storage = &far.seen()[7];
    assert_eq!(storage.line, "GET s.blob.core.windows.net/x?sig=permission");
    assert_eq!(storage.header("authorization"), None);
}

#[tokio::test]
async fn sends_its_tokens_to_the_registry_only() {
    let far = FarEnd::start(
        HOSTS,
        vec![Reply::new(401, "").header(
            "www-authenticate",
            r#"Bearer realm="https://s.blob.core.windows.net/oauth2/token",service="r.azurecr.io",scope="x""#,
        )],
    )
    .await;
    let found = client(&far).manifest_presence(&repository(), &Digest::of(b"")).await;
    assert!(matches!(found, Err(RegistryError::Malformed(_))));
    assert_eq!(far.seen().len(), 1);
}

#[tokio::test]
async fn tells_absent_from_denied() {
    let denied =
        r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let far = FarEnd::start(
        HOSTS,
        script(vec![Reply::new(404, ""), Reply::new(200, ""), Reply::new(403, denied)]),
    )
    .await;
    let client = client(&far);
    let find = || async { client.manifest_presence(&repository(), &Digest::of(b"")).await };
    assert_eq!(find().await.unwrap(), Presence::Absent);
    assert_eq!(find().await.unwrap(), Presence::Present);
    assert!(matches!(find().await, Err(RegistryError::Denied(_))));
}

#[test]
fn parses_digests_and_repositories() {
    let digest = Digest::of(b"");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for text in ["", "sha256:", "sha512:00", &digest.to_string().to_uppercase()] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
    for text in ["", "/a", "a/", "A", "a//b", "a/../b", "-a"] {
        assert!(text.parse::<Repository>().is_err(), "{text}");
    }
}

#[test]
fn parses_names_of_images() {
    let parse = |text: &str| text.parse::<ImageName>().map(|name| name.to_string());
    let digest = Digest::of(b"").to_string();
    for (text, expected) in [
        ("r.azurecr.io/a/b:1.0".to_owned(), "r.azurecr.io/a/b:1.0".to_owned()),
        ("r.azurecr.io/a".to_owned(), "r.azurecr.io/a:latest".to_owned()),
        (format!("localhost:5000/a:x@{digest}"), format!("localhost:5000/a@{digest}")),
    ] {
        assert_eq!(parse(&text), Ok(expected));
    }
    for (text, expected) in [
        ("ubuntu", InvalidReference::Host),
        ("library/ubuntu", InvalidReference::Host),
        ("r.io/A", InvalidReference::Repository),
        ("r.io/a:-x", InvalidReference::Tag),
        ("r.io/a@sha256:00", InvalidReference::Digest),
    ] {
        assert_eq!(parse(text), Err(expected), "{text}");
    }
}

#[tokio::test]
async fn without_a_credential_it_asks_for_what_everybody_gets() {
    let far = FarEnd::start(
        HOSTS,
        vec![
            Reply::new(401, "").header(
                "www-authenticate",
                r#"Bearer realm="https://s.blob.core.windows.net/token",service="r",scope="repository:a:pull""#,
            ),
            Reply::new(200, r#"{"token":"public"}"#),
            Reply::new(200, "{}"),
        ],
    )
    .await;
    let address = "https://r.azurecr.io".parse().unwrap();
    let client = Client::anonymous(&far.endpoints, &address);
    let target = Target::Tag("latest".to_owned());
    client.pull(&"a".parse().unwrap(), &target).await.unwrap();
    let line = "GET s.blob.core.windows.net/token?service=r&scope=repository%3Aa%3Apull";
    assert_eq!(far.lines()[1], line);
    assert_eq!(far.seen()[1].header("authorization"), None);
    assert_eq!(far.seen()[2].header("authorization"), Some("Bearer public"));
}

#[tokio::test]
async fn lists_referrers_itself_where_the_registry_does_not() {
    let manifest = Manifest {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        bytes: Bytes::from_static(b"{\"subject\":1}"),
    };
    let subject = Digest::of(b"image");
    let keeps = Reply::new(201, "").header("oci-subject", subject.to_string());
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let far = FarEnd::start(
        HOSTS,
        script(vec![
            keeps,
            Reply::new(201, ""),
            Reply::new(404, ""),
            Reply::new(201, ""),
            Reply::new(201, ""),
            Reply::new(200, index),
            Reply::new(201, ""),
        ]),
    )
    .await;
    let client = client(&far);
    for _ in 0..3 {
        client.attach(&repository(), &subject, "t", &[], &manifest).await.unwrap();
    }
    let base = "r.azurecr.io/v2/vouchsafe/server/manifests";
    let (own, list) = (Digest::of(&manifest.bytes), subject.to_string().replace(':', "-"));
    let lines: Vec<_> = far.lines().split_off(3);
    let (put, get) = (format!("PUT {base}/{list}"), format!("GET {base}/{list}"));
    let push = format!("PUT {base}/{own}");
    assert_eq!(lines, [&push, &push, &get, &put, &push, &get, &put].map(Clone::clone));
    let written = String::from_utf8(far.seen()[6].body.clone()).unwrap();
    assert!(written.contains(&own.to_string()) && written.contains(r#""artifactType":"t""#));
}
