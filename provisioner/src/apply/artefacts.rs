//! Storing what the server opens with the master key: TLS material with its password, the storage account's access key.
//!
//! What is to be stored is recorded first, wrapped as it will be; a run that was cut off stores just that, and what it finds
//! stored already is not stored again.

use std::collections::BTreeMap;

use aws_lc_rs::rand::SystemRandom;
use azure::secrets::SecretError;
use evidence::Sha256;
use infra::Kind;
use manifest::TlsSource;
use protocol::bundle::{Artefact, SecretRef};
use protocol::wrap::{Context, seal};
use secrecy::{ExposeSecret as _, SecretString};

use super::Applying;
use super::lease::patiently;
use crate::failure::{Failure, While as _};
use crate::inventory::reading::{id, version};
use crate::inventory::vault::{ACCESS_KEY_TAG, parse};
use crate::record::Wrapped;
use crate::tls;

impl Applying<'_> {
    pub(super) async fn store_tls(&mut self) -> Result<(), Failure> {
        let key = self.wrapping_key()?;
        let recorded =
            self.recorded(&key, Artefact::Tls).zip(self.recorded(&key, Artefact::TlsPassword));
        let (text, password) = match recorded {
            Some(pair) => pair,
            None => {
                let made = self.material()?;
                let wrapped = self.wrap(Artefact::TlsPassword, made.password.as_bytes())?;
                self.remember(
                    &key,
                    [(Artefact::Tls, made.pem.clone()), (Artefact::TlsPassword, wrapped.clone())],
                )?;
                (made.pem, wrapped)
            }
        };
        let none = BTreeMap::new();
        self.store(Artefact::Tls, text, &none).await?;
        self.store(Artefact::TlsPassword, password, &none).await
    }

    pub(super) async fn store_storage_key(&mut self) -> Result<(), Failure> {
        let key = self.wrapping_key()?;
        let account = self.intent.rendered.resources.find(Kind::StorageAccount);
        let account = account.ok_or_else(crate::failure::ours("finding the storage account"))?;
        let path = id(account.id().as_str())?;
        let keys = self.cloud.arm.storage_keys(&path, version(account)).await;
        let keys = keys.during(|| "reading the storage account's access key".to_owned())?;
        let first = keys
            .first()
            .ok_or_else(|| Failure::new("the storage account has no access key", "run again"))?;
        let secret = first.value.expose_secret().as_bytes();
        let digest = Sha256::of(secret);
        let text = match self.recorded(&key, Artefact::StorageKey) {
            Some(text) if self.record.access_key == Some(digest) => text,
            Some(_) | None => {
                let wrapped = self.wrap(Artefact::StorageKey, secret)?;
                self.record.access_key = Some(digest);
                self.remember(&key, [(Artefact::StorageKey, wrapped.clone())])?;
                wrapped
            }
        };
        let tags = BTreeMap::from([(ACCESS_KEY_TAG.to_owned(), digest.to_string())]);
        self.store(Artefact::StorageKey, text, &tags).await
    }

    fn material(&self) -> Result<tls::Material, Failure> {
        let rng = SystemRandom::new();
        let wanted = self.deployment.manifest.tls();
        match (wanted.source, &wanted.pkcs12) {
            (TlsSource::Pkcs12, Some(file)) => {
                let material = tls::import_file(&self.deployment.beside(file.as_str()), &rng)?;
                tls::covers(&material, &wanted.names)?;
                Ok(material)
            }
            (TlsSource::Pkcs12 | TlsSource::Provisioner | TlsSource::Server, _) => {
                tls::make(self.deployment.name(), &wanted.names, self.now(), &rng)
            }
        }
    }

    /// The name of the key that artefacts of this run are wrapped with.
    fn wrapping_key(&self) -> Result<String, Failure> {
        let key = self.key.as_ref().ok_or_else(crate::failure::ours("naming the master key"))?;
        Ok(key.id())
    }

    fn wrap(&self, artefact: Artefact, secret: &[u8]) -> Result<String, Failure> {
        let key = self.key.as_ref().ok_or_else(crate::failure::ours("naming the master key"))?;
        let id = key.id();
        let context =
            Context { deployment: self.deployment.name(), key: &id, artefact: artefact.name() };
        seal(&key.public_key, context, secret).map_err(|error| {
            Failure::of("wrapping with the master key", error, "this is a fault of ours")
        })
    }

    fn recorded(&self, key: &str, artefact: Artefact) -> Option<String> {
        let wrapped = self.record.artefacts.as_ref().filter(|wrapped| wrapped.key == key)?;
        wrapped.values.get(&artefact).cloned()
    }

    fn remember<const N: usize>(
        &mut self,
        key: &str,
        values: [(Artefact, String); N],
    ) -> Result<(), Failure> {
        let fresh = || Wrapped { key: key.to_owned(), values: BTreeMap::new() };
        let kept = self.record.artefacts.take().filter(|wrapped| wrapped.key == key);
        let mut wrapped = kept.unwrap_or_else(fresh);
        wrapped.values.extend(values);
        self.record.artefacts = Some(wrapped);
        self.record.write(&self.deployment.state)
    }

    async fn store(
        &mut self,
        artefact: Artefact,
        text: String,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let secret = artefact.secret_name(self.deployment.name());
        let sha256 = Sha256::of(text.as_bytes());
        let version = self.set_secret(&secret, text, tags).await?;
        self.stored.insert(artefact, SecretRef { secret, version, sha256 });
        Ok(())
    }

    /// Stores a value, unless it is the newest already, and says under which version it is.
    pub(super) async fn set_secret(
        &self,
        secret: &str,
        text: String,
        tags: &BTreeMap<String, String>,
    ) -> Result<String, Failure> {
        let doing = || format!("storing the secret {secret}");
        let name = parse(secret)?;
        let newest = patiently!(self, SecretError::Denied(_), self.cloud.secrets.get(&name, None));
        match newest {
            Ok(newest) if newest.value.expose_secret() == text => {
                return Ok(newest.about.version.as_str().to_owned());
            }
            Ok(_) | Err(SecretError::NotFound(_) | SecretError::Disabled(_)) => {}
            Err(error) => return Err(error).during(doing),
        }
        let value = SecretString::from(text);
        let set = || self.cloud.secrets.set(&name, &value, None, tags);
        let stored = match set().await {
            Err(SecretError::Deleted(_)) => {
                self.cloud.secrets.recover(&name).await.during(doing)?;
                set().await
            }
            other => other,
        };
        Ok(stored.during(doing)?.version.as_str().to_owned())
    }
}
