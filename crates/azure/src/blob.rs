//! Blob storage: an object store for a container, and leases on its blobs.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use object_store::azure::{AzureAccessKey, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientOptions, CredentialProvider, ObjectStore};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::endpoints::Endpoints;

mod lease;

pub use lease::{Lease, LeaseDuration, LeaseError, Leases};

/// How to be let in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Auth {
    /// With a key of the storage account, in base64.
    AccessKey(SecretString),
    /// With an access token.
    Bearer(Arc<dyn TokenCredential>),
}

/// An object store could not be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreSetupError {
    /// The address is not that of a storage account.
    #[error("the address is not of the form https://ACCOUNT.blob.core.windows.net")]
    Address,
    /// The container's name is not one.
    #[error("a container's name has 3 to 63 lower-case letters, digits and single hyphens")]
    Container,
    /// The access key is not base64.
    #[error("the storage account's key is not base64")]
    AccessKey,
    /// The library refused its configuration.
    #[error("setting up the object store")]
    Library,
}

impl StoreSetupError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Address | Self::Container => "check [storage] in the manifest",
            Self::AccessKey => "store the account's key again",
            Self::Library => "this is a fault of ours",
        }
    }
}

/// The objects of a container at `address`, for example `https://vouchsafe.blob.core.windows.net`.
///
/// The store's `Debug` shows no key. Its requests are retried; a conditional create whose answer was lost then says that
/// the object exists, and its caller must look whether it is its own.
pub fn object_store(
    endpoints: &Endpoints,
    address: &Url,
    container: &str,
    auth: &Auth,
) -> Result<Arc<dyn ObjectStore>, StoreSetupError> {
    let account = account(address).ok_or(StoreSetupError::Address)?;
    check_container(container)?;
    let credential: Arc<dyn CredentialProvider<Credential = AzureCredential>> = match auth {
        Auth::AccessKey(key) => Arc::new(SharedKey(Arc::new(AzureCredential::AccessKey(
            AzureAccessKey::try_new(key.expose_secret().trim())
                .map_err(|_| StoreSetupError::AccessKey)?,
        )))),
        Auth::Bearer(credential) => Arc::new(Token(credential.clone())),
    };
    let store = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_endpoint(address.as_str().trim_end_matches('/').to_owned())
        .with_container_name(container)
        .with_credentials(credential)
        .with_http_connector(Shared(endpoints.http().clone()))
        .build()
        .map_err(|_| StoreSetupError::Library)?;
    Ok(Arc::new(store))
}

fn account(address: &Url) -> Option<&str> {
    if address.scheme() != "https" || !matches!(address.path(), "" | "/") {
        return None;
    }
    address.host_str()?.strip_suffix(".blob.core.windows.net").filter(|account| {
        (3..=24).contains(&account.len())
            && account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn check_container(name: &str) -> Result<(), StoreSetupError> {
    let fits = (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-');
    fits.then_some(()).ok_or(StoreSetupError::Container)
}

/// Hands our HTTP client to the library, whose own options do not apply.
#[derive(Debug)]
struct Shared(reqwest::Client);

impl HttpConnector for Shared {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// The library's own provider would print the key.
struct SharedKey(Arc<AzureCredential>);

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey")
    }
}

#[async_trait::async_trait]
impl CredentialProvider for SharedKey {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        Ok(self.0.clone())
    }
}

struct Token(Arc<dyn TokenCredential>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Token {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let token = self.0.get_token(&[SCOPE], None).await.map_err(|error| {
            object_store::Error::Generic { store: "azure", source: Box::new(error) }
        })?;
        Ok(Arc::new(AzureCredential::BearerToken(token.token.secret().to_owned())))
    }
}

const SCOPE: &str = "https://storage.azure.com/.default";

#[cfg(test)]
mod tests;
