//! The production client over real sockets: what `object_store` sends is accepted, and refused where it must be.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::azure::{AzureAccessKey, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
    StaticCredentialProvider,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::core::encoding::b64;
use crate::core::server;
use crate::testing::Bench;

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

struct Wire {
    bench: Bench,
    port: u16,
    http: reqwest::Client,
    key: Vec<u8>,
}

impl Wire {
    async fn new() -> Self {
        let bench = Bench::new();
        let key = bench.with_account().await;
        let addresses = server::start(&bench.cloud).await.unwrap();
        let ca = std::fs::read(bench.cloud.directory().join("ca.pem")).unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
            .resolve("acct.blob.core.windows.net", addresses.cloud)
            .build()
            .unwrap();
        let wire = Self { bench, port: addresses.cloud.port(), http, key };
        assert_eq!(wire.container("PUT", json!({})).await, 201);
        wire
    }

    async fn container(&self, method: &str, body: Value) -> u16 {
        let id = format!(
            "{}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct/blobServices/default/containers/box?api-version=2023-05-01",
            self.bench.subscription()
        );
        self.bench.arm(method, &id, body).await.0
    }

    fn store(&self, credential: AzureCredential) -> MicrosoftAzure {
        MicrosoftAzureBuilder::new()
            .with_account("acct")
            .with_endpoint(format!("https://acct.blob.core.windows.net:{}", self.port))
            .with_container_name("box")
            .with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector(self.http.clone()))
            .build()
            .unwrap()
    }

    fn with_key(&self, key: &[u8]) -> MicrosoftAzure {
        self.store(AzureCredential::AccessKey(AzureAccessKey::try_new(&b64(key)).unwrap()))
    }

    fn with_token(&self, principal: Uuid, resource: &str) -> MicrosoftAzure {
        self.store(AzureCredential::BearerToken(self.bench.token(principal, resource)))
    }
}

fn only(mode: PutMode) -> PutOptions {
    PutOptions { mode, ..PutOptions::default() }
}

#[tokio::test]
async fn the_production_client_does_all_it_does() {
    let wire = Wire::new().await;
    let store = wire.with_key(&wire.key);
    let path = Path::from("log/000 1");
    let first = store.put_opts(&path, "one".into(), only(PutMode::Create)).await.unwrap();
    let again = store.put_opts(&path, "two".into(), only(PutMode::Create)).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    store.put_opts(&path, "two".into(), only(PutMode::Update(first.clone().into()))).await.unwrap();
    let stale = store.put_opts(&path, "three".into(), only(PutMode::Update(first.into()))).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
    assert_eq!(store.get_range(&path, 1..3).await.unwrap(), "wo");
    assert_eq!(store.head(&path).await.unwrap().size, 3);
    let mut upload = store.put_multipart(&Path::from("large")).await.unwrap();
    upload.put_part("first ".into()).await.unwrap();
    upload.put_part("second".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(
        store.get(&Path::from("large")).await.unwrap().bytes().await.unwrap(),
        "first second"
    );
    store.copy(&path, &Path::from("copies/1")).await.unwrap();
    let all: Vec<_> =
        store.list(None).map_ok(|found| found.location.to_string()).try_collect().await.unwrap();
    assert_eq!(all, ["copies/1", "large", "log/000 1"]);
    let after = store.list_with_offset(None, &Path::from("large"));
    assert_eq!(
        after.map_ok(|found| found.location.to_string()).try_collect::<Vec<_>>().await.unwrap(),
        ["log/000 1"]
    );
    let top = store.list_with_delimiter(None).await.unwrap();
    assert_eq!((top.objects.len(), top.common_prefixes.len()), (1, 2));
    let gone = [path.clone(), Path::from("absent")];
    let gone =
        store.delete_stream(futures::stream::iter(gone).map(Ok).boxed()).collect::<Vec<_>>().await;
    assert!(gone[0].is_ok() && matches!(gone[1], Err(Error::NotFound { .. })), "{gone:?}");
    assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn credentials_are_checked_and_roles_count_where_they_are_given() {
    let wire = Wire::new().await;
    let path = Path::from("x");
    let wrong = wire.with_key(b"not the key").put(&path, "x".into()).await;
    assert!(matches!(wrong, Err(Error::PermissionDenied { .. })), "{wrong:?}");
    let [nobody, reader, writer] = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
    wire.bench.give(reader, "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1").await;
    wire.bench.give(writer, "ba92f5b4-2d11-453d-a403-e96b0029c9fe").await;
    let resource = "https://storage.azure.com/";
    wire.with_token(writer, resource).put(&path, "x".into()).await.unwrap();
    assert_eq!(
        wire.with_token(reader, resource).get(&path).await.unwrap().bytes().await.unwrap(),
        "x"
    );
    for (who, audience) in [
        (nobody, resource),
        (reader, resource),
        (wire.bench.admin, resource),
        (writer, "https://vault.azure.net"),
    ] {
        let refused = wire.with_token(who, audience).put(&path, "y".into()).await;
        assert!(
            matches!(refused, Err(Error::PermissionDenied { .. } | Error::Unauthenticated { .. })),
            "{refused:?}"
        );
    }
    let account = format!(
        "{}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct?api-version=2023-05-01",
        wire.bench.subscription()
    );
    wire.bench
        .arm("PATCH", &account, json!({ "properties": { "allowSharedKeyAccess": false } }))
        .await;
    let refused = wire.with_key(&wire.key).get(&path).await;
    assert!(matches!(refused, Err(Error::PermissionDenied { .. })), "{refused:?}");
    assert_eq!(wire.container("DELETE", Value::Null).await, 200);
    assert!(matches!(
        wire.with_token(reader, resource).get(&path).await,
        Err(Error::NotFound { .. })
    ));
}
