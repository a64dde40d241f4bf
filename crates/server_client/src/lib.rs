//! One connection to a server, which first proves itself and is then asked.
//!
//! Agents and admin tools use it. It trusts nothing that the network says: any TLS certificate is
//! accepted, because a certificate proves nothing about an enclave. What counts is that the
//! server's statement, signed by a key that the hardware vouches for, names the exporter of this
//! very connection ([`protocol::server_evidence`]). So there are three types: an [`Unproven`]
//! connection can do nothing but [`Unproven::ask`], what it [`Shown`] nothing but [`Shown::prove`],
//! and each consumes it; a [`Connection`] is made there and nowhere else, and is lost, with its
//! proof, when it breaks.
//!
//! Answers are read up to a fixed size, within a fixed time, and only as JSON of the type asked for.

use std::time::Duration;

use jiff::Timestamp;
use protocol::attest::Nonce;
use protocol::server_evidence::{
    EXPORTER_LABEL, EvidenceAnswer, EvidenceRequest, Expectation, Server, ServerRefused,
    VerifiedServer,
};
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

mod address;
mod danger;
#[cfg(test)]
mod tests;
mod wire;

pub use address::{Address, NotAnAddress};
use wire::Wire;
pub use wire::{CallError, Refused};

/// A connection to somebody.
#[derive(Debug)]
pub struct Unproven {
    exporter: [u8; 32],
    certificates: Vec<CertificateDer<'static>>,
    wire: Wire,
}

/// A connection on which somebody showed evidence, which nobody has judged yet.
#[derive(Debug)]
pub struct Shown {
    unproven: Unproven,
    nonce: Nonce,
    answer: EvidenceAnswer,
}

/// A connection to a server that proved, on it, which server it is.
#[derive(Debug)]
pub struct Connection {
    certificates: Vec<CertificateDer<'static>>,
    wire: Wire,
}

/// A server that proved itself, and the connection on which it did.
#[derive(Debug)]
pub struct Proven {
    /// What it proved.
    pub server: VerifiedServer,
    /// At whose far end it is.
    pub connection: Connection,
}

impl Unproven {
    /// Connects: TLS 1.3, any certificate.
    ///
    /// # Errors
    /// Nobody listens, or it is not TLS 1.3 with HTTP/1.1.
    pub async fn connect(address: &Address) -> Result<Self, ConnectError> {
        let connecting = async {
            let stream =
                TcpStream::connect(address.target()).await.map_err(ConnectError::Connect)?;
            stream.set_nodelay(true).map_err(ConnectError::Connect)?;
            let stream = danger::connector()
                .map_err(ConnectError::Tls)?
                .connect(address.server_name(), stream)
                .await
                .map_err(ConnectError::Handshake)?;
            // RFC 9266 §2: no context; in TLS 1.3 that is the same as an empty one.
            let exporter = stream
                .get_ref()
                .1
                .export_keying_material([0; 32], EXPORTER_LABEL, None)
                .map_err(ConnectError::Tls)?;
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = shown.iter().map(|shown| shown.clone().into_owned()).collect();
            let wire = Wire::new(stream, address).await.map_err(ConnectError::Http)?;
            Ok(Self { exporter, certificates, wire })
        };
        timeout(PATIENCE, connecting).await.map_err(|_| ConnectError::TimedOut)?
    }

    /// Demands the server's evidence for `nonce`, which must be fresh, on this connection.
    ///
    /// # Errors
    /// The server gives none.
    pub async fn ask(mut self, nonce: Nonce) -> Result<Shown, CallError> {
        let request = EvidenceRequest { version: 1, nonce };
        let answer = self.wire.post(EVIDENCE, &request).await?;
        Ok(Shown { unproven: self, nonce, answer })
    }
}

impl Shown {
    /// What the server showed. It proves nothing yet; it says which collateral is needed.
    #[must_use]
    pub const fn answer(&self) -> &EvidenceAnswer {
        &self.answer
    }

    /// Believes the server if what it showed is what `expect` says.
    ///
    /// # Errors
    /// It is not.
    pub fn prove(self, expect: &Expectation, now: Timestamp) -> Result<Proven, ServerRefused> {
        let Self { unproven: Unproven { exporter, certificates, wire }, nonce, answer } = self;
        let server = protocol::server_evidence::verify(expect, &answer, &nonce, &exporter, now)?;
        Ok(Proven { server, connection: Connection { certificates, wire } })
    }
}

impl Proven {
    /// Server and connection, if a signer has confirmed the server's store.
    ///
    /// # Errors
    /// The bundle names no store identity yet.
    pub fn confirmed(self) -> Result<(Server, Connection), ServerRefused> {
        Ok((self.server.confirmed()?, self.connection))
    }
}

impl Connection {
    /// The certificates that the proven server showed, its own first: what ordinary clients of it may be told to trust.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Asks with the token of a login from now on, and waits this long for each answer.
    ///
    /// # Errors
    /// The token is none.
    pub fn log_in(&mut self, token: &str, patience: Duration) -> Result<(), CallError> {
        self.wire.log_in(token, patience)
    }

    /// Posts `question` as JSON and reads the answer.
    ///
    /// # Errors
    /// A refusal, a broken connection, or something that is no such answer.
    pub async fn post<Q, A>(&mut self, path: &str, question: &Q) -> Result<A, CallError>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        self.wire.post(path, question).await
    }

    /// Reads what is at `path`.
    ///
    /// # Errors
    /// A refusal, a broken connection, or something that is no such answer.
    pub async fn get<A: DeserializeOwned>(&mut self, path: &str) -> Result<A, CallError> {
        self.wire.get(path).await
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name does not resolve, or nobody listens.
    #[error("connecting to the server")]
    Connect(#[source] std::io::Error),
    /// Not TLS 1.3, or cut off.
    #[error("the TLS handshake with the server")]
    Handshake(#[source] std::io::Error),
    /// TLS without what we need of it.
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
    /// The HTTP layer did not start.
    #[error("starting HTTP with the server")]
    Http(#[source] hyper::Error),
    /// It took too long.
    #[error("no connection to the server within {} seconds", PATIENCE.as_secs())]
    TimedOut,
}

const EVIDENCE: &str = "/vouchsafe/v1/evidence";
/// For the connection, and for each call.
const PATIENCE: Duration = Duration::from_secs(30);
