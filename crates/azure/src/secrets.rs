//! Key Vault secrets: what is stored there is wrapped or signed before it comes here, and still it does not print.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_security_keyvault_secrets::models::{
    SecretClientGetSecretOptions, SecretClientUpdateSecretPropertiesOptions, SetSecretParameters,
    UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures::TryStreamExt;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::call::{Call, Fault, Malformed};
use crate::endpoints::{Endpoints, Retries};
use crate::vault::{Name, Version, settle};

mod error;
mod model;

pub use error::SecretError;
pub use model::{DeletedSecret, Secret, SecretVersion};

/// The secrets of one vault.
#[derive(Clone)]
pub struct Client {
    vault: Url,
    patient: Arc<SecretClient>,
    /// For writing: every attempt makes another version, so none may happen unseen.
    single: Arc<SecretClient>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("secrets::Client")
            .field("vault", &self.vault.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the vault at `vault`, for example `https://vouchsafe.vault.azure.net`.
    pub fn new(
        endpoints: &Endpoints,
        vault: &Url,
        credential: Arc<dyn TokenCredential>,
    ) -> Result<Self, SecretError> {
        let call = Call::new("set up", vault.as_str());
        let client = |retries| {
            let options = SecretClientOptions {
                client_options: endpoints.client_options(retries),
                ..SecretClientOptions::default()
            };
            SecretClient::new(vault.as_str(), credential.clone(), Some(options))
                .map(Arc::new)
                .map_err(|error| Fault::from_sdk(&call, error))
        };
        Ok(Self {
            vault: vault.clone(),
            patient: client(Retries::Patient)?,
            single: client(Retries::None)?,
        })
    }

    /// Stores a value as a new version of a secret, and says which version that is.
    ///
    /// An attempt whose outcome is not known is not repeated blindly: if the newest version then holds this value, it was
    /// stored and its version is the answer; if not, the value is sent again.
    pub async fn set(
        &self,
        name: &Name,
        value: &SecretString,
        content_type: Option<&str>,
        tags: &BTreeMap<String, String>,
    ) -> Result<SecretVersion, SecretError> {
        let call = self.call("set secret", name, None);
        let mut pause = Duration::from_millis(300);
        for _ in 0..6 {
            match self.set_once(&call, name, value, content_type, tags).await {
                Err(SecretError::Throttled(_)) => tokio::time::sleep(pause).await,
                Err(SecretError::Unavailable(_)) => {
                    tokio::time::sleep(pause).await;
                    if let Some(stored) = self.holds(name, value).await? {
                        return Ok(stored);
                    }
                }
                done => return done,
            }
            pause *= 2;
        }
        self.set_once(&call, name, value, content_type, tags).await
    }

    async fn set_once(
        &self,
        call: &Call,
        name: &Name,
        value: &SecretString,
        content_type: Option<&str>,
        tags: &BTreeMap<String, String>,
    ) -> Result<SecretVersion, SecretError> {
        let parameters = SetSecretParameters {
            value: Some(value.expose_secret().to_owned()),
            content_type: content_type.map(str::to_owned),
            tags: Some(tags.clone().into_iter().collect()),
            ..SetSecretParameters::default()
        };
        let sdk = |error| Fault::from_sdk(call, error);
        let stored = self
            .single
            .set_secret(name.as_str(), parameters.try_into().map_err(sdk)?, None)
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(sdk)?;
        Ok(Secret::parse(call, stored)?.about)
    }

    async fn holds(
        &self,
        name: &Name,
        value: &SecretString,
    ) -> Result<Option<SecretVersion>, SecretError> {
        match self.get(name, None).await {
            Ok(newest) => Ok(aws_lc_rs::constant_time::verify_slices_are_equal(
                newest.value.expose_secret().as_bytes(),
                value.expose_secret().as_bytes(),
            )
            .ok()
            .map(|()| newest.about)),
            Err(SecretError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a version of a secret, or the newest.
    pub async fn get(&self, name: &Name, version: Option<&Version>) -> Result<Secret, SecretError> {
        let call = self.call("get secret", name, version);
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(|version| version.as_str().to_owned()),
            ..SecretClientGetSecretOptions::default()
        };
        let secret = self
            .patient
            .get_secret(name.as_str(), Some(options))
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(|error| Fault::from_sdk(&call, error))?;
        let secret = Secret::parse(&call, secret)?;
        if version.is_some_and(|version| secret.about.version != *version) {
            return Err(Fault::Malformed(Malformed::new(&call, "the version asked for")).into());
        }
        Ok(secret)
    }

    /// All versions of a secret, ordered by version id, which says nothing about time. None if there is no such secret.
    pub async fn versions(&self, name: &Name) -> Result<Vec<SecretVersion>, SecretError> {
        let call = self.call("list secret versions", name, None);
        let sdk = |error| Fault::from_sdk(&call, error);
        let mut pages =
            self.patient.list_secret_properties_versions(name.as_str(), None).map_err(sdk)?;
        let mut versions = Vec::new();
        while let Some(item) = pages.try_next().await.map_err(sdk)? {
            versions.push(SecretVersion::parse(&call, item)?);
        }
        Ok(versions)
    }

    /// The names of all secrets of the vault.
    pub async fn names(&self) -> Result<Vec<Name>, SecretError> {
        let call = Call::new("list secrets", self.vault.as_str());
        let sdk = |error| Fault::from_sdk(&call, error);
        let mut pages = self.patient.list_secret_properties(None).map_err(sdk)?;
        let mut names = Vec::new();
        while let Some(item) = pages.try_next().await.map_err(sdk)? {
            names.push(SecretVersion::parse_name(&call, item)?);
        }
        Ok(names)
    }

    /// Replaces all tags of one version, in place.
    pub async fn update_tags(
        &self,
        name: &Name,
        version: &Version,
        tags: &BTreeMap<String, String>,
    ) -> Result<SecretVersion, SecretError> {
        let call = self.call("update secret tags", name, Some(version));
        let parameters = UpdateSecretPropertiesParameters {
            tags: Some(tags.clone().into_iter().collect()),
            ..UpdateSecretPropertiesParameters::default()
        };
        let options = SecretClientUpdateSecretPropertiesOptions {
            secret_version: Some(version.as_str().to_owned()),
            ..SecretClientUpdateSecretPropertiesOptions::default()
        };
        let sdk = |error| Fault::from_sdk(&call, error);
        let updated = self
            .patient
            .update_secret_properties(
                name.as_str(),
                parameters.try_into().map_err(sdk)?,
                Some(options),
            )
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(sdk)?;
        Ok(SecretVersion::parse_updated(&call, updated)?)
    }

    /// Soft-deletes a secret with all its versions, and waits until it is deleted.
    pub async fn delete(&self, name: &Name) -> Result<DeletedSecret, SecretError> {
        let call = self.call("delete secret", name, None);
        self.patient
            .delete_secret(name.as_str(), None)
            .await
            .map_err(|error| Fault::from_sdk(&call, error))?;
        let probe = || async {
            match self.deleted(name).await {
                Err(SecretError::NotFound(_)) => Ok(None),
                other => other.map(Some),
            }
        };
        settle(probe)
            .await?
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "the deletion's end")).into())
    }

    /// The soft-deleted secret of that name.
    pub async fn deleted(&self, name: &Name) -> Result<DeletedSecret, SecretError> {
        let call = self.call("get deleted secret", name, None);
        let deleted = self
            .patient
            .get_deleted_secret(name.as_str(), None)
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(|error| Fault::from_sdk(&call, error))?;
        Ok(DeletedSecret::parse(&call, deleted)?)
    }

    /// Recovers a soft-deleted secret with all its versions, and waits until it can be read.
    pub async fn recover(&self, name: &Name) -> Result<Secret, SecretError> {
        let call = self.call("recover secret", name, None);
        self.patient
            .recover_deleted_secret(name.as_str(), None)
            .await
            .map_err(|error| Fault::from_sdk(&call, error))?;
        let probe = || async {
            match self.get(name, None).await {
                Err(SecretError::NotFound(_)) => Ok(None),
                other => other.map(Some),
            }
        };
        settle(probe)
            .await?
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "the recovery's end")).into())
    }

    /// Destroys a soft-deleted secret for good. A vault with purge protection refuses.
    pub async fn purge(&self, name: &Name) -> Result<(), SecretError> {
        let call = self.call("purge secret", name, None);
        self.patient
            .purge_deleted_secret(name.as_str(), None)
            .await
            .map(drop)
            .map_err(|error| Fault::from_sdk(&call, error).into())
    }

    fn call(&self, operation: &'static str, name: &Name, version: Option<&Version>) -> Call {
        let mut url = self.vault.clone();
        url.set_path(&match version {
            Some(version) => format!("secrets/{name}/{version}"),
            None => format!("secrets/{name}"),
        });
        Call::new(operation, url)
    }
}

#[cfg(test)]
mod tests;
