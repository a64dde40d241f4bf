use object_store::{ObjectStoreExt, PutMode, PutPayload, path::Path};
use uuid::Uuid;

use super::*;
use crate::testing::{FarEnd, Hosts, Reply, credential};

const HOST: Hosts = Hosts(&["acct.blob.core.windows.net"]);

fn address() -> Url {
    "https://acct.blob.core.windows.net".parse().unwrap()
}

fn created() -> Reply {
    Reply::new(201, "")
        .header("etag", "\"0x1\"")
        .header("last-modified", "Fri, 01 Jan 2021 00:00:00 GMT")
}

#[tokio::test]
async fn writes_through_the_shared_transport_with_key_and_token() {
    let far = FarEnd::start(
        HOST,
        vec![
            created(),
            created(),
            Reply::new(409, "<Error><Code>BlobAlreadyExists</Code></Error>"),
        ],
    )
    .await;
    let key = Auth::AccessKey("c2VjcmV0".to_owned().into());
    let store = object_store(&far.endpoints, &address(), "vouchsafe", &key).unwrap();
    let debug = format!("{store:?}");
    assert!(!debug.contains("c2VjcmV0") && !debug.contains("115, 101, 99"));
    let path = Path::from("log/1");
    store.put(&path, PutPayload::from_static(b"x")).await.unwrap();

    let token = Auth::Bearer(credential());
    let store = object_store(&far.endpoints, &address(), "vouchsafe", &token).unwrap();
    let create = || store.put_opts(&path, PutPayload::from_static(b"x"), PutMode::Create.into());
    create().await.unwrap();
    assert!(matches!(create().await, Err(object_store::Error::AlreadyExists { .. })));

    let seen = far.seen();
    assert!(seen[0].line.starts_with("PUT acct.blob.core.windows.net/vouchsafe/log/1"));
    assert!(seen[0].header("authorization").unwrap().starts_with("SharedKey acct:"));
    assert_eq!(
        seen[1].header("authorization"),
        Some("Bearer token for https://storage.azure.com/.default")
    );
    assert_eq!(seen[1].header("if-none-match"), Some("*"));
}

#[test]
fn refuses_what_is_not_an_account_a_container_or_a_key() {
    let endpoints = Endpoints::public().unwrap();
    let key = |text: &str| Auth::AccessKey(text.to_owned().into());
    let check = |address: &str, container: &str, auth: &Auth| {
        object_store(&endpoints, &address.parse().unwrap(), container, auth).unwrap_err()
    };
    let good = "https://acct.blob.core.windows.net";
    for bad in [
        "http://acct.blob.core.windows.net",
        "https://acct.example.net",
        "https://acct.blob.core.windows.net/c",
        "https://a.b.blob.core.windows.net",
    ] {
        assert_eq!(check(bad, "abc", &key("eA==")), StoreSetupError::Address);
    }
    assert_eq!(check(good, "A/b", &key("eA==")), StoreSetupError::Container);
    assert_eq!(check(good, "abc", &key("#")), StoreSetupError::AccessKey);
}

#[tokio::test]
async fn acquires_renews_and_releases_a_lease() {
    let id = Uuid::from_u128(7);
    let leased = |status| Reply::new(status, "").header("x-ms-lease-id", id.to_string());
    let far = FarEnd::start(
        HOST,
        vec![
            Reply::new(409, "").header("x-ms-error-code", "BlobAlreadyExists"),
            Reply::cut(),
            leased(201),
            leased(200),
            Reply::new(200, ""),
        ],
    )
    .await;
    let leases = Leases::new(&far.endpoints, &address(), "vouchsafe", credential()).unwrap();
    let lease = leases.acquire("lock/deploy", id, LeaseDuration::Seconds(60)).await.unwrap();
    assert_eq!(lease.id(), id);
    lease.renew().await.unwrap();
    lease.release().await.unwrap();

    let seen = far.seen();
    assert_eq!(seen[1].line, "PUT acct.blob.core.windows.net/vouchsafe/lock/deploy?comp=lease");
    assert_eq!(seen[2].header("x-ms-proposed-lease-id"), seen[1].header("x-ms-proposed-lease-id"));
    assert_eq!(seen[2].header("x-ms-lease-duration"), Some("60"));
    assert_eq!(seen[3].header("x-ms-lease-action"), Some("renew"));
    assert_eq!(seen[4].header("x-ms-lease-action"), Some("release"));
    assert_eq!(seen[4].header("x-ms-lease-id"), Some(id.to_string().as_str()));
}

#[tokio::test]
async fn tells_a_held_lease_from_a_lost_one() {
    let refusal = |status, code: &str| Reply::new(status, "").header("x-ms-error-code", code);
    let far = FarEnd::start(
        HOST,
        vec![
            refusal(412, "LeaseIdMissing"),
            refusal(409, "LeaseAlreadyPresent"),
            refusal(404, "ContainerNotFound"),
            created(),
            Reply::new(201, "").header("x-ms-lease-id", Uuid::nil().to_string()),
            refusal(409, "LeaseIdMismatchWithLeaseOperation"),
            Reply::new(202, ""),
        ],
    )
    .await;
    let leases = Leases::new(&far.endpoints, &address(), "vouchsafe", credential()).unwrap();
    let acquire = || leases.acquire("lock", Uuid::nil(), LeaseDuration::Infinite);
    assert!(matches!(acquire().await, Err(LeaseError::Held(_))));
    assert!(matches!(acquire().await, Err(LeaseError::NotFound(_))));
    let lease = acquire().await.unwrap();
    assert!(matches!(lease.renew().await, Err(LeaseError::Lost(_))));
    leases.break_now("lock").await.unwrap();
}
