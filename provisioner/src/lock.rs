//! The lock: what was deployed, as it was verified, to be committed and reviewed beside the manifest.
//!
//! It pins what Azure alone could exchange: the master key's version and public half, the store's identity, the serial of
//! the bundle. A lost lock is made again from a server's verified evidence and the signed bundle.

use std::path::Path;

use evidence::{HostData, Sha256};
use protocol::jwk::EcPublicKey;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::state;

/// What is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format; 1.
    pub version: u64,
    /// The deployment's name.
    pub deployment: String,
    /// The manifest's revision.
    pub revision: u64,
    /// SHA-256 of the manifest's canonical form.
    pub manifest_sha256: Sha256,
    /// The bundle's serial.
    pub serial: u64,
    /// The server.
    pub server: Server,
    /// The master key.
    pub master_key: MasterKey,
    /// The store.
    pub store: Store,
    /// The server's certificate.
    pub tls: Tls,
}

/// The server's software.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The image by digest, as the container group names it.
    pub image: String,
    /// What the hardware reports.
    pub host_data: HostData,
    /// `x-ms-policy-hash` of the attestation policy.
    pub attestation_policy: String,
}

/// The one version of the one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterKey {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the uncompressed public point.
    pub public_key_sha256: Sha256,
}

/// The store that was born.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// SHA-256 of the identity's SubjectPublicKeyInfo.
    pub identity: Sha256,
    /// The identity's public key.
    pub public_key: EcPublicKey,
}

/// The certificate that the verified server showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// SHA-256 of its DER.
    pub certificate_sha256: Sha256,
}

impl Lock {
    /// Reads a lock, if there is one.
    ///
    /// # Errors
    /// There is a file that is no lock of this deployment.
    pub fn read(path: &Path, deployment: &str) -> Result<Option<Self>, Failure> {
        let Some(text) = state::read(path)? else { return Ok(None) };
        let bad = |what: String| {
            Failure::refused(
                format!("{}: {what}", path.display()),
                "restore the lock from version control, or remove it: it is made again from verified evidence",
            )
        };
        let lock: Self = toml::from_str(&text).map_err(|error| bad(error.message().to_owned()))?;
        if lock.version != 1 {
            return Err(bad(format!("a lock of version {}, expected 1", lock.version)));
        }
        if lock.deployment != deployment {
            return Err(bad(format!("a lock of the deployment {}", lock.deployment)));
        }
        Ok(Some(lock))
    }

    /// Its text.
    ///
    /// # Errors
    /// Never, unless this is a fault of ours.
    pub fn text(&self) -> Result<String, Failure> {
        let body = toml::to_string(self)
            .map_err(|error| Failure::of("writing the lock", error, "this is a fault of ours"))?;
        Ok(format!("{HEAD}{body}"))
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        state::write(path, &self.text()?, 0o644)
    }
}

const HEAD: &str = "# What is deployed, as it was verified. Written by `cargo xtask deploy`; commit it, do not edit it.\n";

#[cfg(test)]
mod tests {
    use protocol::jwk::Curve;

    use super::*;

    fn lock() -> Lock {
        let public_key =
            EcPublicKey::from_point(Curve::P256, &[&[4_u8][..], &[9; 64]].concat()).unwrap();
        Lock {
            version: 1,
            deployment: "dev".to_owned(),
            revision: 3,
            manifest_sha256: Sha256::of(b"manifest"),
            serial: 2,
            server: Server {
                image: "vouchsafedev.azurecr.io/vouchsafe/server@sha256:00".to_owned(),
                host_data: "5a".repeat(32).parse().unwrap(),
                attestation_policy: "hash".to_owned(),
            },
            master_key: MasterKey {
                name: "dev-0123456789".to_owned(),
                version: "0123456789abcdef0123456789abcdef".to_owned(),
                public_key_sha256: Sha256::of(b"key"),
            },
            store: Store { identity: Sha256::of(b"identity"), public_key },
            tls: Tls { certificate_sha256: Sha256::of(b"certificate") },
        }
    }

    #[test]
    fn is_read_as_it_was_written_and_for_its_deployment_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev.lock");
        assert_eq!(Lock::read(&path, "dev").unwrap(), None);
        lock().write(&path).unwrap();
        assert_eq!(Lock::read(&path, "dev").unwrap(), Some(lock()));
        assert!(Lock::read(&path, "prod").is_err());
    }

    #[test]
    fn another_version_or_an_unknown_member_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev.lock");
        let text = lock().text().unwrap();
        for other in [text.replace("version = 1", "version = 2"), format!("more = 1\n{text}")] {
            std::fs::write(&path, other).unwrap();
            assert!(Lock::read(&path, "dev").is_err());
        }
    }
}
