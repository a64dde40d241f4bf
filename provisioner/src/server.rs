//! The server as this program meets it: on a connection on which it first proves itself.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::rand::SecureRandom;
use evidence::{RevocationStatus, Step};
use jiff::Timestamp;
use protocol::attest::{Nonce, RefusalCode};
use protocol::server_evidence::{Expectation, ServerRefused, VerifiedServer};
use serde_json::Value;
use server_client::{CallError, ConnectError, Connection, Unproven};

use crate::revocation::{Lists, NoList};

/// A server that proved itself, and the connection on which it did.
pub struct Proven {
    connection: Connection,
    /// What was proved.
    pub server: VerifiedServer,
    no_list: Option<NoList>,
}

/// Why there is no proven connection, or no answer on it.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody answers.
    #[error("{address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: ConnectError,
    },
    /// It gave no evidence, or refused a call.
    #[error("asking the server")]
    Call(#[source] CallError),
    /// The manifest demands a revocation list, and there is none.
    #[error("the server did not prove itself without a revocation list")]
    NoList(#[source] NoList),
    /// It is not the server that it should be.
    #[error("the server did not prove itself")]
    Refused(#[source] ServerRefused),
    /// This machine has no randomness.
    #[error("no randomness for a nonce")]
    Random,
}

impl ServerError {
    /// Whether the server may only not be ready yet.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Call(CallError::Broken(_) | CallError::TimedOut) => true,
            Self::Call(CallError::NotAnAnswer { status }) => *status >= 500,
            Self::Call(CallError::Refused(refused)) => {
                matches!(refused.code, RefusalCode::Unavailable | RefusalCode::Sealed)
            }
            Self::Call(CallError::TooLarge | CallError::Question) => false,
            Self::NoList(_) | Self::Refused(_) | Self::Random => false,
        }
    }
}

/// Connects, and makes the far end prove that it is the server.
///
/// # Errors
/// No answer, or one that proves something else.
pub async fn prove(
    address: SocketAddr,
    expect: &Expectation,
    lists: &Lists,
    now: Timestamp,
    rng: &dyn SecureRandom,
) -> Result<Proven, ServerError> {
    let mut nonce = [0; 32];
    rng.fill(&mut nonce).map_err(|_| ServerError::Random)?;
    let unproven = Unproven::connect(&address.into())
        .await
        .map_err(|cause| ServerError::Connect { address, cause })?;
    let shown = unproven.ask(Nonce(nonce)).await.map_err(ServerError::Call)?;
    let (revocation_lists, no_list) = match lists.of(shown.answer().claimed_product()).await {
        Ok(lists) => (lists, None),
        Err(none) => (Vec::new(), Some(none)),
    };
    let expect = Expectation { revocation_lists, ..expect.clone() };
    match shown.prove(&expect, now) {
        Ok(server_client::Proven { server, connection }) => {
            Ok(Proven { connection, server, no_list })
        }
        // Without a list nothing is revoked; that step refused because it needs one.
        Err(ServerRefused::Evidence(refusal)) if refusal.step == Step::Revocation => Err(no_list
            .map_or(ServerError::Refused(ServerRefused::Evidence(refusal)), ServerError::NoList)),
        Err(refused) => Err(ServerError::Refused(refused)),
    }
}

impl Proven {
    /// Why nobody knows whether the server's processor is revoked, if the manifest permits that nobody does.
    #[must_use]
    pub fn unknown_revocation(&self) -> Option<String> {
        let (VerifiedServer::Confirmed(server) | VerifiedServer::Unconfirmed(server)) =
            &self.server;
        match (server.report().hardware().revocation(), &self.no_list) {
            (RevocationStatus::NotRevoked { .. }, _) => None,
            (RevocationStatus::Unknown(_), None) => Some("no list is of use".to_owned()),
            (RevocationStatus::Unknown(_), Some(NoList::Kds(error))) => Some(error.to_string()),
            (RevocationStatus::Unknown(_), Some(none @ NoList::Product)) => Some(none.to_string()),
        }
    }

    /// The certificate chain that the proven server showed, DER.
    #[must_use]
    pub fn chain(&self) -> Vec<Vec<u8>> {
        self.connection.certificates().iter().map(|shown| shown.to_vec()).collect()
    }

    /// Its health as Vault defines it.
    ///
    /// # Errors
    /// No answer.
    pub async fn health(&mut self) -> Result<Health, ServerError> {
        match self.connection.get::<Value>("/v1/sys/health").await {
            Ok(_) => Ok(Health::Serving),
            Err(CallError::NotAnAnswer { status }) => Ok(Health::Not { status }),
            Err(CallError::Refused(refused)) => Ok(Health::Not { status: refused.code.status() }),
            Err(error) => Err(ServerError::Call(error)),
        }
    }

    /// Asks for something that needs a login and may take its time.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn ask(
        &mut self,
        token: &str,
        patience: Duration,
        path: &str,
    ) -> Result<Value, ServerError> {
        self.connection.log_in(token, patience).map_err(ServerError::Call)?;
        self.connection.post(path, &serde_json::json!({})).await.map_err(ServerError::Call)
    }

    /// Posts JSON and reads JSON.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value, ServerError> {
        self.connection.post(path, body).await.map_err(ServerError::Call)
    }
}

/// A server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Serving,
    /// It does not.
    Not {
        /// Vault's status for it: 501 not initialized, 503 sealed.
        status: u16,
    },
}
