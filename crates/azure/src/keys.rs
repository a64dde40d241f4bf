//! Key Vault keys, as far as a master key needs them: an exportable EC-HSM key under a release policy.
//!
//! Calls that concern an existing key name its version; there is no way here to ask for "the latest" to use it.
//! A signer's RSA key may be in a vault, too, and signs there; that is the only thing it does here.
//! There is no `decrypt` and no `unwrapkey` either: an EC key has neither, and that is why it is one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_security_keyvault_keys::models::{
    CreateKeyParameters, CurveName, KeyAttributes, KeyClientGetKeyOptions, KeyClientReleaseOptions,
    KeyClientSignOptions, KeyClientUpdateKeyPropertiesOptions, KeyEncryptionAlgorithm,
    KeyOperation, KeyReleasePolicy, KeyType, ReleaseParameters, SignParameters, SignatureAlgorithm,
    UpdateKeyPropertiesParameters,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use futures::TryStreamExt;
use url::Url;

use crate::call::{Call, Fault, Malformed};
use crate::endpoints::{Endpoints, Retries};
use crate::maa::AttestationToken;
use crate::release::{ReleaseJws, Wrapping};
use crate::vault::{Name, Version, settle};

mod error;
mod model;

pub use error::{KeyError, ReleaseError};
pub use model::{Curve, DeletedKey, Key, KeyKind, KeyPolicy, KeyVersion, PublicEc};

/// The keys of one vault.
#[derive(Clone)]
pub struct Client {
    vault: Url,
    patient: Arc<KeyClient>,
    /// For creation, where every attempt makes another version, and for release: none may happen unseen.
    single: Arc<KeyClient>,
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEcHsm {
    /// Its name.
    pub name: Name,
    /// Its curve.
    pub curve: Curve,
    /// Its release policy, and whether it can ever change.
    pub policy: KeyPolicy,
    /// Tags, for people.
    pub tags: BTreeMap<String, String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("keys::Client").field("vault", &self.vault.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the vault at `vault`, for example `https://vouchsafe.vault.azure.net`.
    pub fn new(
        endpoints: &Endpoints,
        vault: &Url,
        credential: Arc<dyn TokenCredential>,
    ) -> Result<Self, KeyError> {
        let call = Call::new("set up", vault.as_str());
        let client = |retries| {
            let options = KeyClientOptions {
                client_options: endpoints.client_options(retries),
                ..KeyClientOptions::default()
            };
            KeyClient::new(vault.as_str(), credential.clone(), Some(options))
                .map(Arc::new)
                .map_err(|error| Fault::from_sdk(&call, error))
        };
        Ok(Self {
            vault: vault.clone(),
            patient: client(Retries::Patient)?,
            single: client(Retries::None)?,
        })
    }

    /// Creates an exportable EC-HSM key that can sign and verify.
    ///
    /// If the name exists, Azure makes another version of it, so call this only after [`Client::latest`] said
    /// [`KeyError::NotFound`], and ask again after [`KeyError::Unavailable`]: the key may exist. Throttled attempts, which
    /// made nothing, are repeated here.
    pub async fn create_ec_hsm(&self, new: &NewEcHsm) -> Result<Key, KeyError> {
        let call = self.call("create key", &new.name, None);
        let mut pause = Duration::from_millis(500);
        for _ in 0..6 {
            match self.create_once(&call, new).await {
                Err(KeyError::Throttled(_)) => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
        self.create_once(&call, new).await
    }

    async fn create_once(&self, call: &Call, new: &NewEcHsm) -> Result<Key, KeyError> {
        let parameters = CreateKeyParameters {
            kty: Some(KeyType::EcHsm),
            curve: Some(match new.curve {
                Curve::P256 => CurveName::P256,
                Curve::P384 => CurveName::P384,
            }),
            key_ops: Some(vec![KeyOperation::Sign, KeyOperation::Verify]),
            key_attributes: Some(KeyAttributes {
                enabled: Some(true),
                exportable: Some(true),
                ..KeyAttributes::default()
            }),
            release_policy: Some(KeyReleasePolicy {
                content_type: Some("application/json; charset=utf-8".to_owned()),
                encoded_policy: Some(new.policy.document.to_string().into_bytes()),
                immutable: Some(new.policy.immutable),
            }),
            tags: Some(new.tags.clone().into_iter().collect()),
            ..CreateKeyParameters::default()
        };
        let sdk = |error| Fault::from_sdk(call, error);
        let made = self
            .single
            .create_key(new.name.as_str(), parameters.try_into().map_err(sdk)?, None)
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(sdk)?;
        Ok(Key::parse(call, made)?)
    }

    /// Reads one version of a key; also of a disabled one.
    pub async fn get(&self, name: &Name, version: &Version) -> Result<Key, KeyError> {
        let key = self.fetch(name, Some(version)).await?;
        if key.version != *version || key.name != *name {
            let call = self.call("get key", name, Some(version));
            return Err(Fault::Malformed(Malformed::new(&call, "the version asked for")).into());
        }
        Ok(key)
    }

    /// Reads the newest version of a key, to find out whether the name is taken.
    pub async fn latest(&self, name: &Name) -> Result<Key, KeyError> {
        self.fetch(name, None).await
    }

    async fn fetch(&self, name: &Name, version: Option<&Version>) -> Result<Key, KeyError> {
        let call = self.call("get key", name, version);
        let options = KeyClientGetKeyOptions {
            key_version: version.map(|version| version.as_str().to_owned()),
            ..KeyClientGetKeyOptions::default()
        };
        let key = self
            .patient
            .get_key(name.as_str(), Some(options))
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(|error| Fault::from_sdk(&call, error))?;
        Ok(Key::parse(&call, key)?)
    }

    /// All versions of a key, ordered by version id, which says nothing about time. None if there is no such key.
    pub async fn versions(&self, name: &Name) -> Result<Vec<KeyVersion>, KeyError> {
        let call = self.call("list key versions", name, None);
        let sdk = |error| Fault::from_sdk(&call, error);
        let mut pages =
            self.patient.list_key_properties_versions(name.as_str(), None).map_err(sdk)?;
        let mut versions = Vec::new();
        while let Some(item) = pages.try_next().await.map_err(sdk)? {
            versions.push(KeyVersion::parse(&call, item)?);
        }
        Ok(versions)
    }

    /// Releases a version of a key to the environment that `token` attests, wrapped to the first encryption key among the
    /// token's runtime claims.
    pub async fn release(
        &self,
        name: &Name,
        version: &Version,
        token: &AttestationToken,
    ) -> Result<ReleaseJws, ReleaseError> {
        let call = self.call("release key", name, Some(version));
        let mut pause = Duration::from_millis(300);
        for _ in 0..6 {
            match self.release_once(&call, name, version, token).await {
                Err(ReleaseError::Key(KeyError::Throttled(_) | KeyError::Unavailable(_))) => {
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
            pause *= 2;
        }
        self.release_once(&call, name, version, token).await
    }

    /// Each attempt is a request of its own: the SDK's client sends its first one without a body, to be challenged, and
    /// when something other than the challenge comes back its own retries go on without a body.
    async fn release_once(
        &self,
        call: &Call,
        name: &Name,
        version: &Version,
        token: &AttestationToken,
    ) -> Result<ReleaseJws, ReleaseError> {
        let parameters = ReleaseParameters {
            algorithm: Some(KeyEncryptionAlgorithm::RsaAesKeyWrap256),
            nonce: None,
            target_attestation_token: Some(token.expose().to_owned()),
        };
        let options = KeyClientReleaseOptions {
            key_version: Some(version.as_str().to_owned()),
            ..KeyClientReleaseOptions::default()
        };
        let sdk = |error| Fault::from_sdk(call, error);
        let released = self
            .single
            .release(name.as_str(), parameters.try_into().map_err(sdk)?, Some(options))
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(sdk)?;
        released
            .value
            .map(|text| ReleaseJws::new(text, Wrapping::Sha256))
            .ok_or_else(|| Fault::Malformed(Malformed::new(call, "value")).into())
    }

    /// Signs the SHA-256 of a message with an RSA key, as JOSE's RS256 wants it. A signer's key, never a master key.
    pub async fn sign_rs256(
        &self,
        name: &Name,
        version: &Version,
        sha256: &[u8; 32],
    ) -> Result<Vec<u8>, KeyError> {
        let call = self.call("sign with key", name, Some(version));
        let parameters = SignParameters {
            algorithm: Some(SignatureAlgorithm::Rs256),
            value: Some(sha256.to_vec()),
        };
        let options = KeyClientSignOptions {
            key_version: Some(version.as_str().to_owned()),
            ..KeyClientSignOptions::default()
        };
        let sdk = |error| Fault::from_sdk(&call, error);
        let signed = self
            .patient
            .sign(name.as_str(), parameters.try_into().map_err(sdk)?, Some(options))
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(sdk)?;
        signed.result.ok_or_else(|| Fault::Malformed(Malformed::new(&call, "value")).into())
    }

    /// Disables one version: it can no longer be released.
    pub async fn disable(&self, name: &Name, version: &Version) -> Result<Key, KeyError> {
        self.set_enabled("disable key", name, version, false).await
    }

    /// Enables one version again.
    pub async fn enable(&self, name: &Name, version: &Version) -> Result<Key, KeyError> {
        self.set_enabled("enable key", name, version, true).await
    }

    async fn set_enabled(
        &self,
        operation: &'static str,
        name: &Name,
        version: &Version,
        enabled: bool,
    ) -> Result<Key, KeyError> {
        let call = self.call(operation, name, Some(version));
        let parameters = UpdateKeyPropertiesParameters {
            key_attributes: Some(KeyAttributes {
                enabled: Some(enabled),
                ..KeyAttributes::default()
            }),
            ..UpdateKeyPropertiesParameters::default()
        };
        let options = KeyClientUpdateKeyPropertiesOptions {
            key_version: Some(version.as_str().to_owned()),
            ..KeyClientUpdateKeyPropertiesOptions::default()
        };
        let sdk = |error| Fault::from_sdk(&call, error);
        let key = self
            .patient
            .update_key_properties(
                name.as_str(),
                parameters.try_into().map_err(sdk)?,
                Some(options),
            )
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(sdk)?;
        Ok(Key::parse(&call, key)?)
    }

    /// Soft-deletes a key with all its versions, and waits until it is deleted.
    pub async fn delete(&self, name: &Name) -> Result<DeletedKey, KeyError> {
        let call = self.call("delete key", name, None);
        self.patient
            .delete_key(name.as_str(), None)
            .await
            .map_err(|error| Fault::from_sdk(&call, error))?;
        settle(|| self.deleted_or_none(name))
            .await?
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "the deletion's end")).into())
    }

    /// The soft-deleted key of that name.
    pub async fn deleted(&self, name: &Name) -> Result<DeletedKey, KeyError> {
        let call = self.call("get deleted key", name, None);
        let deleted = self
            .patient
            .get_deleted_key(name.as_str(), None)
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(|error| Fault::from_sdk(&call, error))?;
        Ok(DeletedKey::parse(&call, deleted)?)
    }

    async fn deleted_or_none(&self, name: &Name) -> Result<Option<DeletedKey>, KeyError> {
        match self.deleted(name).await {
            Err(KeyError::NotFound(_)) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Recovers a soft-deleted key with all its versions, and waits until it can be read.
    pub async fn recover(&self, name: &Name) -> Result<Key, KeyError> {
        let call = self.call("recover key", name, None);
        self.patient
            .recover_deleted_key(name.as_str(), None)
            .await
            .map_err(|error| Fault::from_sdk(&call, error))?;
        let probe = || async {
            match self.latest(name).await {
                Err(KeyError::NotFound(_)) => Ok(None),
                other => other.map(Some),
            }
        };
        settle(probe)
            .await?
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "the recovery's end")).into())
    }

    /// Destroys a soft-deleted key for good. A vault with purge protection refuses.
    pub async fn purge(&self, name: &Name) -> Result<(), KeyError> {
        let call = self.call("purge key", name, None);
        self.patient
            .purge_deleted_key(name.as_str(), None)
            .await
            .map(drop)
            .map_err(|error| Fault::from_sdk(&call, error).into())
    }

    fn call(&self, operation: &'static str, name: &Name, version: Option<&Version>) -> Call {
        let mut url = self.vault.clone();
        url.set_path(&match version {
            Some(version) => format!("keys/{name}/{version}"),
            None => format!("keys/{name}"),
        });
        Call::new(operation, url)
    }
}

#[cfg(test)]
mod tests;
