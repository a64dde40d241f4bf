//! The clients against the local cloud, over TLS on loopback, under the real host names.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use azure::anchor::TagStore;
use azure::arm::{ApiVersion, ArmError, Client as Arm, ResourceId};
use azure::blob::{self, LeaseDuration, LeaseError, Leases, object_store};
use azure::keys::{self, Curve, KeyError, KeyKind, KeyPolicy, NewEcHsm, ReleaseError};
use azure::maa::{self, AttestationToken, AttestationType, PolicyJws};
use azure::registry::{Client as Registry, Digest, Manifest, Presence};
use azure::release::{TransferKey, unwrap};
use azure::secrets;
use azure::{Auth, Endpoints, LocalCloud};
use azure_core::credentials::TokenCredential;
use azure_sim::core::faults::{Action, Fault};
use azure_sim::core::{Cloud, Settings, server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use evidence::RawEvidence;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

/// A running cloud and its administrator.
struct Bench {
    cloud: Arc<Cloud>,
    endpoints: Endpoints,
    admin: Arc<dyn TokenCredential>,
    oid: String,
    arm: Arm,
    _state: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("state");
        let mut settings = Settings::new(IpAddr::V4(Ipv4Addr::LOCALHOST), directory.clone());
        settings.deleting = std::time::Duration::from_millis(300);
        settings.ports = azure_sim::core::cloud::Ports { cloud: 0, imds: 0, proxy: 0 };
        let cloud = Cloud::open(settings).unwrap();
        let addresses = server::start(&cloud).await.unwrap();
        let endpoints = Endpoints::insecure_local(&LocalCloud {
            cloud: addresses.cloud,
            imds: addresses.imds,
            ca_sha256: forged_root::tls_ca_sha256(),
        })
        .unwrap();
        let file = directory.join("service-principal.json");
        let oid = service_principal(&file);
        let admin = Auth::ServicePrincipal(file).credential(&endpoints).unwrap();
        let arm = Arm::new(&endpoints, admin.clone()).unwrap();
        Self { cloud, endpoints, admin, oid, arm, _state: state }
    }

    fn group(&self) -> ResourceId {
        let subscription = self.cloud.settings.subscription;
        ResourceId::parse(&format!("/subscriptions/{subscription}/resourceGroups/g")).unwrap()
    }

    async fn put(&self, path: &str, version: &'static str, mut body: Value) -> Value {
        // Parts of a resource have no place of their own.
        if path.matches('/').count() <= 3 {
            body["location"] = "westeurope".into();
        }
        let id = if path.is_empty() { self.group() } else { self.group().child(path).unwrap() };
        self.arm.put(&id, ApiVersion(version), &body).await.unwrap()
    }

    /// A role of the administrator at a resource.
    async fn assign(&self, at: &str, role: &str) {
        let id = self.group().child(at).unwrap();
        let assignment = Uuid::new_v4();
        let id = id
            .child(&format!("providers/Microsoft.Authorization/roleAssignments/{assignment}"))
            .unwrap();
        let definition = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            self.cloud.settings.subscription
        );
        let body = json!({"properties": {
            "roleDefinitionId": definition, "principalId": self.oid, "principalType": "ServicePrincipal",
        }});
        self.arm.put(&id, ApiVersion("2022-04-01"), &body).await.unwrap();
    }
}

fn service_principal(file: &PathBuf) -> String {
    let content: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    content["oid"].as_str().unwrap().to_owned()
}

const ACCOUNT: &str = "providers/Microsoft.Storage/storageAccounts/acct";
const BLOB_DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

#[tokio::test]
async fn storage_with_key_and_token() {
    let bench = Bench::start().await;
    bench.put("", "2021-04-01", json!({})).await;
    let sku = json!({"sku": {"name": "Standard_LRS"}, "kind": "StorageV2"});
    let account = bench.put(ACCOUNT, "2023-05-01", sku).await;
    assert_eq!(account["properties"]["provisioningState"], "Succeeded");
    let container = format!("{ACCOUNT}/blobServices/default/containers/vouchsafe");
    bench.put(&container, "2023-05-01", json!({})).await;

    let account = bench.group().child(ACCOUNT).unwrap();
    let keys = bench.arm.storage_keys(&account, ApiVersion("2023-05-01")).await.unwrap();
    let key = keys.into_iter().next().unwrap().value;
    let address = "https://acct.blob.core.windows.net".parse().unwrap();
    let open = |auth| object_store(&bench.endpoints, &address, "vouchsafe", &auth).unwrap();
    let store = open(blob::Auth::AccessKey(key));
    let path = Path::from("log/0000001");
    let create = |store: Arc<dyn object_store::ObjectStore>| {
        let path = path.clone();
        async move {
            store.put_opts(&path, PutPayload::from_static(b"commit"), PutMode::Create.into()).await
        }
    };
    create(store.clone()).await.unwrap();
    assert!(matches!(create(store.clone()).await, Err(object_store::Error::AlreadyExists { .. })));

    // Ownership of the subscription is no right to data.
    let store = open(blob::Auth::Bearer(bench.admin.clone()));
    assert!(store.get(&path).await.is_err());
    let leases = Leases::new(&bench.endpoints, &address, "vouchsafe", bench.admin.clone()).unwrap();
    let acquire =
        |id| leases.acquire("deploy.lock", Uuid::from_u128(id), LeaseDuration::Seconds(15));
    assert!(matches!(acquire(1).await, Err(LeaseError::Denied(_))));

    bench.assign(ACCOUNT, BLOB_DATA_CONTRIBUTOR).await;
    let read = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(&read[..], b"commit");
    let lease = acquire(1).await.unwrap();
    assert!(matches!(acquire(2).await, Err(LeaseError::Held(_))));
    // The same proposal again is the same lease.
    assert_eq!(acquire(1).await.unwrap().id(), lease.id());
    lease.renew().await.unwrap();
    leases.break_now("deploy.lock").await.unwrap();
    assert!(matches!(lease.renew().await, Err(LeaseError::Lost(_))));
    let second = acquire(2).await.unwrap();
    second.release().await.unwrap();
    bench.cloud.shut_down();
}

#[tokio::test]
async fn registry_with_token_exchange() {
    let bench = Bench::start().await;
    bench.put("", "2021-04-01", json!({})).await;
    let path = "providers/Microsoft.ContainerRegistry/registries/vouchsafedev";
    bench.put(path, "2023-07-01", json!({"sku": {"name": "Basic"}})).await;

    let address = "https://vouchsafedev.azurecr.io".parse().unwrap();
    let registry = Registry::new(&bench.endpoints, &address, bench.admin.clone());
    let repository = "vouchsafe/server".parse().unwrap();
    let config = Bytes::from_static(b"{}");
    let layer = Bytes::from(vec![3; 9 << 20]);
    let descriptor = |kind: &str, bytes: &Bytes| json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
    let content = json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = Manifest { media_type, bytes: content.to_string().into() };
    let digest = Digest::of(&manifest.bytes);
    let presence = || registry.manifest_presence(&repository, &digest);
    assert_eq!(presence().await.unwrap(), Presence::Absent);
    let blobs = [config, layer.clone()];
    let pushed = registry.push(&repository, &blobs, &manifest, Some("latest")).await.unwrap();
    assert_eq!(pushed, digest);
    assert_eq!(presence().await.unwrap(), Presence::Present);
    assert_eq!(registry.pull_manifest(&repository, &digest).await.unwrap(), manifest);
    let pulled = registry.pull_blob(&repository, &Digest::of(&layer), 10 << 20).await.unwrap();
    assert_eq!(pulled, layer);
    // Pushing again sends nothing but the manifest.
    registry.push(&repository, &blobs, &manifest, None).await.unwrap();

    // What refers to the image is on the registry's own list, once.
    let kind = "application/vnd.cyclonedx+json";
    let document = Bytes::from_static(b"{\"bomFormat\":\"CycloneDX\"}");
    let empty = Bytes::from_static(b"{}");
    let content = json!({
        "schemaVersion": 2, "mediaType": manifest.media_type, "artifactType": kind,
        "config": descriptor("application/vnd.oci.empty.v1+json", &empty),
        "layers": [descriptor(kind, &document)],
        "subject": descriptor(&manifest.media_type, &manifest.bytes),
    });
    let media_type = manifest.media_type.clone();
    let sbom = Manifest { media_type, bytes: content.to_string().into() };
    let attached = [empty, document];
    for _ in 0..2 {
        registry.attach(&repository, &digest, kind, &attached, &sbom).await.unwrap();
    }
    let listed = registry.referrers(&repository, &digest).await.unwrap();
    let listed: Vec<_> =
        listed.iter().map(|one| (one.digest, one.artifact_type.as_str())).collect();
    assert_eq!(listed, [(Digest::of(&sbom.bytes), kind)]);
    bench.cloud.shut_down();
}

const VAULT: &str = "providers/Microsoft.KeyVault/vaults/vouchsafe-dev";
const VAULT_ADMINISTRATOR: &str = "00482a5a-887f-4fb3-b363-3b7fe8e74483";
const PROVIDER: &str = "https://prov.weu.attest.azure.net";

impl Bench {
    async fn vault(&self) {
        self.put("", "2021-04-01", json!({})).await;
        let properties = json!({"properties": {
            "tenantId": self.cloud.settings.tenant, "sku": {"family": "A", "name": "premium"},
            "enableRbacAuthorization": true, "softDeleteRetentionInDays": 7,
        }});
        self.put(VAULT, "2025-05-01", properties).await;
        self.assign(VAULT, VAULT_ADMINISTRATOR).await;
    }

    fn keys(&self) -> keys::Client {
        keys::Client::new(&self.endpoints, &vault(), self.admin.clone()).unwrap()
    }

    fn secrets(&self) -> secrets::Client {
        secrets::Client::new(&self.endpoints, &vault(), self.admin.clone()).unwrap()
    }

    /// The nth call of that kind is performed, and its answer lost.
    fn lose(&self, method: &str, path: &str, nth: u64) {
        self.cloud.faults.set(vec![Fault {
            family: Some("keyvault".to_owned()),
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            nth,
            count: 1,
            action: Action::LoseResponse,
        }]);
    }

    async fn attest(&self, host_data: [u8; 32], transfer: &TransferKey) -> AttestationToken {
        let runtime = json!({"keys": [{
            "kid": "release", "kty": "RSA", "key_ops": ["encrypt"],
            "e": URL_SAFE_NO_PAD.encode(transfer.exponent()),
            "n": URL_SAFE_NO_PAD.encode(transfer.modulus()),
        }]})
        .to_string();
        let product = forged_root::Product::Milan;
        let chip = forged_root::Chip::new(product, "chip", product.tcb());
        let mut fields = chip.fields();
        fields.host_data = host_data;
        fields.report_data = *evidence::Binding::sha256(runtime.as_bytes()).as_bytes();
        let evidence = RawEvidence {
            report: chip.sign(&fields),
            certificates: chip.vcek_pem_chain(),
            uvm_endorsement: forged_root::uvm_endorsement(
                &forged_root::UVM_MEASUREMENT,
                forged_root::UVM_SVN,
                forged_root::Form::Json,
            ),
        };
        let client =
            maa::Client::new(&self.endpoints, &PROVIDER.parse().unwrap(), self.admin.clone());
        client.attest_sev_snp(&evidence, runtime.as_bytes()).await.unwrap()
    }
}

fn vault() -> url::Url {
    "https://vouchsafe-dev.vault.azure.net".parse().unwrap()
}

fn master_key(host_data: &str) -> NewEcHsm {
    let document = json!({"version": "1.0.0", "anyOf": [{"authority": PROVIDER, "allOf": [
        {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
        {"claim": "x-ms-sevsnpvm-hostdata", "equals": host_data},
    ]}]});
    NewEcHsm {
        name: "dev-0123456789".parse().unwrap(),
        curve: Curve::P384,
        policy: KeyPolicy { document, immutable: true },
        tags: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn attests_and_releases_a_master_key() {
    let bench = Bench::start().await;
    bench.vault().await;
    let provider = "providers/Microsoft.Attestation/attestationProviders/prov";
    let made = bench.put(provider, "2021-06-01", json!({})).await;
    assert_eq!(made["properties"]["attestUri"], PROVIDER);
    let client =
        maa::Client::new(&bench.endpoints, &PROVIDER.parse().unwrap(), bench.admin.clone());
    let kind = AttestationType::SevSnpVm;
    let text = "version=1.0;authorizationrules{=> permit();};issuancerules{};";
    let jws = format!(
        "eyJhbGciOiJub25lIn0.{}.",
        URL_SAFE_NO_PAD
            .encode(json!({"AttestationPolicy": URL_SAFE_NO_PAD.encode(text)}).to_string())
    );
    client.set_policy(kind, &PolicyJws::new(jws.clone())).await.unwrap();
    let answer = client.policy(kind).await.unwrap();
    let claims: Value = serde_json::from_slice(
        &URL_SAFE_NO_PAD.decode(answer.as_str().split('.').nth(1).unwrap()).unwrap(),
    )
    .unwrap();
    assert_eq!(claims["x-ms-policy"], jws.as_str());
    assert!(client.certs().await.unwrap().as_str().contains("x5c"));
    assert_eq!(client.open_id().await.unwrap().issuer, PROVIDER);
    client.certificates().await.unwrap();
    client.reset_policy(kind, &PolicyJws::unsigned_reset()).await.unwrap();

    let keys = bench.keys();
    let new = master_key(&"ab".repeat(32));
    assert!(matches!(keys.latest(&new.name).await, Err(KeyError::NotFound(_))));
    let key = keys.create_ec_hsm(&new).await.unwrap();
    assert!(key.exportable && key.policy.as_ref().unwrap().immutable);
    assert_eq!(keys.versions(&new.name).await.unwrap().len(), 1);

    let transfer = TransferKey::generate().unwrap();
    let token = bench.attest([0xab; 32], &transfer).await;
    let jws = keys.release(&new.name, &key.version, &token).await.unwrap();
    let released = unwrap(&jws, &transfer).unwrap();
    assert_eq!(KeyKind::EcHsm(released.public().clone()), key.kind);
    assert_eq!(Some(released.policy()), key.policy.as_ref());
    assert!(released.exportable() && released.version() == &key.version);
    assert_eq!(released.scalar().expose_secret().len(), 48);

    let other = bench.attest([0xcd; 32], &transfer).await;
    assert!(matches!(
        keys.release(&new.name, &key.version, &other).await,
        Err(ReleaseError::PolicyNotMet(_))
    ));
    let forged = AttestationToken::new("e30.e30.e30".to_owned().into());
    assert!(matches!(
        keys.release(&new.name, &key.version, &forged).await,
        Err(ReleaseError::TokenRefused(_))
    ));
    keys.disable(&new.name, &key.version).await.unwrap();
    let disabled = keys.get(&new.name, &key.version).await.unwrap();
    assert!(!disabled.enabled);
    assert!(keys.release(&new.name, &key.version, &token).await.is_err());

    let deleted = keys.delete(&new.name).await.unwrap();
    assert_eq!(deleted.version, key.version);
    assert!(matches!(keys.create_ec_hsm(&new).await, Err(KeyError::Deleted(_))));
    assert_eq!(keys.recover(&new.name).await.unwrap().version, key.version);
    keys.delete(&new.name).await.unwrap();
    keys.purge(&new.name).await.unwrap();
    assert!(matches!(keys.deleted(&new.name).await, Err(KeyError::NotFound(_))));
    bench.cloud.shut_down();
}

#[tokio::test]
async fn makes_one_version_when_an_answer_is_lost() {
    let bench = Bench::start().await;
    bench.vault().await;
    let keys = bench.keys();
    let new = master_key("00");
    // The first request is the client's own, to be challenged.
    bench.lose("POST", "/keys/*/create", 2);
    assert!(matches!(keys.create_ec_hsm(&new).await, Err(KeyError::Unavailable(_))));
    let key = keys.latest(&new.name).await.unwrap();
    assert_eq!(keys.versions(&new.name).await.unwrap()[0].version, key.version);

    let secrets = bench.secrets();
    let name = "vouchsafe-dev-bundle".parse().unwrap();
    bench.lose("PUT", "/secrets/*", 2);
    let tags = std::collections::BTreeMap::new();
    let value = "a.b.c".to_owned().into();
    let stored = secrets.set(&name, &value, Some("application/jose"), &tags).await.unwrap();
    assert_eq!(secrets.versions(&name).await.unwrap().len(), 1);
    assert_eq!(secrets.names().await.unwrap(), std::slice::from_ref(&name));

    let anchor = TagStore::new(secrets.clone(), name.clone(), stored.version.clone());
    let head = std::collections::BTreeMap::from([("n".to_owned(), "7".to_owned())]);
    anchor.write_tags(&head).await.unwrap();
    assert_eq!(anchor.read_tags().await.unwrap(), head);
    let secret = secrets.get(&name, None).await.unwrap();
    assert_eq!(secret.value.expose_secret(), "a.b.c");
    assert_eq!(secret.about.version, stored.version);
    secrets.delete(&name).await.unwrap();
    assert_eq!(secrets.recover(&name).await.unwrap().about.version, stored.version);
    bench.cloud.shut_down();
}

#[tokio::test]
async fn resources_come_go_and_are_named_in_errors() {
    let bench = Bench::start().await;
    let version = ApiVersion("2021-04-01");
    let missing = bench.arm.get(&bench.group(), version).await.unwrap_err();
    assert!(
        matches!(&missing, ArmError::NotFound(answer) if answer.code() == "ResourceGroupNotFound"),
        "{missing:?}"
    );
    bench.put("", version.0, json!({"tags": {"a": "b"}})).await;
    let identity = "providers/Microsoft.ManagedIdentity/userAssignedIdentities/vouchsafe";
    let made = bench.put(identity, "2023-01-31", json!({})).await;
    assert!(made["properties"]["principalId"].is_string());
    let subscription = ResourceId::parse(&format!(
        "/subscriptions/{}/resourceGroups",
        bench.cloud.settings.subscription
    ))
    .unwrap();
    assert_eq!(bench.arm.list(&subscription, version).await.unwrap().len(), 1);
    bench.arm.delete(&bench.group(), version).await.unwrap();
    assert!(matches!(bench.arm.get(&bench.group(), version).await, Err(ArmError::NotFound(_))));
    bench.arm.delete(&bench.group(), version).await.unwrap();
    bench.cloud.shut_down();
}
