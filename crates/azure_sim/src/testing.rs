//! What tests of services share: a cloud in a temporary folder, callers, and calls through the dispatcher.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::core::cloud::Ports;
use crate::core::dispatch::{Family, dispatch};
use crate::core::inventory::Identity;
use crate::core::{Cloud, Query, Request, Response, Settings};
use crate::entra;

/// A cloud of its own for one test.
pub(crate) struct Bench {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) admin: Uuid,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(folder)
    }

    /// The same cloud, started again from its folder.
    pub(crate) fn reopen(self) -> Self {
        let Self { cloud, folder, .. } = self;
        drop(cloud);
        Self::open(folder)
    }

    fn open(folder: tempfile::TempDir) -> Self {
        let mut settings =
            Settings::new(IpAddr::V4(Ipv4Addr::LOCALHOST), folder.path().join("state"));
        settings.ports = Ports { cloud: 0, imds: 0, proxy: 0 };
        let cloud = Cloud::open(settings).unwrap();
        let file = std::fs::read(folder.path().join("state/service-principal.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        let admin = file["oid"].as_str().unwrap().parse().unwrap();
        Self { cloud, admin, folder }
    }

    /// A bearer token of any principal.
    pub(crate) fn token(&self, principal: Uuid, resource: &str) -> String {
        let identity =
            Identity { id: "/test".to_owned(), client_id: principal, principal_id: principal };
        entra::issue_for_identity(&self.cloud, &identity, resource).unwrap().text
    }

    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.cloud.settings.subscription)
    }

    /// One request to any host of the cloud.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let rest = url.strip_prefix("https://").unwrap();
        let (host, target) = rest.split_once('/').unwrap_or((rest, ""));
        let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            host: host.to_owned(),
            path: format!("/{path}"),
            query: Query::parse(raw_query),
            raw_query: raw_query.to_owned(),
            headers: map,
            body: body.into(),
            id: Uuid::new_v4(),
        };
        dispatch(&self.cloud, Family::of(host).unwrap(), request).await.unwrap()
    }

    /// One request to resource management by a principal.
    pub(crate) async fn arm_as(
        &self,
        who: Uuid,
        method: &str,
        target: &str,
        body: Value,
    ) -> (u16, Value, Response) {
        let bearer = format!("Bearer {}", self.token(who, "https://management.azure.com/"));
        let url = if target.starts_with("https://") {
            target.to_owned()
        } else {
            format!("https://management.azure.com{target}")
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(method, &url, &[("authorization", &bearer)], body).await;
        let value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status.as_u16(), value, response)
    }

    /// As the administrator, and to the end of the operation.
    pub(crate) async fn arm(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let (status, value, response) = self.arm_as(self.admin, method, target, body).await;
        let link =
            |name: &str| response.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let Some(url) = link("azure-asyncoperation").or_else(|| link("location")) else {
            return (status, value);
        };
        loop {
            let (status, value, _) = self.arm_as(self.admin, "GET", &url, Value::Null).await;
            let running = status == 202 || value["status"] == "InProgress";
            if !running {
                return (status, value);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Assign a role at the subscription.
    pub(crate) async fn give(&self, principal: Uuid, role: &str) {
        let name = Uuid::new_v4();
        let authorization = format!("{}/providers/Microsoft.Authorization", self.subscription());
        let role = format!("{authorization}/roleDefinitions/{role}");
        let body = json!({ "properties": { "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal" } });
        let url = format!("{authorization}/roleAssignments/{name}?api-version=2022-04-01");
        assert_eq!(self.arm("PUT", &url, body).await.0, 201);
    }

    /// The whole way from an Entra token to a registry's access token.
    pub(crate) async fn registry_login(
        &self,
        registry: &str,
        principal: Uuid,
        scope: &str,
    ) -> Option<String> {
        let host = format!("{registry}.azurecr.io");
        let entra = self.token(principal, "https://management.azure.com/");
        let form = format!("grant_type=access_token&service={host}&tenant=t&access_token={entra}");
        let refresh =
            self.send("POST", &format!("https://{host}/oauth2/exchange"), &[], form).await;
        let refresh: Value = serde_json::from_slice(&refresh.body).unwrap();
        let refresh = refresh["refresh_token"].as_str()?;
        let form = format!(
            "grant_type=refresh_token&service={host}&scope={scope}&refresh_token={refresh}"
        );
        let access = self.send("POST", &format!("https://{host}/oauth2/token"), &[], form).await;
        let access: Value = serde_json::from_slice(&access.body).unwrap();
        Some(format!("Bearer {}", access["access_token"].as_str()?))
    }

    /// Push an image; its reference by digest.
    pub(crate) async fn push(
        &self,
        registry: &str,
        repository: &str,
        image: &image::oci::Image,
    ) -> String {
        let bearer = self
            .registry_login(registry, self.admin, &format!("repository:{repository}:pull,push"))
            .await
            .unwrap();
        let base = format!("https://{registry}.azurecr.io/v2/{repository}");
        for blob in image.blobs() {
            let url = format!("{base}/blobs/uploads/?digest={}", blob.digest);
            let pushed =
                self.send("POST", &url, &[("authorization", &bearer)], blob.bytes.clone()).await;
            assert_eq!(pushed.status, 201);
        }
        let manifest = image.manifest();
        let headers =
            [("authorization", bearer.as_str()), ("content-type", manifest.media_type.as_str())];
        let pushed = self
            .send(
                "PUT",
                &format!("{base}/manifests/{}", manifest.digest),
                &headers,
                manifest.bytes.clone(),
            )
            .await;
        assert_eq!(pushed.status, 201);
        format!("{registry}.azurecr.io/{repository}@{}", manifest.digest)
    }

    /// A group `g` with an account `acct`; the account's first key.
    pub(crate) async fn with_account(&self) -> Vec<u8> {
        let group = format!("{}/resourceGroups/g", self.subscription());
        self.arm(
            "PUT",
            &format!("{group}?api-version=2021-04-01"),
            json!({ "location": "westeurope" }),
        )
        .await;
        let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/acct");
        let body = json!({ "location": "westeurope", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" });
        let (status, shown) =
            self.arm("PUT", &format!("{account}?api-version=2023-05-01"), body).await;
        assert_eq!((status, &shown["properties"]["provisioningState"]), (200, &json!("Succeeded")));
        let (_, keys) = self
            .arm("POST", &format!("{account}/listKeys?api-version=2023-05-01"), Value::Null)
            .await;
        crate::core::encoding::from_b64(keys["keys"][0]["value"].as_str().unwrap()).unwrap()
    }
}

/// Code of an error body.
pub(crate) fn code(value: &Value) -> &str {
    value["error"]["code"].as_str().unwrap_or("")
}
