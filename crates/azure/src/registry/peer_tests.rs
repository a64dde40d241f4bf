//! Against `docker-registry` (Debian), which verifies the tokens, behind a front that exchanges them as Azure's does;
//! what was pushed is read back by `skopeo` (Debian) from a second registry over the same folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::endpoints::LocalCloud;
use crate::testing::{Authority, Hosts, credential};

/// A registry of Debian's, stopped at the end.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Registry {
    async fn start(folder: &Path, name: &str, port: u16, auth: &str) -> Self {
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}/data}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  relativeurls: true\n  secret: test\n{auth}",
            folder.display()
        );
        let path = folder.join(format!("{name}.yml"));
        std::fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("docker-registry: {error}; run cargo xtask setup"));
        let started = Self(child);
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return started;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry does not listen");
    }
}

/// Who signs the registry's tokens.
struct Issuer {
    certificate: Vec<u8>,
    key: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der()).unwrap();
        Self { certificate, key }
    }

    /// Docker's token: a JWT of what may be done to one repository.
    fn token(&self, scope: &str) -> String {
        let parts: Vec<&str> = scope.split(':').collect();
        let now = azure_core::time::OffsetDateTime::now_utc().unix_timestamp();
        let header = json!({
            "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)],
        });
        let actions: Vec<_> = parts[2].split(',').collect();
        let claims = json!({
            "iss": "issuer", "sub": "", "aud": "r.azurecr.io", "exp": now + 300, "nbf": now - 10,
            "iat": now, "jti": "1",
            "access": [{ "type": parts[0], "name": parts[1], "actions": actions }],
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

type Answered = Result<http::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>>;

/// The exchange of Azure's registry; everything else goes to the registry as it is.
async fn front(request: http::Request<Incoming>, issuer: Arc<Issuer>, port: u16) -> Answered {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let answer = |value: Value| Ok(http::Response::new(Full::new(value.to_string().into())));
    let grant = form.get("grant_type").map(String::as_str);
    match (parts.uri.path(), grant) {
        ("/oauth2/exchange", Some("access_token")) => {
            assert!(form["access_token"].starts_with("token for https://containerregistry"));
            answer(json!({ "refresh_token": "refresh" }))
        }
        ("/oauth2/token", Some("refresh_token")) => {
            assert_eq!((&*form["refresh_token"], &*form["service"]), ("refresh", "r.azurecr.io"));
            answer(json!({ "access_token": issuer.token(&form["scope"]) }))
        }
        _ => {
            let url = format!("http://127.0.0.1:{port}{}", parts.uri);
            let http = reqwest::Client::builder().no_proxy().build()?;
            let asked = http.request(parts.method, url).headers(parts.headers).body(body);
            let got = asked.send().await?;
            let mut response = http::Response::builder().status(got.status());
            for (name, value) in got.headers() {
                if name != "transfer-encoding" {
                    response = response.header(name, value);
                }
            }
            Ok(response.body(Full::new(got.bytes().await?))?)
        }
    }
}

async fn client(issuer: Issuer, port: u16) -> Client {
    let authority = Authority::new("front");
    let issued = authority.issue(Hosts(&["r.azurecr.io"]));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(issued.chain, issued.key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let issuer = Arc::new(issuer);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, issuer) = (acceptor.clone(), issuer.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let service =
                    hyper::service::service_fn(|request| front(request, issuer.clone(), port));
                let io = TokioIo::new(stream);
                let served = hyper::server::conn::http1::Builder::new();
                served.serve_connection(io, service).await.ok();
            });
        }
    });
    let local = LocalCloud { cloud: address, imds: address, ca_sha256: authority.sha256() };
    let endpoints = Endpoints::insecure_local(&local).unwrap();
    Client::new(&endpoints, &"https://r.azurecr.io".parse().unwrap(), credential())
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

fn manifest(config: Value, layer: Value, more: Value) -> Manifest {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut value = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer],
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Manifest { media_type: media_type.to_owned(), bytes: value.to_string().into() }
}

/// What skopeo says; it must succeed.
fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("skopeo: {error}; run cargo xtask setup"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn peer_docker_registry_takes_an_image_and_skopeo_reads_it() {
    if std::env::var_os("VOUCHSAFE_WITHOUT_PEERS").is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::new();
    let bundle = folder.path().join("issuer.pem");
    let pem = STANDARD.encode(&issuer.certificate);
    let armor = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    std::fs::write(&bundle, armor).unwrap();
    let auth = format!(
        "auth:\n  token:\n    realm: https://r.azurecr.io/oauth2/token\n    service: r.azurecr.io\n    \
         issuer: issuer\n    rootcertbundle: {}\n",
        bundle.display()
    );
    let (guarded, open) = (port(), port());
    let _guarded = Registry::start(folder.path(), "guarded", guarded, &auth).await;
    let client = client(issuer, guarded).await;
    let repository: Repository = "vouchsafe/server".parse().unwrap();

    // Two chunks, so that an upload goes on where it was.
    let layer: Bytes = (0..CHUNK + 1000).map(|n| n.to_le_bytes()[0]).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/x"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
    });
    let config: Bytes = config.to_string().into();
    let image = manifest(
        descriptor("application/vnd.oci.image.config.v1+json", &config),
        descriptor("application/vnd.oci.image.layer.v1.tar", &layer),
        json!({}),
    );
    let blobs = [layer.clone(), config.clone()];
    let digest = client.push(&repository, &blobs, &image, Some("v1")).await.unwrap();
    assert_eq!(client.push(&repository, &blobs, &image, Some("v1")).await.unwrap(), digest);

    let by_tag = client.pull(&repository, &Target::Tag("v1".to_owned())).await.unwrap();
    assert_eq!(by_tag, client.pull_manifest(&repository, &digest).await.unwrap());
    assert_eq!(by_tag.bytes, image.bytes);
    let missing = client.pull_manifest(&repository, &Digest::of(b"missing")).await;
    assert!(matches!(missing, Err(RegistryError::NotFound(_))), "{missing:?}");
    let pulled = client.pull_blob(&repository, &Digest::of(&layer), layer.len()).await.unwrap();
    assert_eq!(pulled, layer);
    let mut download = client.open_blob(&repository, &Digest::of(&layer)).await.unwrap();
    let mut streamed = Vec::new();
    while let Some(piece) = download.next().await.unwrap() {
        streamed.extend_from_slice(&piece);
    }
    assert_eq!(streamed, layer);

    let document: Bytes = Bytes::from_static(b"{\"bomFormat\":\"CycloneDX\"}");
    let empty = Bytes::from_static(b"{}");
    let kind = "application/vnd.cyclonedx+json";
    let sbom = manifest(
        descriptor("application/vnd.oci.empty.v1+json", &empty),
        descriptor(kind, &document),
        json!({
            "artifactType": kind,
            "subject": descriptor("application/vnd.oci.image.manifest.v1+json", &image.bytes),
        }),
    );
    let attached = [empty, document];
    let sbom_digest = client.attach(&repository, &digest, kind, &attached, &sbom).await.unwrap();
    let expected = Referrer { digest: sbom_digest, artifact_type: kind.to_owned() };
    assert_eq!(client.referrers(&repository, &digest).await.unwrap(), [expected]);

    let _open = Registry::start(folder.path(), "open", open, "").await;
    let name = format!("docker://127.0.0.1:{open}/vouchsafe/server@{digest}");
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &name]);
    assert_eq!(raw, image.bytes);
    let out = folder.path().join("out");
    let to = format!("dir:{}", out.display());
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", &name, &to]);
    let hex = Digest::of(&layer).to_string().replace("sha256:", "");
    assert_eq!(std::fs::read(out.join(hex)).unwrap(), layer);

    // The registry's own copy, changed behind its back.
    let hex = digest.to_string().replace("sha256:", "");
    let data = folder.path().join("data/docker/registry/v2/blobs/sha256");
    let stored = data.join(&hex[..2]).join(&hex).join("data");
    let changed = String::from_utf8(image.bytes.to_vec())
        .unwrap()
        .replace("\"schemaVersion\":2", "\"schemaVersion\":2 ");
    std::fs::write(stored, changed).unwrap();
    let refused = client.pull_manifest(&repository, &digest).await;
    assert!(refused.is_err(), "another manifest than the digest names: {refused:?}");
}
