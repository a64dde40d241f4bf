//! The server as its clients meet it: a TLS connection on which it first proves itself.
//!
//! No certificate is believed. The evidence answers our nonce and names the exporter of this very connection, so once
//! [`Connection::prove`] has returned, the far end is the attested server and the calls that follow may be trusted. Until
//! then nothing but the nonce is sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SecureRandom;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use protocol::attest::Nonce;
use protocol::server_evidence::{
    EXPORTER_LABEL, EvidenceAnswer, EvidenceRequest, Expectation, ServerRefused, VerifiedServer,
    verify,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to what may be the server.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    exporter: [u8; 32],
    chain: Vec<Vec<u8>>,
    host: String,
}

/// A connection to the server, which has proved itself on it.
pub struct Proven {
    connection: Connection,
    /// What was proved.
    pub server: VerifiedServer,
}

/// Why there is no proven connection, or no answer on it.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody answers, or not to the end.
    #[error("{address}: no answer")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer with an unexpected status.
    #[error("{path} answers {status}{}", said(codes))]
    Status {
        /// What was asked.
        path: String,
        /// The answer's status.
        status: StatusCode,
        /// The codes that the server gave.
        codes: Vec<String>,
    },
    /// An answer that is not of the expected form.
    #[error("{path}: the answer is not of the expected form")]
    Malformed {
        /// What was asked.
        path: String,
    },
    /// It is not the server that it should be.
    #[error("the server did not prove itself")]
    Refused(#[from] ServerRefused),
    /// This machine has no randomness.
    #[error("no randomness for a nonce")]
    Random,
}

impl ServerError {
    /// Whether the server may only not be ready yet.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            Self::Malformed { .. } | Self::Refused(_) | Self::Random => false,
        }
    }
}

impl Connection {
    /// Connects. `name` is what the server is asked for; what it shows is not believed.
    ///
    /// # Errors
    /// Nobody there who speaks TLS 1.3 and HTTP.
    pub async fn open(address: SocketAddr, name: &str) -> Result<Self, ServerError> {
        let attempt = tokio::time::timeout(CONNECT, Self::connect(address, name)).await;
        let unreachable = |cause| ServerError::Unreachable { address: address.to_string(), cause };
        match attempt {
            Ok(connected) => connected.map_err(unreachable),
            Err(elapsed) => Err(unreachable(elapsed.into())),
        }
    }

    async fn connect(
        address: SocketAddr,
        name: &str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let provider = Arc::new(default_provider());
        let verifier = Arc::new(DangerAcceptsAnyCertificate(provider.clone()));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let server_name = match ServerName::try_from(name.to_owned()) {
            Ok(name) => name,
            Err(_) => ServerName::IpAddress(address.ip().into()),
        };
        let stream = TlsConnector::from(Arc::new(config)).connect(server_name, tcp).await?;
        let (_, session) = stream.get_ref();
        let exporter = session.export_keying_material([0; 32], EXPORTER_LABEL, None)?;
        let certificates = session.peer_certificates().unwrap_or_default();
        let chain = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; an error shows at the request that it breaks.
        drop(tokio::spawn(driver));
        Ok(Self { sender, exporter, chain, host: name.to_owned() })
    }

    /// Makes the far end prove that it is the server.
    ///
    /// # Errors
    /// No answer, or one that proves something else.
    pub async fn prove(
        mut self,
        expect: &Expectation,
        now: Timestamp,
        rng: &dyn SecureRandom,
    ) -> Result<Proven, ServerError> {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes).map_err(|_| ServerError::Random)?;
        let nonce = Nonce(bytes);
        let request = EvidenceRequest { version: 1, nonce };
        let malformed = || ServerError::Malformed { path: EVIDENCE.to_owned() };
        let body = serde_json::to_value(&request).map_err(|_| malformed())?;
        let (status, answer) = self.send(Method::POST, EVIDENCE, None, Some(&body)).await?;
        if status != StatusCode::OK {
            return Err(refusal(EVIDENCE, status, &answer));
        }
        let answer: EvidenceAnswer = serde_json::from_slice(&answer).map_err(|_| malformed())?;
        let server = verify(expect, &answer, &request.nonce, &self.exporter, now)?;
        Ok(Proven { connection: self, server })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), ServerError> {
        let unreachable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            ServerError::Unreachable { address: path.to_owned(), cause }
        };
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        if let Some(token) = token {
            request = request.header("x-vault-token", token);
        }
        let bytes = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Bytes::from(json.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(|error| unreachable(error.into()))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body.to_bytes()))
        };
        match tokio::time::timeout(ANSWER, exchange).await {
            Ok(answered) => answered.map_err(unreachable),
            Err(elapsed) => Err(unreachable(elapsed.into())),
        }
    }
}

impl Proven {
    /// The certificate chain that the proven server showed, DER.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.connection.chain
    }

    /// The status of its health, as Vault defines it: 200 is serving.
    ///
    /// # Errors
    /// No answer.
    pub async fn health(&mut self) -> Result<StatusCode, ServerError> {
        self.connection.send(Method::GET, "/v1/sys/health", None, None).await.map(|(status, _)| status)
    }

    /// Posts JSON and reads JSON.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value, ServerError> {
        let (status, answer) = self.connection.send(Method::POST, path, None, Some(body)).await?;
        if !status.is_success() {
            return Err(refusal(path, status, &answer));
        }
        serde_json::from_slice(&answer)
            .map_err(|_| ServerError::Malformed { path: path.to_owned() })
    }
}

fn refusal(path: &str, status: StatusCode, answer: &[u8]) -> ServerError {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let codes = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    let codes = codes.filter_map(Value::as_str);
    // Another's text: cut, and without what a terminal would act on.
    let clean = |code: &str| code.chars().filter(|c| !c.is_control()).take(200).collect();
    ServerError::Status {
        path: path.to_owned(),
        status,
        codes: codes.take(4).map(clean).collect(),
    }
}

fn said(codes: &[String]) -> String {
    if codes.is_empty() { String::new() } else { format!(": {}", codes.join(", ")) }
}

/// Accepts any certificate, because none decides anything here: the server's evidence names the TLS exporter of the
/// connection, which only the two ends of it know. The handshake's signature is still checked, so the certificate that
/// was shown is the far end's.
#[derive(Debug)]
struct DangerAcceptsAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for DangerAcceptsAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const EVIDENCE: &str = "/vouchsafe/v1/evidence";
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 4 << 20;
