//! A place for an anchor: the tags of one version of a Key Vault secret, changed in place.
//!
//! Versions of a secret cannot be removed, so an anchor that made a version at every change would fill the vault. What the
//! tags mean, and that nobody forged them, is for the store to say; this module only reads and writes them.

use std::collections::BTreeMap;

use crate::secrets::{Client, SecretError};
use crate::vault::{Name, Version};

/// The tags of one version of a secret.
#[derive(Debug, Clone)]
pub struct TagStore {
    secrets: Client,
    name: Name,
    version: Version,
}

impl TagStore {
    /// The tags of that version.
    #[must_use]
    pub fn new(secrets: Client, name: Name, version: Version) -> Self {
        Self { secrets, name, version }
    }

    /// The tags of the newest version of that secret; if there is no such secret, one is made with the given content.
    pub async fn open_or_create(
        secrets: Client,
        name: Name,
        content: &str,
    ) -> Result<Self, SecretError> {
        let version = match secrets.get(&name, None).await {
            Ok(secret) => secret.about.version,
            Err(SecretError::NotFound(_)) => {
                secrets
                    .set(&name, &content.to_owned().into(), None, &BTreeMap::new())
                    .await?
                    .version
            }
            Err(error) => return Err(error),
        };
        Ok(Self::new(secrets, name, version))
    }

    /// The version whose tags these are.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Reads the tags.
    pub async fn read_tags(&self) -> Result<BTreeMap<String, String>, SecretError> {
        let secret = self.secrets.get(&self.name, Some(&self.version)).await?;
        Ok(secret.about.tags)
    }

    /// Replaces the tags: at most 15, names up to 512 and values up to 256 characters.
    pub async fn write_tags(&self, tags: &BTreeMap<String, String>) -> Result<(), SecretError> {
        self.secrets.update_tags(&self.name, &self.version, tags).await.map(drop)
    }
}
