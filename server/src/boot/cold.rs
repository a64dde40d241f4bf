//! First step: the documents that say what to start, the keys of this boot, and evidence for them.

use std::str::FromStr as _;
use std::sync::Arc;

use attester::{Attester, AttesterError, Container, Device};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use azure::release::TransferKey;
use azure::{Auth, ManagedIdentity, keys, maa, secrets};
use azure_core::credentials::TokenCredential;
use protocol::bundle::{Bundle, BundleError};
use protocol::jwk::{Curve, EcPublicKey};
use protocol::runtime_data::{RuntimeData, RuntimeDataError};
use url::Url;

use super::unseal::Attested;
use crate::core::BootIdentity;
use crate::environment::Environment;
use crate::vault::{Vault, VaultError};

/// A process that knows its trust root and nothing else.
pub(super) struct Cold {
    environment: Environment,
    services: Services,
}

/// The services that a boot talks to.
pub(super) struct Services {
    pub(super) maa: maa::Client,
    pub(super) keys: keys::Client,
    pub(super) vault: Vault,
    pub(super) credential: Arc<dyn TokenCredential>,
}

impl Cold {
    pub(super) fn new(environment: Environment) -> Result<Self, ColdError> {
        let trust_root = environment.trust_root.body();
        let attestation = Url::from_str(&trust_root.attestation).map_err(ColdError::Address)?;
        let vault = Url::from_str(&trust_root.vault).map_err(ColdError::Address)?;
        let endpoints = &environment.endpoints;
        let credential = Auth::ManagedIdentity(ManagedIdentity::Only).credential(endpoints)?;
        let services = Services {
            maa: maa::Client::new(endpoints, &attestation, Arc::clone(&credential)),
            keys: keys::Client::new(endpoints, &vault, Arc::clone(&credential))?,
            vault: Vault::new(
                secrets::Client::new(endpoints, &vault, Arc::clone(&credential))?,
                trust_root.deployment.clone(),
            ),
            credential,
        };
        Ok(Self { environment, services })
    }

    /// Reads the bundle, makes the keys of this boot, and asks the hardware for one report that
    /// binds them.
    pub(super) async fn attest(self) -> Result<Attested, ColdError> {
        let Self { environment, services } = self;
        let bundle_text = services.vault.bundle_text().await?;
        let trust_root = &environment.trust_root;
        let bundle = Bundle::verify(&bundle_text, trust_root.deployment(), trust_root.signers())?;
        tracing::info!(serial = bundle.body().serial, signer = %bundle.signer(), "bundle verified");

        let attester = Container::new(&environment.security_context, device(&environment))?;
        // Key generation and the device both block.
        let made = tokio::task::spawn_blocking(move || Made::new(&attester)).await;
        let Made { transfer_key, boot } = made.map_err(ColdError::Task)??;
        Ok(Attested { environment, services, bundle, bundle_text, transfer_key, boot })
    }
}

/// The device is silicon's, unless the measured trust root says that this is the local cloud.
fn device(environment: &Environment) -> Device {
    match environment.trust_root.body().insecure_local {
        Some(_) => Device::InsecureSimulated,
        None => Device::Silicon,
    }
}

/// What is made once a boot.
struct Made {
    transfer_key: TransferKey,
    boot: BootIdentity,
}

impl Made {
    fn new(attester: &dyn Attester) -> Result<Self, ColdError> {
        let transfer_key = TransferKey::generate()?;
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| ColdError::BootKey)?;
        let public = EcPublicKey::from_point(Curve::P256, key.public_key().as_ref())
            .map_err(|_| ColdError::BootKey)?;
        let runtime_data =
            RuntimeData::new(transfer_key.modulus(), transfer_key.exponent(), &public)?;
        let evidence = attester.evidence(&runtime_data.binding())?;
        Ok(Self { transfer_key, boot: BootIdentity { evidence, runtime_data, key } })
    }
}

/// Why a process could not attest.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    /// An address of the trust root is not a URL.
    #[error("address in the trust root")]
    Address(#[source] url::ParseError),
    /// The managed identity cannot be used.
    #[error("managed identity")]
    Credential(#[from] azure::AuthError),
    /// The client of the vault's keys cannot be set up.
    #[error("client of the vault's keys")]
    Keys(#[from] keys::KeyError),
    /// The client of the vault's secrets cannot be set up.
    #[error("client of the vault's secrets")]
    Secrets(#[from] secrets::SecretError),
    /// The bundle cannot be read.
    #[error("reading the bundle")]
    Vault(#[from] VaultError),
    /// What was read is not this deployment's bundle.
    #[error("bundle")]
    Bundle(#[from] BundleError),
    /// No boot key could be made.
    #[error("making the boot key")]
    BootKey,
    /// No transfer key could be made.
    #[error("making the transfer key")]
    TransferKey(#[from] azure::release::UnwrapError),
    /// The runtime data cannot be written.
    #[error("runtime data")]
    RuntimeData(#[from] RuntimeDataError),
    /// The hardware gave no evidence.
    #[error("collecting evidence")]
    Attester(#[from] AttesterError),
    /// The blocking task ended early.
    #[error("collecting evidence")]
    Task(#[source] tokio::task::JoinError),
}
