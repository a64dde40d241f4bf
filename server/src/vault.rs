//! The deployment's Key Vault, as a server uses it: bundle, artefacts, shares and the anchor.
//!
//! Anyone with rights on the vault may write there, so nothing that is read is believed until the
//! bundle's signature or hash, a share's MAC, or the anchor's MAC vouches for it.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use async_trait::async_trait;
use azure::anchor::TagStore;
use azure::secrets::{Client, SecretError};
use azure::{InvalidName, Name, Version};
use evidence::Sha256;
use protocol::bundle::{self, ANCHOR_TAG, SecretRef};
use secrecy::{ExposeSecret as _, SecretString};
use store::{AnchorStore, AnchorStoreError, SealedAnchor};

/// The secrets of the deployment's vault.
#[derive(Debug, Clone)]
pub struct Vault {
    client: Client,
    deployment: String,
}

impl Vault {
    /// The vault of a deployment.
    #[must_use]
    pub const fn new(client: Client, deployment: String) -> Self {
        Self { client, deployment }
    }

    /// The newest text in the bundle's place, unverified.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub async fn bundle_text(&self) -> Result<String, VaultError> {
        let name = Name::from_str(&bundle::secret_name(&self.deployment))?;
        Ok(self.client.get(&name, None).await?.value.expose_secret().to_owned())
    }

    /// The value of an exact version, which must hash to what a signer signed.
    ///
    /// # Errors
    /// It cannot be read, or is another value.
    pub async fn artefact(&self, reference: &SecretRef) -> Result<SecretString, VaultError> {
        let value = self.exact(&reference.secret, &reference.version).await?;
        reference.check(value.expose_secret())?;
        Ok(value)
    }

    /// The value of an exact version.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn exact(&self, name: &str, version: &str) -> Result<SecretString, VaultError> {
        let (name, version) = (Name::from_str(name)?, Version::from_str(version)?);
        Ok(self.client.get(&name, Some(&version)).await?.value)
    }

    /// Stores a value as a new version, and says which that is.
    ///
    /// # Errors
    /// It cannot be stored.
    pub async fn put(&self, name: &str, value: &SecretString) -> Result<String, VaultError> {
        let name = Name::from_str(name)?;
        let stored = self.client.set(&name, value, None, &BTreeMap::new()).await?;
        Ok(stored.version.as_str().to_owned())
    }

    /// Where the anchor of a store of this identity is kept.
    ///
    /// # Errors
    /// The name is not one, which does not happen.
    pub fn anchor(&self, identity: Sha256) -> Result<VaultAnchor, VaultError> {
        let name = Name::from_str(&bundle::anchor_name(identity))?;
        Ok(VaultAnchor { client: self.client.clone(), name })
    }
}

/// Why the vault gave no usable value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The vault did not answer as asked.
    #[error("key vault")]
    Secret(#[from] SecretError),
    /// A document names a secret that cannot exist.
    #[error("name or version of a secret")]
    Name(#[from] InvalidName),
    /// The value is not the one that a signer signed for.
    #[error("artefact")]
    Artefact(#[from] bundle::WrongArtefact),
}

/// The freshness anchor: a tag of the one version of a secret, changed in place, since versions
/// of a secret can never be removed.
#[derive(Debug, Clone)]
pub struct VaultAnchor {
    client: Client,
    name: Name,
}

#[async_trait]
impl AnchorStore for VaultAnchor {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        match self.client.get(&self.name, None).await {
            Ok(secret) => match secret.about.tags.get(ANCHOR_TAG) {
                Some(text) => Ok(Some(text.parse()?)),
                None => Ok(None),
            },
            Err(SecretError::NotFound(_)) => Ok(None),
            Err(error) => Err(AnchorStoreError::Unavailable(Box::new(error))),
        }
    }

    async fn write(&self, anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        let unavailable = |error: SecretError| AnchorStoreError::Unavailable(Box::new(error));
        let tags = BTreeMap::from([(ANCHOR_TAG.to_owned(), anchor.to_string())]);
        let place = TagStore::open_or_create(
            self.client.clone(),
            self.name.clone(),
            "the anchor is in the tags",
        );
        place.await.map_err(unavailable)?.write_tags(&tags).await.map_err(unavailable)
    }
}
