//! From a cold process to a server that answers: `Cold → Attested → Unsealed → Core`, one state a
//! type, each consumed to make the next.
//!
//! A state holds only what the next step needs, so what must not outlive a step cannot: the master
//! key lives inside [`unseal::Attested::unseal`] and nowhere else. One report and one key release a boot.

mod artefacts;
mod birth;
mod cold;
pub(crate) mod documents;
mod release;
mod tls;
mod unseal;

use std::sync::Arc;

pub use artefacts::ArtefactError;
pub use birth::BirthError;
pub use cold::ColdError;
pub use documents::DocumentError;
pub use release::ReleaseError;
pub use tls::TlsError;
pub use unseal::UnsealError;

use crate::core::{Core, Phase};
use crate::environment::Environment;
use cold::Cold;

/// A server that is ready to answer.
pub struct Booted {
    /// What it is, and whether a signer has confirmed its store.
    pub phase: Phase,
    /// How it authenticates on the wire.
    pub tls: Arc<rustls::ServerConfig>,
}

/// Boots, from nothing but the environment.
///
/// # Errors
/// The step that failed.
pub async fn boot(environment: Environment) -> Result<Booted, BootError> {
    let attested = Cold::new(environment)?.attest().await?;
    tracing::info!(step = "attested", "evidence of this boot collected");
    let unsealed = attested.unseal().await?;
    tracing::info!(step = "unsealed", "store open, master key dropped");
    unsealed.load().await
}

impl Core {
    /// The phase that the bundle in force puts this server into.
    #[must_use]
    pub fn phase(self: &Arc<Self>) -> Phase {
        match &self.in_force().bundle.body().identity {
            Some(identity) if *identity == self.identity => Phase::Serving(Arc::clone(self)),
            Some(_) | None => Phase::Unconfirmed(Arc::clone(self)),
        }
    }
}

/// Why a boot ended.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Before the evidence.
    #[error("attesting")]
    Cold(#[from] ColdError),
    /// At the secure key release.
    #[error("releasing the master key")]
    Release(#[from] ReleaseError),
    /// At what the master key wraps.
    #[error("opening the artefacts")]
    Artefact(#[from] ArtefactError),
    /// While a store was made.
    #[error("giving birth to the store")]
    Birth(#[from] BirthError),
    /// While the store was opened.
    #[error("unsealing the store")]
    Unseal(#[from] UnsealError),
    /// At the bundle or the manifest.
    #[error("loading the documents in force")]
    Document(#[from] DocumentError),
    /// At the TLS material.
    #[error("setting up tls")]
    Tls(#[from] TlsError),
}
