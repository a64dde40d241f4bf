//! What the provisioner wrapped for the server, opened: the TLS password and material, and the way
//! to the storage.

use std::str::FromStr as _;
use std::sync::Arc;

use azure::blob;
use object_store::ObjectStore;
use protocol::bundle::{Artefact, Bundle, BundleError, StoreAuth};
use protocol::encrypted_key::{self, EncryptedKeyError};
use protocol::wrap::{Context, MasterKey, WrapError};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::cold::Services;
use crate::environment::Environment;
use crate::vault::VaultError;

/// TLS material of the provisioner's: a certificate chain in PEM, and its key.
pub(super) struct TlsMaterial {
    pub(super) chain_pem: String,
    pub(super) key_pkcs8: Zeroizing<Vec<u8>>,
}

/// Opens the TLS material, if the bundle names any; without, the server makes its own.
pub(super) async fn tls(
    services: &Services,
    bundle: &Bundle,
    key: &MasterKey,
) -> Result<Option<TlsMaterial>, ArtefactError> {
    let Some(reference) = bundle.body().artefacts.get(&Artefact::Tls) else { return Ok(None) };
    let password = open(services, bundle, key, Artefact::TlsPassword).await?;
    let material = services.vault.artefact(reference).await?;
    let key_pkcs8 = encrypted_key::open(material.expose_secret(), &password)?;
    Ok(Some(TlsMaterial { chain_pem: material.expose_secret().to_owned(), key_pkcs8 }))
}

/// Opens the way to the store's container.
pub(super) async fn storage(
    environment: &Environment,
    services: &Services,
    bundle: &Bundle,
    key: &MasterKey,
) -> Result<Arc<dyn ObjectStore>, ArtefactError> {
    let at = &bundle.body().store;
    let access = match at.auth {
        StoreAuth::AccessKey => {
            let access_key = open(services, bundle, key, Artefact::StorageKey).await?;
            let text = std::str::from_utf8(&access_key).map_err(|_| ArtefactError::StorageKey)?;
            blob::Auth::AccessKey(SecretString::from(text.to_owned()))
        }
        StoreAuth::ManagedIdentity => blob::Auth::Bearer(Arc::clone(&services.credential)),
    };
    let address = Url::from_str(&at.endpoint).map_err(ArtefactError::Address)?;
    Ok(blob::object_store(&environment.endpoints, &address, &at.container, &access)?)
}

async fn open(
    services: &Services,
    bundle: &Bundle,
    key: &MasterKey,
    artefact: Artefact,
) -> Result<Zeroizing<Vec<u8>>, ArtefactError> {
    let value = services.vault.artefact(bundle.artefact(artefact)?).await?;
    let id = bundle.body().master_key.id();
    let context =
        Context { deployment: &bundle.body().deployment, key: &id, artefact: artefact.name() };
    Ok(key.open(context, value.expose_secret())?)
}

/// Why an artefact could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// The bundle names none.
    #[error("artefact in the bundle")]
    Bundle(#[from] BundleError),
    /// It cannot be read, or is not the one that a signer signed for.
    #[error("reading an artefact")]
    Vault(#[from] VaultError),
    /// The master key does not open it.
    #[error("unwrapping an artefact")]
    Wrap(#[from] WrapError),
    /// The password does not open the TLS key.
    #[error("tls key")]
    TlsKey(#[from] EncryptedKeyError),
    /// The storage key is not text.
    #[error("the storage key is not text")]
    StorageKey,
    /// The storage client cannot be set up.
    #[error("storage")]
    Storage(#[from] blob::StoreSetupError),
    /// The bundle's storage address is not a URL.
    #[error("address of the storage account")]
    Address(#[source] url::ParseError),
}
