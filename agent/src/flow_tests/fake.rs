//! A server that says what `protocol` lets a server say, over a forged root, on a real TLS
//! listener. A test changes one thing about it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::{Config, Lists};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use evidence::{HostData, RawEvidence, Sha256};
use forged_root::{Chip, Form, SignerName, UVM_MEASUREMENT, UVM_SVN};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use manifest::Manifest;
use protocol::attest::{
    AttestRequest, Challenge, ChallengeAnswer, EphemeralKey, RefusalAnswer, RefusalCode,
    WorkloadEvidence, binding,
};
use protocol::bundle::{BundleBody, Identity, MasterKeyRef, StoreAuth, StoreRef};
use protocol::grant::{Exchange, GrantBody, GrantedSecret, GrantedToken, SecretText, seal};
use protocol::jwk::{Curve, EcPublicKey};
use protocol::jws::{SignerCertificate, SignerId, SignerKey, ToSign};
use protocol::runtime_data::RuntimeData;
use protocol::server_evidence::{
    EXPORTER_LABEL, EvidenceAnswer, EvidenceRequest, Head, PURPOSE, Statement,
};
use protocol::signed_manifest::{self, ManifestBody, SignedManifest};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(super) const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);
pub(super) const REQUEST_ID: &str = "1c7b2a52-6c54-4f0b-8d5e-3e8f4f1c2b11";
const CHALLENGE: Challenge = Challenge([5; 32]);
const SERVER: [u8; 32] = [7; 32];

/// What the server is; a test changes one thing.
pub(super) struct Fake {
    pub(super) deployment: String,
    pub(super) signer: SignerName,
    pub(super) serial: u64,
    pub(super) head: Head,
    pub(super) identity: Identity,
    pub(super) confirmed: bool,
    /// What the manifest says of revocation lists.
    pub(super) crl: &'static str,
    /// What the statement says the exporter is, if not the connection's.
    pub(super) exporter: Option<[u8; 32]>,
    /// Refusals to be given first, one a request to this path.
    pub(super) refusals: Vec<(&'static str, RefusalCode)>,
    pub(super) secrets: Vec<(&'static str, &'static str)>,
    /// Seals the answer to another challenge.
    pub(super) other_exchange: bool,
}

/// What was asked of it.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) paths: Vec<String>,
    pub(super) secrets: Vec<Vec<String>>,
}

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<Mutex<Asked>>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            deployment: "dev".into(),
            signer: SignerName::First,
            serial: 3,
            head: Head { n: 4, hash: Sha256::of(b"head") },
            identity: Identity { public_key: public(&key()) },
            confirmed: true,
            crl: "require",
            exporter: None,
            refusals: Vec::new(),
            secrets: vec![("demo/db-password", "hunter2"), ("demo/tls-key", "pem")],
            other_exchange: false,
        }
    }

    /// Serves on a port of its own until the test ends.
    pub(super) async fn start(self) -> Running {
        let issued = forged_root::issue_tls(&["127.0.0.1".to_owned()]);
        let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Asked>>::default();
        let running = Running { address, asked: Arc::clone(&asked) };
        let fake = Arc::new(Mutex::new(self));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let exporter = stream
                    .get_ref()
                    .1
                    .export_keying_material([0; 32], EXPORTER_LABEL, None)
                    .unwrap();
                let (fake, asked) = (Arc::clone(&fake), Arc::clone(&asked));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (fake, asked) = (Arc::clone(&fake), Arc::clone(&asked));
                    async move {
                        let path = request.uri().path().to_owned();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let (mut fake, mut asked) = (fake.lock().unwrap(), asked.lock().unwrap());
                        let (status, body) = fake.answer(&path, &body, exporter, &mut asked);
                        let response = Response::builder().status(status);
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
                    }
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    drop(connection.await);
                });
            }
        });
        running
    }

    fn answer(
        &mut self,
        path: &str,
        body: &[u8],
        exporter: [u8; 32],
        asked: &mut Asked,
    ) -> (u16, Vec<u8>) {
        asked.paths.push(path.to_owned());
        if let Some(at) = self.refusals.iter().position(|(refused, _)| *refused == path) {
            return refuse(self.refusals.remove(at).1);
        }
        let json = match path {
            "/vouchsafe/v1/evidence" => {
                let request: EvidenceRequest = serde_json::from_slice(body).unwrap();
                serde_json::to_vec(&self.evidence(&request, exporter))
            }
            "/vouchsafe/v1/challenge" => {
                assert_eq!(body, b"{}");
                serde_json::to_vec(&ChallengeAnswer {
                    version: 1,
                    challenge: CHALLENGE,
                    expires_in: 60,
                })
            }
            "/vouchsafe/v1/attest" => {
                let request: AttestRequest = serde_json::from_slice(body).unwrap();
                asked.secrets.push(request.secrets.clone());
                let bound = binding(&self.deployment, &request.challenge, &request.public_key);
                let WorkloadEvidence::Container(evidence) = &request.evidence else {
                    return refuse(RefusalCode::Rejected);
                };
                if request.challenge != CHALLENGE
                    || evidence.report[0x50..0x90] != bound.as_bytes()[..]
                {
                    return refuse(RefusalCode::Rejected);
                }
                serde_json::to_vec(&self.grant(&request.public_key))
            }
            _ => return refuse(RefusalCode::NotFound),
        };
        (200, json.unwrap())
    }

    fn evidence(&self, request: &EvidenceRequest, exporter: [u8; 32]) -> EvidenceAnswer {
        let boot_key = key();
        let runtime_data = RuntimeData::new(&[0xc5; 256], &[1, 0, 1], &public(&boot_key)).unwrap();
        let toml = dev_toml()
            .replace("name = \"dev\"", &format!("name = \"{}\"", self.deployment))
            .replace("crl = \"require\"", &format!("crl = \"{}\"", self.crl));
        let revision = Manifest::parse("dev.toml", &toml).unwrap().deployment().revision;
        let body = ManifestBody { version: 1, deployment: self.deployment.clone(), revision, toml };
        let manifest = sign(SignerName::Second, |certificate| body.prepare(certificate).unwrap());
        let bundle = self.bundle();
        let statement = Statement {
            version: 1,
            purpose: PURPOSE.into(),
            nonce: request.nonce,
            exporter: self.exporter.unwrap_or(exporter),
            identity: self.identity.clone(),
            head: self.head,
            revision,
            manifest_sha256: SignedManifest::verify(&manifest, &self.deployment, &signers())
                .unwrap()
                .digest(),
            serial: self.serial,
        };
        EvidenceAnswer {
            version: 1,
            evidence: report(SERVER, *runtime_data.binding().as_bytes()),
            runtime_data: runtime_data.bytes().to_vec(),
            bundle: sign(self.signer, |certificate| bundle.prepare(certificate).unwrap()),
            manifest,
            signature: statement.sign(&boot_key, &SystemRandom::new()).unwrap(),
            statement,
        }
    }

    fn bundle(&self) -> BundleBody {
        BundleBody {
            version: 1,
            deployment: self.deployment.clone(),
            serial: self.serial,
            minimum_revision: 1,
            master_key: MasterKeyRef {
                name: "dev-0123456789".into(),
                version: "1".repeat(32),
                public_key: EcPublicKey::from_coordinates(Curve::P384, &[1; 48], &[2; 48]).unwrap(),
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
            manifest: signed_manifest::BLOB.into(),
            host_data: [HostData::new(SERVER)].into(),
            identity: self.confirmed.then(|| self.identity.clone()),
            birth: None,
        }
    }

    fn grant(&self, to: &EphemeralKey) -> protocol::grant::Sealed {
        let secret = |text: &str| SecretText::new(text.to_owned().into());
        let value = |(path, value): &(&str, &str)| {
            let granted = GrantedSecret { field: "value".into(), value: secret(value), version: 1 };
            ((*path).to_owned(), granted)
        };
        let body = GrantBody {
            version: 1,
            workload: "demo".into(),
            token: GrantedToken {
                client_token: secret("token"),
                lease_duration: 60,
                policies: vec!["demo".into()],
            },
            secrets: self.secrets.iter().map(value).collect(),
        };
        let challenge = if self.other_exchange { Challenge([6; 32]) } else { CHALLENGE };
        let exchange =
            Exchange { deployment: &self.deployment, identity: self.identity.id(), challenge };
        seal(exchange, to, &body).unwrap()
    }
}

/// A revocation list in force that revokes nothing.
pub(super) fn lists() -> Lists {
    lists_of(&[])
}

/// One that revokes these.
pub(super) fn lists_of(revoked: &[u64]) -> Lists {
    let hour = jiff::SignedDuration::from_hours(1);
    let product = forged_root::Product::Milan;
    Lists::Given(vec![forged_root::amd_crl(product, revoked, NOW - hour, NOW + hour)])
}

/// A configuration for the server at this address, with the dev deployment's signers and roots.
pub(super) fn config(address: SocketAddr, more: &str) -> Config {
    config_waiting(address, 0, more)
}

/// The same, with patience.
pub(super) fn config_waiting(address: SocketAddr, seconds: u64, more: &str) -> Config {
    let signers: Vec<String> = signers().iter().map(|id| format!("\"{id}\"")).collect();
    let roots = |digest: [u8; 32]| format!("\"{}\"", Sha256::new(digest));
    let text = format!(
        r#"
version = 1
server = "https://{address}"
deployment = "dev"
signers = [{}]
minimum_revision = 1
minimum_serial = 3
wait_seconds = {seconds}
{more}
[insecure_local]
amd_root_sha256 = [{}]
uvm_root_sha256 = {}
"#,
        signers.join(", "),
        roots(forged_root::amd_root_sha256(forged_root::Product::Milan)),
        roots(forged_root::uvm_root_sha256()),
    );
    Config::parse(&text, Path::new("/")).unwrap()
}

/// Evidence of the forged silicon.
pub(super) fn report(host_data: [u8; 32], report_data: [u8; 64]) -> RawEvidence {
    let product = forged_root::Product::Milan;
    let chip = Chip::new(product, "chip", product.tcb());
    let mut fields = chip.fields();
    fields.report_data = report_data;
    fields.host_data = host_data;
    RawEvidence {
        report: chip.sign(&fields),
        certificates: chip.vcek_pem_chain(),
        uvm_endorsement: forged_root::uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json),
    }
}

/// Where the repository's manifests are.
pub(super) fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

pub(super) fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

pub(super) fn public(pair: &EcdsaKeyPair) -> EcPublicKey {
    EcPublicKey::from_point(Curve::P256, pair.public_key().as_ref()).unwrap()
}

pub(super) fn signers() -> BTreeSet<SignerId> {
    [SignerName::First, SignerName::Second].map(|name| certificate(name).id()).into()
}

fn dev_toml() -> String {
    std::fs::read_to_string(manifests().join("dev.toml")).unwrap()
}

fn certificate(signer: SignerName) -> SignerCertificate {
    SignerCertificate::from_pem(forged_root::signer(signer).certificate_pem).unwrap()
}

fn sign(signer: SignerName, prepare: impl FnOnce(&SignerCertificate) -> ToSign) -> String {
    let key = SignerKey::from_pem(forged_root::signer(signer).key_pem).unwrap();
    key.sign(prepare(&certificate(signer)), &SystemRandom::new()).unwrap()
}

fn refuse(code: RefusalCode) -> (u16, Vec<u8>) {
    let answer =
        RefusalAnswer { errors: vec![code.code().to_owned()], request_id: REQUEST_ID.to_owned() };
    (code.status(), serde_json::to_vec(&answer).unwrap())
}
