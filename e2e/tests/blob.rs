//! The store's conformance suite on the local cloud's Blob, through the client that the server uses: with the account's key, and with an access token.

use std::net::SocketAddr;
use std::time::Duration;

use azure::blob::{self, Auth};
use azure::{Endpoints, LocalCloud};
use e2e::cloud::Cloud;
use e2e::owner;
use serde_json::{Value, json};

// `cfg(test)` says to the lints that helpers are tests too.
#[cfg(test)]
#[path = "../../crates/store/tests/conformance/mod.rs"]
mod conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_clouds_blob_conforms_with_key_and_token() {
    let cloud = Cloud::start().unwrap();
    let token = owner::token(&cloud, "https://management.azure.com/").unwrap();
    let group = format!(
        "https://management.azure.com/subscriptions/{}/resourceGroups/conform",
        owner::SUBSCRIPTION
    );
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/vsconform");
    let put = |url: &str, version: &str, body: &Value| {
        owner::call(&cloud, &token, "PUT", &format!("{url}?api-version={version}"), body).unwrap()
    };
    let _group = put(&group, "2021-04-01", &json!({"location": "westeurope"}));
    let _account = put(
        &account,
        "2023-05-01",
        &json!({
            "location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"},
            "properties": {"allowSharedKeyAccess": true},
        }),
    );
    let _container = put(
        &format!("{account}/blobServices/default/containers/store"),
        "2023-05-01",
        &json!({"properties": {}}),
    );
    let keys = owner::call(
        &cloud,
        &token,
        "POST",
        &format!("{account}/listKeys?api-version=2023-05-01"),
        &Value::Null,
    );
    let key = keys.unwrap()["keys"][0]["value"].as_str().unwrap().to_owned();
    owner::grant(&cloud, BLOB_DATA_CONTRIBUTOR).unwrap();

    let endpoints = Endpoints::insecure_local(&LocalCloud {
        cloud: SocketAddr::from((cloud.address(), 8443)),
        imds: SocketAddr::from((cloud.address(), 8480)),
        ca_sha256: forged_root::tls_ca_sha256(),
    })
    .unwrap();
    let principal = azure::Auth::ServicePrincipal(cloud.state().join("service-principal.json"));
    let address = "https://vsconform.blob.core.windows.net".parse().unwrap();
    for (folder, auth) in [
        ("key", Auth::AccessKey(key.into())),
        ("token", Auth::Bearer(principal.credential(&endpoints).unwrap())),
    ] {
        let objects = blob::object_store(&endpoints, &address, "store", &auth).unwrap();
        tokio::time::timeout(PATIENCE, conformance::run(objects, folder)).await.unwrap();
    }
}

const BLOB_DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const PATIENCE: Duration = Duration::from_secs(120);
