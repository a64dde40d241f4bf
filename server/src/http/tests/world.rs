//! A server with everything that it needs, and a client that trusts its TLS authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use azure::{Auth, Endpoints, LocalCloud, ManagedIdentity};
use evidence::{RawEvidence, Sha256};
use forged_root::{Chip, Form, ReportFields, UVM_MEASUREMENT, UVM_SVN, uvm_endorsement};
use jiff::Timestamp;
use manifest::Manifest;
use object_store::ObjectStore;
use protocol::attest::{AttestRequest, Challenge, EphemeralKey, WorkloadEvidence, binding};
use protocol::bundle::{Bundle, BundleBody, Identity, MasterKeyRef, StoreAuth, StoreRef};
use protocol::jwk::{Curve, EcPublicKey};
use protocol::runtime_data::RuntimeData;
use protocol::signed_manifest::{ManifestBody, SignedManifest};
use protocol::trust_root::{Body, Cloud, InsecureLocal};
use protocol::{SignerCertificate, SignerKey, TrustRoot};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use store::{
    AnchorStore, AnchorStoreError, Demand, Hash, IdentityKey, Newborn, RecoverySet, RootKey,
    SealedAnchor, Settings, ShareRef, ShareSet, Store, Transaction,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::objects::Objects;
use crate::auth::OidcKeys;
use crate::clock::Clock;
use crate::core::{BootIdentity, Core, InForce, Phase};
use crate::revocation::Lists;
use crate::tokens::{self, Holder, Lifetime};
use crate::vault::Vault;

pub(super) const DEV: &str = include_str!("../../../../manifests/dev.toml");

/// 2030-01-01.
pub(super) const NOW: Timestamp = Timestamp::constant(1_893_456_000, 0);

/// A clock that stands at [`NOW`] until it is raised: what it may believe of the host is long before.
fn stopped_clock() -> Clock {
    let clock = Clock::new(Timestamp::UNIX_EPOCH);
    clock.raise(NOW);
    clock
}

pub(super) struct World {
    pub(super) core: Arc<Core>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) objects: Objects,
    pub(super) address: SocketAddr,
    client: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

/// What the deployment's signers sign.
pub(super) fn signer(name: forged_root::SignerName) -> (SignerCertificate, SignerKey) {
    let signer = forged_root::signer(name);
    let certificate = SignerCertificate::from_pem(signer.certificate_pem).unwrap();
    (certificate, SignerKey::from_pem(signer.key_pem).unwrap())
}

/// A client that resolves every host to this address and trusts the forged TLS authority.
pub(super) fn client(address: SocketAddr) -> reqwest::Client {
    let ca_sha256 = forged_root::tls_ca_sha256();
    let cloud = LocalCloud { cloud: address, imds: address, ca_sha256 };
    Endpoints::insecure_local(&cloud).unwrap().http().clone()
}

pub(super) fn tls(names: &[&str]) -> Arc<rustls::ServerConfig> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let issued = forged_root::issue_tls(&names);
    let chain = issued.chain_der.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(issued.key_der).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(DEV, nobody()).await
    }

    pub(super) async fn with(manifest: &str, oidc: OidcKeys) -> Self {
        let objects = Objects::default();
        let (store, _root) = store(&objects).await;
        Self::of(core(manifest, &objects, store), objects, oidc).await
    }

    /// Two servers on one store.
    pub(super) async fn pair() -> (Self, Self) {
        let objects = Objects::default();
        let (first, root) = store(&objects).await;
        let id = first.identity().id();
        let shared: Arc<dyn ObjectStore> = Arc::new(objects.clone());
        let anchored: (&dyn AnchorStore, Demand) = (&NoAnchor, Demand::MayBeAbsent);
        let second = Store::open(&shared, &root, &id, anchored, &settings()).await.unwrap();
        let one = Self::of(core(DEV, &objects, first), objects.clone(), nobody()).await;
        let two = Self::of(core(DEV, &objects, second), objects, nobody()).await;
        (one, two)
    }

    async fn of(core: Core, objects: Objects, oidc: OidcKeys) -> Self {
        let core = Arc::new(core);
        let (phase, doors) = watch::channel(Phase::Serving(Arc::clone(&core)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = async move { drop(stopped.await) };
        drop(tokio::spawn(crate::http::serve(listener, tls(&["localhost"]), doors, oidc, ended)));
        Self { core, phase, objects, address, client: client(address), _stop: stop }
    }

    /// Puts another manifest into force.
    pub(super) fn put_in_force(&self, manifest: &str) {
        let old = self.core.in_force();
        let bundle = Bundle::verify(
            &old.bundle_text,
            self.core.trust_root.deployment(),
            self.core.trust_root.signers(),
        );
        let (text, digest, manifest) = signed_manifest(manifest, &self.core.trust_root);
        self.core.in_force.store(Arc::new(InForce {
            bundle: bundle.unwrap(),
            bundle_text: old.bundle_text.clone(),
            manifest,
            manifest_digest: digest,
            manifest_text: text,
        }));
    }

    /// A connection of its own, from this address, on which nothing is spoken yet.
    pub(super) async fn connect(&self, from: [u8; 4]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(forged_root::tls_ca().certificate_der)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let socket = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }

    /// One request; a body of no JSON is answered as null.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let headers = token.map(|token| ("x-vault-token", token));
        self.call_with(method, path, headers.as_slice(), body).await
    }

    pub(super) async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// A token, as a login would have made it.
    pub(super) async fn token(&self, holder: Holder) -> String {
        let in_force = self.core.in_force();
        let lifetime = match holder {
            Holder::Operator(_) => Lifetime {
                first: jiff::SignedDuration::from_mins(60),
                most: jiff::SignedDuration::from_mins(60),
            },
            Holder::Workload(_) => Lifetime::workload(),
        };
        let now = self.core.now();
        let token =
            tokens::make(&in_force.manifest, holder, lifetime, now, self.core.rng()).unwrap();
        self.core.store.commit(token.add_to(Transaction::new(now)).unwrap()).await.unwrap();
        token.into_parts().0.expose_secret().to_owned()
    }

    pub(super) async fn operator(&self) -> String {
        self.token(Holder::Operator("dev".to_owned())).await
    }

    pub(super) async fn workload(&self) -> String {
        self.token(Holder::Workload("demo".to_owned())).await
    }

    /// The audit log.
    pub(super) async fn audit(&self) -> Vec<Value> {
        let records = self.core.store.audit(1, 10_000).await.unwrap();
        records
            .iter()
            .map(|record| serde_json::from_slice(record.record.expose_secret()).unwrap())
            .collect()
    }

    /// The reason that the audit log has for a refusal.
    pub(super) async fn reason(&self, answer: &Value) -> String {
        let id = &answer["request_id"];
        let audit = self.audit().await;
        let record = audit.iter().find(|record| record["request"]["request_id"] == *id);
        record.expect("the refusal is on record")["reason"]["text"].as_str().unwrap().to_owned()
    }

    pub(super) async fn challenge(&self) -> Challenge {
        let (status, answer) =
            self.call("POST", "/vouchsafe/v1/challenge", None, Some(serde_json::json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer["challenge"].clone()).unwrap()
    }

    /// The request of the demo workload, after a change of its report.
    pub(super) fn request(
        &self,
        challenge: Challenge,
        key: &EphemeralKey,
        change: impl FnOnce(&mut ReportFields),
    ) -> AttestRequest {
        let product = forged_root::Product::Milan;
        self.request_by(&Chip::new(product, "doors", product.tcb()), challenge, key, change)
    }

    pub(super) fn request_by(
        &self,
        chip: &Chip,
        challenge: Challenge,
        key: &EphemeralKey,
        change: impl FnOnce(&mut ReportFields),
    ) -> AttestRequest {
        let demo = DEV.split("host_data = [\"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
        let mut fields = chip.fields();
        fields.host_data = *demo.parse::<evidence::HostData>().unwrap().as_bytes();
        fields.report_data =
            *binding(self.core.trust_root.deployment(), &challenge, key).as_bytes();
        change(&mut fields);
        AttestRequest {
            version: 1,
            challenge,
            public_key: *key,
            evidence: WorkloadEvidence::Container(evidence_of(chip, &fields)),
            secrets: vec!["demo/db-password".to_owned()],
        }
    }
}

fn evidence_of(chip: &Chip, fields: &ReportFields) -> RawEvidence {
    RawEvidence {
        report: chip.sign(fields),
        certificates: chip.vcek_pem_chain(),
        uvm_endorsement: uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json),
    }
}

/// An identity provider that is not there.
pub(super) fn nobody() -> OidcKeys {
    OidcKeys::new(client(SocketAddr::from(([127, 0, 0, 1], 9))))
}

/// A list of the forged root of a product.
pub(super) fn verified_list(product: evidence::Product, der: &[u8]) -> evidence::RevocationList {
    let forged = product.to_string().parse().unwrap();
    let root = Sha256::new(forged_root::amd_root_sha256(forged));
    let anchors = evidence::Anchors::insecure([root], Sha256::new([0; 32]));
    let chain = forged_root::amd_cert_chain(forged);
    evidence::RevocationList::verify(&anchors, product, &chain, der, NOW).unwrap()
}

/// Lists in force that revoke nothing.
fn lists() -> Lists {
    let lists = Lists::default();
    let day = jiff::SignedDuration::from_hours(24);
    for product in evidence::Product::ALL {
        let forged = product.to_string().parse().unwrap();
        let list = forged_root::amd_crl(forged, &[], NOW - day, NOW + day);
        lists.put(product, verified_list(product, &list)).unwrap();
    }
    lists
}

struct NoAnchor;

#[async_trait::async_trait]
impl AnchorStore for NoAnchor {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        Ok(None)
    }

    async fn write(&self, _anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        Ok(())
    }
}

fn core(manifest: &str, objects: &Objects, store: Store) -> Core {
    let (first, key) = signer(forged_root::SignerName::First);
    let (second, _) = signer(forged_root::SignerName::Second);
    let trust_root = TrustRoot::new(Body {
        version: 1,
        deployment: "dev".into(),
        cloud: Cloud::Local,
        attestation: "https://vouchsafedev.weu.attest.azure.net".into(),
        vault: "https://vouchsafe-dev.vault.azure.net".into(),
        signers: [first.id(), second.id()].into(),
        insecure_local: Some(InsecureLocal {
            address: [127, 0, 0, 1].into(),
            ca_sha256: Sha256::new(forged_root::tls_ca_sha256()),
            amd_root_sha256: forged_root::Product::ALL
                .map(|product| Sha256::new(forged_root::amd_root_sha256(product)))
                .into(),
            uvm_root_sha256: Sha256::new(forged_root::uvm_root_sha256()),
        }),
    })
    .unwrap();
    let (manifest_text, manifest_digest, manifest) = signed_manifest(manifest, &trust_root);

    let spki = store.identity().spki();
    let point = EcPublicKey::from_point(Curve::P256, &spki[spki.len() - 65..]).unwrap();
    let identity = Identity { public_key: point.clone() };

    let chip = Chip::new(forged_root::Product::Milan, "server", forged_root::Product::Milan.tcb());
    let boot_key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = EcPublicKey::from_point(Curve::P256, boot_key.public_key().as_ref()).unwrap();
    let runtime_data = RuntimeData::new(&[0xc1; 256], &[1, 0, 1], &public).unwrap();
    let mut fields = chip.fields();
    fields.host_data = SERVER_HOST_DATA;
    fields.report_data = *runtime_data.binding().as_bytes();

    let body = BundleBody {
        version: 1,
        deployment: "dev".into(),
        serial: 2,
        minimum_revision: 1,
        master_key: MasterKeyRef {
            name: "dev-0123456789".into(),
            version: "1".repeat(32),
            public_key: point,
            release_policy: serde_json::json!({}),
            immutable: true,
        },
        artefacts: [].into(),
        store: StoreRef {
            endpoint: "https://vouchsafedev.blob.core.windows.net".into(),
            account: "vouchsafedev".into(),
            container: "vouchsafe".into(),
            auth: StoreAuth::ManagedIdentity,
        },
        manifest: "manifest/current".into(),
        host_data: [evidence::HostData::new(SERVER_HOST_DATA)].into(),
        identity: Some(identity.clone()),
        birth: None,
    };
    let bundle_text = key.sign(body.prepare(&first).unwrap(), &SystemRandom::new()).unwrap();
    let bundle = Bundle::verify(&bundle_text, "dev", trust_root.signers()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let ca_sha256 = forged_root::tls_ca_sha256();
    let nowhere = LocalCloud { cloud: address, imds: address, ca_sha256 };
    let nowhere = Endpoints::insecure_local(&nowhere).unwrap();
    let credential = Auth::ManagedIdentity(ManagedIdentity::Only).credential(&nowhere).unwrap();
    let vault = "https://vouchsafe-dev.vault.azure.net".parse().unwrap();
    let secrets = azure::secrets::Client::new(&nowhere, &vault, credential).unwrap();
    Core {
        objects: Arc::new(objects.clone()),
        vault: Vault::new(secrets, "dev".to_owned()),
        verifier: evidence::Verifier::new(manifest.anchors()),
        trust_root,
        store,
        identity,
        clock: stopped_clock(),
        rng: SystemRandom::new(),
        boot: BootIdentity { evidence: evidence_of(&chip, &fields), runtime_data, key: boot_key },
        revocation: lists(),
        in_force: ArcSwap::from_pointee(InForce {
            bundle,
            bundle_text,
            manifest,
            manifest_digest,
            manifest_text,
        }),
    }
}

async fn store(objects: &Objects) -> (Store, RootKey) {
    let objects: Arc<dyn ObjectStore> = Arc::new(objects.clone());
    let rng = SystemRandom::new();
    let share = ShareRef { name: "unseal-1".into(), version: "1".into(), sha256: Hash::of(b"") };
    let newborn = Newborn {
        identity: IdentityKey::generate().unwrap(),
        shares: ShareSet { threshold: 1, shares: vec![share] },
        recovery: RecoverySet { threshold: 0, shares: Vec::new() },
    };
    let root = RootKey::generate(&rng).unwrap();
    let first = Transaction::new(NOW);
    (Store::create(&objects, &root, newborn, first, &settings()).await.unwrap(), root)
}

fn settings() -> Settings {
    Settings {
        patience: Duration::from_millis(200),
        ..Settings::new(Arc::new(SystemRandom::new()))
    }
}

fn signed_manifest(toml: &str, trust_root: &TrustRoot) -> (String, Sha256, Manifest) {
    let (certificate, key) = signer(forged_root::SignerName::First);
    let parsed = Manifest::parse("x", toml).unwrap_or_else(|faults| panic!("{faults}"));
    let body = ManifestBody {
        version: 1,
        deployment: "dev".into(),
        revision: parsed.deployment().revision,
        toml: toml.to_owned(),
    };
    let text = key.sign(body.prepare(&certificate).unwrap(), &SystemRandom::new()).unwrap();
    let signed = SignedManifest::verify(&text, "dev", trust_root.signers()).unwrap();
    (text, signed.digest(), signed.into_manifest())
}

const SERVER_HOST_DATA: [u8; 32] = [7; 32];
