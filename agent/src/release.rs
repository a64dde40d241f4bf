//! From an address to the secrets, each step a type that the next one consumes:
//! `Unproven → Trusted → Released`.

use std::collections::BTreeMap;

use attester::{Attester, AttesterError, Vm};
use evidence::{RevocationStatus, Step};
use manifest::SecretPath;
use protocol::attest::{
    AttestRequest, Challenge, ChallengeAnswer, EphemeralKey, Nonce, RefusalCode, WorkloadEvidence,
    binding, vm_binding,
};
use protocol::grant::{EphemeralSecret, Exchange, SealError, Sealed, SecretText};
use protocol::server_evidence::{Expectation, Server, ServerRefused};
use server_client::{CallError, ConnectError, Connection, Proven, Unproven};

use crate::Surroundings;
use crate::config::Config;
use crate::fault::chain;
use crate::memory::{MeetError, Memory, MemoryError, Rollback};
use crate::revocation::NoList;

/// A confirmed server of the pinned deployment, not older than any seen, on its connection.
#[derive(Debug)]
pub struct Trusted {
    server: Server,
    connection: Connection,
}

/// What the application runs in, and so what speaks for it.
#[derive(Debug, Clone, Copy)]
pub enum Machine<'m> {
    /// A confidential container.
    Container(&'m dyn Attester),
    /// A confidential virtual machine.
    Vm(&'m Vm),
}

impl Machine<'_> {
    fn evidence(
        self,
        deployment: &str,
        challenge: &Challenge,
        key: &EphemeralKey,
    ) -> Result<WorkloadEvidence, AttesterError> {
        match self {
            Self::Container(attester) => attester
                .evidence(&binding(deployment, challenge, key))
                .map(WorkloadEvidence::Container),
            Self::Vm(vm) => {
                vm.evidence(&vm_binding(deployment, challenge, key).nonce).map(WorkloadEvidence::Vm)
            }
        }
    }
}

/// The secrets that the server released to this workload.
#[derive(Debug)]
pub struct Released {
    workload: String,
    secrets: BTreeMap<String, SecretText>,
}

impl Trusted {
    /// Connects to the configured server and verifies it. In this order:
    /// 1. the server's evidence ([`protocol::server_evidence::verify`]) under the pins, with what is
    ///    remembered as the minimum, and with AMD's revocation list for its processor;
    /// 2. a signer has confirmed its store;
    /// 3. its store is the remembered one and not behind it;
    ///
    /// and then remembers it.
    ///
    /// # Errors
    /// The first that does not hold, or nobody answers.
    pub async fn meet(config: &Config, around: Surroundings<'_>) -> Result<Self, MeetingError> {
        let pins = config.pins();
        let memory = Memory::load(config.state(), pins).map_err(MeetingError::Memory)?;
        let mut nonce = [0; 32];
        around.rng.fill(&mut nonce).map_err(|_| MeetingError::NoRandomness)?;
        let unproven = Unproven::connect(config.server()).await.map_err(MeetingError::Connect)?;
        let shown = unproven.ask(Nonce(nonce)).await.map_err(MeetingError::Evidence)?;
        let lists = around.lists.of(shown.answer().claimed_product()).await;
        let (revocation_lists, mut none) = match lists {
            Ok(lists) => (lists, None),
            Err(none) => (Vec::new(), Some(none)),
        };
        let expect = Expectation {
            deployment: pins.deployment.as_str().to_owned(),
            signers: pins.signers.clone(),
            anchors: config.roots().anchors(),
            revocation_lists,
            minimum_revision: memory.minimum_revision(pins),
            minimum_serial: memory.minimum_serial(pins),
        };
        let proven = shown.prove(&expect, (around.clock)());
        let (server, connection) =
            proven.and_then(Proven::confirmed).map_err(|refused| match (refused, none.take()) {
                // Without a list nothing is revoked; that step refused because it needs one.
                (ServerRefused::Evidence(refusal), Some(none))
                    if refusal.step == Step::Revocation =>
                {
                    MeetingError::NoList(none)
                }
                (refused, _) => MeetingError::Untrusted(refused),
            })?;
        if let RevocationStatus::Unknown(_) = server.report().hardware().revocation() {
            let reason = none.map_or_else(|| "no list is of use".to_owned(), |none| chain(&none));
            tracing::warn!(
                reason,
                "whether the server's processor is revoked is unknown, which the manifest permits"
            );
        }
        memory.meet(pins, server.statement()).map_err(|error| match error {
            MeetError::Rollback(rollback) => MeetingError::Rollback(rollback),
            MeetError::Memory(error) => MeetingError::Memory(error),
        })?;
        Ok(Self { server, connection })
    }

    /// What the server proved.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Asks for all configured secrets with evidence that binds the server's challenge and a key
    /// that is made for this one answer.
    ///
    /// # Errors
    /// No evidence, a refusal, or an answer that is not the one to this question.
    pub async fn ask(
        mut self,
        config: &Config,
        machine: Machine<'_>,
    ) -> Result<Released, AskError> {
        #[derive(serde::Serialize)]
        struct Nothing {}
        let challenge: ChallengeAnswer =
            self.connection.post(CHALLENGE, &Nothing {}).await.map_err(AskError::Challenge)?;
        if challenge.version != 1 {
            return Err(AskError::Answer("version"));
        }
        let challenge = challenge.challenge;
        let deployment = config.pins().deployment.as_str();
        let key = EphemeralSecret::generate().map_err(AskError::Sealed)?;
        // Blocking is no harm: there is nothing else to do meanwhile.
        let evidence = machine.evidence(deployment, &challenge, key.public())?;
        let request = AttestRequest {
            version: 1,
            challenge,
            public_key: *key.public(),
            evidence,
            secrets: config.paths().iter().map(|path| path.as_str().to_owned()).collect(),
        };
        let sealed: Sealed =
            self.connection.post(ATTEST, &request).await.map_err(AskError::Attest)?;
        let identity = self.server.statement().identity.id();
        let exchange = Exchange { deployment, identity, challenge };
        let body = key.open(exchange, &sealed).map_err(AskError::Sealed)?;
        if body.version != 1 {
            return Err(AskError::Answer("version"));
        }
        let secrets: BTreeMap<String, SecretText> =
            body.secrets.into_iter().map(|(path, secret)| (path, secret.value)).collect();
        match config.paths().iter().find(|path| !secrets.contains_key(path.as_str())) {
            Some(path) => Err(AskError::Missing { path: path.as_str().to_owned() }),
            None => Ok(Released { workload: body.workload, secrets }),
        }
    }
}

impl Released {
    /// The workload that the server found us to be.
    #[must_use]
    pub fn workload(&self) -> &str {
        &self.workload
    }

    /// A secret's value.
    pub(crate) fn secret(&self, path: &SecretPath) -> Option<&SecretText> {
        self.secrets.get(path.as_str())
    }

    #[cfg(test)]
    pub(crate) fn of(secrets: &[(&str, &str)]) -> Self {
        let secret = |(path, value): &(&str, &str)| {
            ((*path).to_owned(), SecretText::new(zeroize::Zeroizing::new((*value).to_owned())))
        };
        Self { workload: "demo".into(), secrets: secrets.iter().map(secret).collect() }
    }
}

/// Why the server is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum MeetingError {
    /// Nobody there.
    #[error(transparent)]
    Connect(ConnectError),
    /// It gave no evidence.
    #[error("asking the server for its evidence")]
    Evidence(#[source] CallError),
    /// The manifest demands a revocation list, and there is none.
    #[error("the server is not trusted without a revocation list")]
    NoList(#[source] NoList),
    /// It is not the server that was asked for.
    #[error("the server is not trusted")]
    Untrusted(#[source] ServerRefused),
    /// It is older than one that was seen.
    #[error("the server is not trusted")]
    Rollback(#[source] Rollback),
    /// What was seen cannot be read or written.
    #[error("the agent's memory")]
    Memory(#[source] MemoryError),
    /// No nonce.
    #[error("the system gave no randomness")]
    NoRandomness,
}

/// Why a trusted server released nothing to us.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No challenge.
    #[error("asking for a challenge")]
    Challenge(#[source] CallError),
    /// No evidence of our own.
    #[error("collecting evidence")]
    Evidence(#[from] AttesterError),
    /// No answer to the evidence.
    #[error("asking for the secrets")]
    Attest(#[source] CallError),
    /// The answer does not open.
    #[error("opening the server's answer")]
    Sealed(#[source] SealError),
    /// The answer is of another form.
    #[error("malformed {0} in the server's answer")]
    Answer(&'static str),
    /// The answer lacks something.
    #[error("the answer lacks the secret {path}")]
    Missing {
        /// Which.
        path: String,
    },
}

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It is a matter of time.
    Passing,
    /// It will be the same.
    Lasting,
}

impl MeetingError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn outlook(&self) -> Outlook {
        match self {
            Self::Connect(_) | Self::Untrusted(ServerRefused::Unconfirmed) => Outlook::Passing,
            Self::NoList(NoList::Kds(_)) => Outlook::Passing,
            Self::NoList(NoList::Product | NoList::Nowhere) => Outlook::Lasting,
            Self::Evidence(error) => of_call(error),
            Self::Untrusted(_) | Self::Rollback(_) | Self::Memory(_) | Self::NoRandomness => {
                Outlook::Lasting
            }
        }
    }
}

impl AskError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn outlook(&self) -> Outlook {
        match self {
            Self::Challenge(error) | Self::Attest(error) => of_call(error),
            Self::Evidence(_) | Self::Sealed(_) | Self::Answer(_) | Self::Missing { .. } => {
                Outlook::Lasting
            }
        }
    }
}

const fn of_call(error: &CallError) -> Outlook {
    match error {
        CallError::Refused(refused) => match refused.code {
            RefusalCode::RateLimited | RefusalCode::Unavailable | RefusalCode::Sealed => {
                Outlook::Passing
            }
            RefusalCode::Malformed
            | RefusalCode::Rejected
            | RefusalCode::Denied
            | RefusalCode::NotFound
            | RefusalCode::NotSupported => Outlook::Lasting,
        },
        CallError::Broken(_) | CallError::TimedOut | CallError::NotAnAnswer { .. } => {
            Outlook::Passing
        }
        CallError::TooLarge | CallError::Question => Outlook::Lasting,
    }
}

const CHALLENGE: &str = "/vouchsafe/v1/challenge";
const ATTEST: &str = "/vouchsafe/v1/attest";
