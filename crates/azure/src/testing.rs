//! A far end for unit tests: TLS on a loopback port, a script of answers, a record of what was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use crate::endpoints::{Endpoints, LocalCloud};

/// A CA of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The host names of a certificate.
pub(crate) struct Hosts(pub(crate) &'static [&'static str]);

pub(crate) struct Issued {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.0.der())
            .as_ref()
            .try_into()
            .unwrap()
    }

    pub(crate) fn issue(&self, hosts: Hosts) -> Issued {
        let names: Vec<String> = hosts.0.iter().map(|host| (*host).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        Issued {
            chain: vec![leaf.der().clone(), self.0.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// One scripted answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: false }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Closes the connection instead of answering.
    pub(crate) fn cut() -> Self {
        Self { cut: true, ..Self::new(200, "") }
    }

    /// What a vault says to a request without a token.
    pub(crate) fn challenge() -> Self {
        Self::new(401, "").header(
            "www-authenticate",
            r#"Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net""#,
        )
    }
}

/// One recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method, host, path and query.
    pub(crate) line: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Request>,
}

/// A running far end.
pub(crate) struct FarEnd {
    script: Arc<Mutex<Script>>,
    pub(crate) endpoints: Endpoints,
}

impl FarEnd {
    /// Starts one that serves these hosts and gives these answers, in this order.
    pub(crate) async fn start(hosts: Hosts, replies: Vec<Reply>) -> Self {
        let authority = Authority::new("far end");
        let issued = authority.issue(hosts);
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(issued.chain, issued.key)
        .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let script = Arc::new(Mutex::new(Script { replies: replies.into(), seen: Vec::new() }));

        let cloud = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let imds = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = LocalCloud {
            cloud: cloud.local_addr().unwrap(),
            imds: imds.local_addr().unwrap(),
            ca_sha256: authority.sha256(),
        };
        tokio::spawn(accept(cloud, Some(acceptor), script.clone()));
        tokio::spawn(accept(imds, None, script.clone()));
        Self { script, endpoints: Endpoints::insecure_local(&local).unwrap() }
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.script.lock().unwrap().seen.clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.line).collect()
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    script: Arc<Mutex<Script>>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, script) = (tls.clone(), script.clone());
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(socket).await {
                        serve(TokioIo::new(stream), script).await;
                    }
                }
                None => serve(TokioIo::new(socket), script).await,
            }
        });
    }
}

async fn serve<I>(io: I, script: Arc<Mutex<Script>>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = hyper::service::service_fn(|request| answer(request, script.clone()));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    // A scripted cut ends in an error here, as it should.
    drop(served);
}

async fn answer(
    request: http::Request<Incoming>,
    script: Arc<Mutex<Script>>,
) -> Result<http::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    let host = parts
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let reply = {
        let mut script = script.lock().unwrap();
        script.seen.push(Request {
            line: format!("{} {host}{}", parts.method, parts.uri),
            headers: parts.headers,
            body,
        });
        script.replies.pop_front().unwrap_or_else(|| Reply::new(418, "the script is over"))
    };
    if reply.cut {
        return Err("cut".into());
    }
    let mut response = http::Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(reply.body)))?)
}

/// A credential with a fixed token.
#[derive(Debug)]
pub(crate) struct FixedToken;

#[async_trait::async_trait]
impl TokenCredential for FixedToken {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(
            format!("token for {}", scopes.join(" ")),
            OffsetDateTime::now_utc() + Duration::hours(1),
        ))
    }
}

pub(crate) fn credential() -> Arc<dyn TokenCredential> {
    Arc::new(FixedToken)
}

/// The recordings and vectors; absent on most machines.
pub(crate) fn corpus(test: &str, path: &str) -> Option<Vec<u8>> {
    let root = std::env::var("VOUCHSAFE_CORPUS").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus").to_owned()
    });
    let found = std::fs::read(std::path::Path::new(&root).join(path)).ok();
    if found.is_none() {
        #[expect(clippy::print_stderr, reason = "CI counts these lines")]
        {
            eprintln!("corpus absent: {test}");
        }
    }
    found
}
