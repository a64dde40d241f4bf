//! A cloud in a temporary directory, called through the dispatcher without a network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::core::cloud::Ports;
use crate::core::dispatch::{Family, dispatch};
use crate::core::inventory::{Identity, Provider, Vault};
use crate::core::{Cloud, Query, Request, Response, Settings};
use crate::entra::{self, Credentials, NewApplication};
use crate::rbac::Assignment;

pub(crate) struct Bench {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) administrator: Credentials,
    pub(crate) directory: TempDir,
}

pub(crate) const GROUP: &str =
    "/subscriptions/5b5c0000-0000-4000-8000-000000000001/resourceGroups/g";

impl Bench {
    pub(crate) fn new() -> Self {
        Self::deleting(Duration::ZERO)
    }

    /// With a phase of being deleted.
    pub(crate) fn deleting(phase: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::open(directory, phase)
    }

    /// The same state in a new process, so to speak.
    pub(crate) fn restart(self) -> Self {
        let Self { cloud, directory, .. } = self;
        drop(cloud);
        Self::open(directory, Duration::ZERO)
    }

    fn open(directory: TempDir, deleting: Duration) -> Self {
        let mut settings =
            Settings::new("127.0.0.1".parse().unwrap(), directory.path().join("state"));
        settings.ports = Ports { cloud: 0, imds: 0, proxy: 0 };
        settings.deleting = deleting;
        let cloud = Cloud::open(settings).unwrap();
        let path = cloud.directory().join("service-principal.json");
        let administrator = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        Self { cloud, administrator, directory }
    }

    /// A premium vault named `v` with RBAC.
    pub(crate) fn with_vault(self, change: impl FnOnce(&mut Vault)) -> Self {
        let mut vault = Vault {
            name: "v".into(),
            id: format!("{GROUP}/providers/Microsoft.KeyVault/vaults/v"),
            location: "westeurope".into(),
            premium: true,
            retention_days: 90,
            purge_protection: false,
            rbac: true,
            public: true,
        };
        change(&mut vault);
        self.cloud
            .inventory
            .change(|inventory| {
                inventory.vaults.insert("v".into(), vault);
                Ok::<_, ()>(())
            })
            .unwrap();
        self
    }

    /// A provider `NAME.weu.attest.azure.net`; isolated if there are certificates (standard base64 DER).
    pub(crate) fn with_provider(self, name: &str, certificates: Vec<String>) -> Self {
        let provider = Provider {
            name: name.into(),
            id: format!("{GROUP}/providers/Microsoft.Attestation/attestationProviders/{name}"),
            location: "westeurope".into(),
            policy_signing_certificates: certificates,
        };
        let host = format!("{name}.weu.attest.azure.net");
        self.cloud
            .inventory
            .change(|inventory| {
                inventory.providers.insert(host, provider);
                Ok::<_, ()>(())
            })
            .unwrap();
        self
    }

    /// An identity held by a running container group.
    pub(crate) fn with_running_identity(self, number: u128) -> Self {
        let identity = Identity {
            id: format!(
                "{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i{number}"
            ),
            client_id: Uuid::from_u128(number),
            principal_id: Uuid::from_u128(1000 + number),
        };
        self.cloud
            .inventory
            .change(|inventory| {
                let key = identity.id.to_ascii_lowercase();
                inventory.identities.insert(key.clone(), identity);
                inventory.running.entry("group".into()).or_default().push(key);
                Ok::<_, ()>(())
            })
            .unwrap();
        self
    }

    /// The administrator gets a role at a scope.
    pub(crate) fn grant(&self, role: &str, scope: &str) {
        self.grant_to(self.administrator.oid, role, scope);
    }

    pub(crate) fn grant_to(&self, principal: Uuid, role: &str, scope: &str) {
        let assignment = Assignment {
            name: Uuid::new_v4(),
            scope: scope.into(),
            role: role.parse().unwrap(),
            principal,
            principal_type: "ServicePrincipal".into(),
            created: self.cloud.now(),
        };
        self.cloud
            .rbac
            .change(|state| {
                state.assignments.insert(assignment.key(), assignment);
                Ok::<_, ()>(())
            })
            .unwrap();
    }

    /// Another application, with no role.
    pub(crate) fn stranger(&self) -> Credentials {
        let new = NewApplication {
            name: "stranger".into(),
            certificates: Vec::new(),
            federated: Vec::new(),
        };
        entra::add_application(&self.cloud, new).unwrap()
    }

    /// An access token by client secret.
    pub(crate) async fn token(&self, who: &Credentials, resource: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
            who.client_id,
            who.client_secret,
            url::form_urlencoded::byte_serialize(format!("{resource}/.default").as_bytes())
                .collect::<String>()
        );
        let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", who.tenant);
        let answer = self.call(Method::POST, &url, None, form).await;
        assert_eq!(answer.status, 200, "{}", json(&answer));
        json(&answer)["access_token"].as_str().unwrap().to_owned()
    }

    /// A call by URL; `http://169.254.169.254/…` goes to instance metadata with its header.
    pub(crate) async fn call(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Response {
        let url: url::Url = url.parse().unwrap();
        let host = url.host_str().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let family = if host == "169.254.169.254" {
            headers.insert("metadata", "true".parse().unwrap());
            Family::Imds
        } else {
            Family::of(&host).unwrap()
        };
        let raw_query = url.query().unwrap_or_default().to_owned();
        let request = Request {
            method,
            host,
            path: url.path().to_owned(),
            query: Query::parse(&raw_query),
            raw_query,
            headers,
            body: body.into(),
            id: Uuid::new_v4(),
        };
        dispatch(&self.cloud, family, request).await.unwrap()
    }
}

/// The body as JSON; `null` if empty.
pub(crate) fn json(response: &Response) -> Value {
    if response.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&response.body).unwrap()
    }
}
