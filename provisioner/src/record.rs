//! What this machine has asked Azure for and not yet seen confirmed by a signed bundle.
//!
//! It is written *before* the call, so that a deployment stopped at any moment knows on its next run what of the things
//! that it then finds are its own: without it a key of the right name could be one that somebody imported. It holds no
//! secret: artefacts are kept as they are stored, wrapped.

use std::collections::BTreeMap;

use evidence::Sha256;
use jiff::Timestamp;
use protocol::bundle::Artefact;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::Failure;
use crate::state::{self, State};

/// The record of a deployment that is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u64,
    /// The deployment.
    pub deployment: String,
    /// Under which id this machine holds the deploy lease.
    pub lease: Uuid,
    /// The master key that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<AskedKey>,
    /// The artefacts that are being stored, for one version of the master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefacts: Option<Wrapped>,
    /// SHA-256 of the storage account's access key that is among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Sha256>,
}

/// A call that makes a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedKey {
    /// Its name.
    pub name: String,
    /// When it was asked for.
    pub asked: Timestamp,
    /// Random, sent along as a tag of the key: a key without it was made or imported by somebody else, whatever its
    /// name and time.
    pub nonce: String,
    /// What was made, once the answer is known; from then on nothing else is taken for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<MadeKey>,
}

/// The key that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeKey {
    /// Its version.
    pub version: String,
    /// SHA-256 of its public half.
    pub public_key_sha256: Sha256,
}

impl AskedKey {
    /// The tag that carries the nonce.
    pub const TAG: &str = "vouchsafe-asked";

    /// Whether a key found under the name shows that it was made by the recorded call.
    ///
    /// # Errors
    /// It does not.
    pub fn made_this(&self, tags: &BTreeMap<String, String>) -> Result<(), NotOurs> {
        match tags.get(Self::TAG) {
            Some(tag) if *tag == self.nonce => Ok(()),
            Some(_) | None => Err(NotOurs),
        }
    }
}

/// A key of the right name that the recorded call did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key does not carry the tag that this machine sent")]
pub struct NotOurs;

/// Artefacts as they are to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// The key that they are wrapped with, `NAME/VERSION`.
    pub key: String,
    /// The stored texts.
    pub values: BTreeMap<Artefact, String>,
}

impl Record {
    /// A record of nothing.
    #[must_use]
    pub fn new(deployment: &str, lease: Uuid) -> Self {
        Self {
            version: 1,
            deployment: deployment.to_owned(),
            lease,
            key: None,
            artefacts: None,
            access_key: None,
        }
    }

    /// Reads the record, if there is one.
    ///
    /// # Errors
    /// There is a file that is no record of this deployment.
    pub fn read(state: &State, deployment: &str) -> Result<Option<Self>, Failure> {
        let path = state.path(FILE);
        let Some(text) = state::read(&path)? else { return Ok(None) };
        let record = serde_json::from_str::<Self>(&text).ok();
        match record.filter(|record| record.version == 1 && record.deployment == deployment) {
            Some(record) => Ok(Some(record)),
            None => Err(Failure::refused(
                format!("{} is not a record of the deployment {deployment}", path.display()),
                "move the file away; a master key that was just made must then be adopted explicitly",
            )),
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, state: &State) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::of("writing the record", error, "this is a fault of ours"))?;
        state::write(&state.path(FILE), &text, 0o600)
    }

    /// Forgets it: the signed bundle and the lock say everything.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(state: &State) -> Result<(), Failure> {
        state::remove(&state.path(FILE))
    }
}

const FILE: &str = "deploy-record.json";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn survives_being_written_and_is_for_its_owner_and_deployment_only() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert_eq!(Record::read(&state, "dev").unwrap(), None);
        let mut record = Record::new("dev", Uuid::nil());
        let asked = "2026-11-22T05:00:00Z".parse().unwrap();
        record.key = Some(AskedKey {
            name: "dev-0123456789".to_owned(),
            asked,
            nonce: "random".to_owned(),
            made: None,
        });
        let values = [(Artefact::TlsPassword, "wrapped".to_owned())].into();
        record.artefacts = Some(Wrapped { key: "dev-0123456789/v".to_owned(), values });
        record.write(&state).unwrap();
        assert_eq!(Record::read(&state, "dev").unwrap(), Some(record));
        assert!(Record::read(&state, "prod").is_err());
        let mode = std::fs::metadata(state.path(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Record::remove(&state).unwrap();
        assert_eq!(Record::read(&state, "dev").unwrap(), None);
    }
}
