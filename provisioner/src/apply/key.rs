//! Steps about the master key.

use azure::keys::{Curve, Key, KeyError, KeyPolicy, NewEcHsm};
use azure::{Name, Version};
use std::collections::BTreeMap;

use super::Applying;
use super::lease::patiently;
use crate::failure::{Failure, While as _};
use crate::inventory::vault::parse;
use crate::plan::{KeyChoice, check_key};
use crate::record::{AskedKey, MadeKey};
use protocol::bundle::MasterKeyRef;

impl Applying<'_> {
    /// Makes the key, once: the record says that we asked before we ask, and a lost answer is looked for before another
    /// call.
    pub(super) async fn create_key(&mut self) -> Result<(), Failure> {
        let wanted = &self.intent.rendered.master_key;
        let doing = || format!("making the master key {}", wanted.name());
        let name = parse(wanted.name())?;
        let document = serde_json::from_str(&wanted.release_policy().to_string())
            .map_err(|error| Failure::of(doing(), error, "this is a fault of ours"))?;
        let mut nonce = [0; 32];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| crate::failure::ours("making a nonce")())?;
        let nonce = protocol::b64::encode(&nonce);
        let new = NewEcHsm {
            name: name.clone(),
            curve: match wanted.curve() {
                manifest::Curve::P256 => Curve::P256,
                manifest::Curve::P384 => Curve::P384,
            },
            policy: KeyPolicy { document, immutable: wanted.immutable() },
            tags: BTreeMap::from([
                (TAG.to_owned(), self.deployment.name().to_owned()),
                (AskedKey::TAG.to_owned(), nonce.clone()),
            ]),
        };
        match patiently!(self, KeyError::Denied(_), self.cloud.keys.latest(&name)) {
            Err(KeyError::NotFound(_)) => {}
            Ok(_) => {
                return Err(Failure::new(
                    format!("the master key {name} was made by somebody else just now"),
                    "run again",
                ));
            }
            Err(error) => return Err(error).during(doing),
        }
        let asked =
            AskedKey { name: name.as_str().to_owned(), asked: self.now(), nonce, made: None };
        self.record.key = Some(asked.clone());
        self.record.write(&self.deployment.state)?;
        let made = match self.make(&new).await {
            Ok(made) => made,
            // What was asked for may still appear under the name.
            Err(lost @ (KeyError::Unavailable(_) | KeyError::Malformed(_))) => {
                return Err(lost).during(doing);
            }
            // Azure refused, so no key of ours can appear under the name.
            Err(refused) => {
                self.record.key = None;
                self.record.write(&self.deployment.state)?;
                return Err(refused).during(doing);
            }
        };
        asked.made_this(&made.tags).map_err(|_| {
            Failure::refused(
                format!("the key {name} is not the one that was asked for: somebody else made or imported it"),
                "find out who makes keys in this vault; delete and purge the key, and run again",
            )
        })?;
        let versions = self.cloud.keys.versions(&name).await.during(doing)?;
        if versions.len() != 1 {
            return Err(Failure::refused(
                format!(
                    "the master key {name} has {} versions, though one was made",
                    versions.len()
                ),
                "find out who makes keys in this vault; deploy with --adopt-master-key VERSION, or purge the key",
            ));
        }
        let key = check_key(self.intent, &made, None).map_err(|(reason, remedy)| {
            Failure::refused(format!("the master key {name} that was made {reason}"), remedy)
        })?;
        let public_key_sha256 = key.public_key.sha256();
        let made = Some(MadeKey { version: key.version.clone(), public_key_sha256 });
        self.record.key = Some(AskedKey { made, ..asked });
        self.record.write(&self.deployment.state)?;
        self.key = Some(key);
        Ok(())
    }

    /// Asks until there is an answer; what a lost answer may have made is looked for before asking again. Once an answer
    /// was lost a refusal says nothing about the key, so it is the loss that is reported.
    async fn make(&self, new: &NewEcHsm) -> Result<Key, KeyError> {
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let made = patiently!(self, KeyError::Denied(_), self.cloud.keys.create_ec_hsm(new));
            match made {
                Err(unknown @ KeyError::Unavailable(_)) => lost = Some(unknown),
                Err(refused) => return Err(lost.unwrap_or(refused)),
                Ok(made) => return Ok(made),
            }
            match self.cloud.keys.latest(&new.name).await {
                Ok(key) => return Ok(key),
                Err(KeyError::NotFound(_)) => {}
                Err(error) => return Err(lost.unwrap_or(error)),
            }
        }
        match lost {
            Some(lost) => Err(lost),
            None => self.cloud.keys.create_ec_hsm(new).await,
        }
    }

    pub(super) async fn recover_key(&self, name: &str) -> Result<(), Failure> {
        let name = parse(name)?;
        let recovered = patiently!(self, KeyError::Denied(_), self.cloud.keys.recover(&name));
        recovered.during(|| format!("recovering the key {name}")).map(drop)
    }

    pub(super) async fn enable_version(&self, name: &str, version: &str) -> Result<(), Failure> {
        let (name, version) = exact(name, version)?;
        let doing = || format!("enabling the key {name}/{version}");
        patiently!(self, KeyError::Denied(_), self.cloud.keys.enable(&name, &version))
            .during(doing)
            .map(drop)
    }

    pub(super) async fn disable_version(&self, name: &str, version: &str) -> Result<(), Failure> {
        let (name, version) = exact(name, version)?;
        let doing = || format!("disabling the key {name}/{version}");
        patiently!(self, KeyError::Denied(_), self.cloud.keys.disable(&name, &version))
            .during(doing)
            .map(drop)
    }

    /// The key of a choice, which may have been made in this run.
    pub(super) fn chosen(&self, choice: &KeyChoice) -> Result<MasterKeyRef, Failure> {
        match choice {
            KeyChoice::Pinned(key) => Ok(key.clone()),
            KeyChoice::Made => {
                self.key.clone().ok_or_else(crate::failure::ours("naming the master key"))
            }
        }
    }
}

fn exact(name: &str, version: &str) -> Result<(Name, Version), Failure> {
    let remedy = "this is a fault of ours; please report it";
    let version = version.parse().map_err(|error| Failure::of(version, error, remedy))?;
    Ok((parse(name)?, version))
}

/// How often a key is asked for whose making was not answered.
const ATTEMPTS: usize = 4;
/// Says whose key it is, to people.
const TAG: &str = "vouchsafe-deployment";
