//! The bundle: what a signer says a server needs to start, where it is, and what it hashes to.
//!
//! A bundle lives in the Key Vault secret [`secret_name`], which anyone with rights on the vault
//! may overwrite; only the signature makes it one. [`Bundle::verify`] is the only way to have a
//! [`Bundle`], and it demands the deployment's name. That its serial never goes back is checked
//! by whoever remembers an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SecureRandom;
use evidence::{HostData, Sha256};
use serde::{Deserialize, Serialize};

use crate::jwk::{Curve, EcPublicKey};
use crate::jws::{self, DocumentType, JwsError, SignerCertificate, SignerId, ToSign};
use crate::version::Version;

/// The Key Vault secret that holds a deployment's bundle; read without a version.
#[must_use]
pub fn secret_name(deployment: &str) -> String {
    format!("vouchsafe-{deployment}-bundle")
}

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleBody {
    /// Format; 1.
    pub version: u64,
    /// Whose bundle it is.
    pub deployment: String,
    /// Only grows; a server refuses one below the highest that its store has seen.
    pub serial: u64,
    /// The lowest manifest revision that may be in force.
    pub minimum_revision: u64,
    /// The key that opens the artefacts and the shares.
    pub master_key: MasterKeyRef,
    /// Every artefact by name.
    pub artefacts: BTreeMap<Artefact, SecretRef>,
    /// Where the store is.
    pub store: StoreRef,
    /// The blob of the signed manifest, in the store's container.
    pub manifest: String,
    /// The permitted HOST_DATA values of servers.
    pub host_data: BTreeSet<HostData>,
    /// The store's identity, once a signer has confirmed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity: Option<Identity>,
    /// Until then, the birth that is permitted. A bundle with neither permits no store at all, as the last one of a
    /// deployment that was destroyed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub birth: Option<BirthMark>,
}

/// Says which bundle permitted a store's birth: random, signed into the bundle, and kept in the store from its birth on.
/// Only a store with the mark of the bundle in force can become the deployment's, so none of an earlier deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BirthMark(Sha256);

impl BirthMark {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, Unspecified> {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes)?;
        Ok(Self(Sha256::new(bytes)))
    }
}

/// The exact master key: its version, its public half and what guards its release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterKeyRef {
    /// Name in the trust root's vault.
    pub name: String,
    /// Version, 32 hex digits.
    pub version: String,
    /// The public half.
    pub public_key: EcPublicKey,
    /// The release policy, parsed; compared as content, since Key Vault spells it anew.
    pub release_policy: serde_json::Value,
    /// Whether the release policy can never be changed.
    pub immutable: bool,
}

impl MasterKeyRef {
    /// How wrapping contexts name the key: `NAME/VERSION`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.public_key.curve()
    }
}

/// A thing that the provisioner put into Key Vault for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Artefact {
    /// Certificate chain and encrypted PKCS#8 key, PEM.
    Tls,
    /// The password of that key, wrapped with the master key.
    TlsPassword,
    /// The storage account's access key, wrapped with the master key.
    StorageKey,
}

impl Artefact {
    /// The name in documents, secret names and wrapping contexts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::TlsPassword => "tls-password",
            Self::StorageKey => "storage-key",
        }
    }

    /// The Key Vault secret that holds it.
    #[must_use]
    pub fn secret_name(self, deployment: &str) -> String {
        format!("vouchsafe-{deployment}-{}", self.name())
    }
}

/// One version of a Key Vault secret, and what its value must hash to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Name.
    pub secret: String,
    /// Version, 32 hex digits.
    pub version: String,
    /// SHA-256 of the value's UTF-8.
    pub sha256: Sha256,
}

impl SecretRef {
    /// Takes a value that storage gave, if it is the signed one.
    ///
    /// # Errors
    /// It hashes to something else.
    pub fn check<'v>(&self, value: &'v str) -> Result<&'v str, WrongArtefact> {
        if Sha256::of(value.as_bytes()) == self.sha256 {
            Ok(value)
        } else {
            Err(WrongArtefact { secret: self.secret.clone(), version: self.version.clone() })
        }
    }
}

/// A value that is not the one that a signer signed for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret {secret}, version {version}, is not the value that the bundle names")]
pub struct WrongArtefact {
    secret: String,
    version: String,
}

/// Where the store's objects are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRef {
    /// `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: String,
    /// The storage account's name.
    pub account: String,
    /// The container's name.
    pub container: String,
    /// How the server shows that it may use it.
    pub auth: StoreAuth,
}

/// How a server authenticates to the storage account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAuth {
    /// The account's access key, from [`Artefact::StorageKey`].
    AccessKey,
    /// The container group's managed identity.
    ManagedIdentity,
}

/// A store's identity: the key that it made at birth and keeps inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The public half, P-256.
    pub public_key: EcPublicKey,
}

impl Identity {
    /// How documents name it: SHA-256 of the DER SubjectPublicKeyInfo (RFC 5480).
    #[must_use]
    pub fn id(&self) -> Sha256 {
        Sha256::of(&[P256_SPKI_HEAD, self.public_key.point()].concat())
    }
}

/// The Key Vault secret whose tag [`ANCHOR_TAG`] is the freshness anchor of the store of this identity.
#[must_use]
pub fn anchor_name(identity: Sha256) -> String {
    let identity = identity.to_string();
    format!("anchor-{}", identity.get(..16).unwrap_or_default())
}

/// Tag values hold 256 characters, an anchor at most 210.
pub const ANCHOR_TAG: &str = "anchor";

/// A bundle that one of the deployment's signers signed.
#[derive(Debug)]
pub struct Bundle {
    body: BundleBody,
    signer: SignerId,
    digest: Sha256,
}

impl Bundle {
    /// Verifies signature, type, form, and that it is for this deployment.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(
        compact: &str,
        deployment: &str,
        signers: &BTreeSet<SignerId>,
    ) -> Result<Self, BundleError> {
        let verified = jws::verify(DocumentType::Bundle, compact, signers)?;
        let version: Version = serde_json::from_slice(verified.payload())?;
        if version.version != 1 {
            return Err(BundleError::Version { found: version.version });
        }
        let body: BundleBody = serde_json::from_slice(verified.payload())?;
        if body.deployment != deployment {
            return Err(BundleError::Deployment { expected: deployment.to_owned() });
        }
        if body.host_data.is_empty() {
            return Err(BundleError::NoServer);
        }
        if let Some(identity) = &body.identity
            && identity.public_key.curve() != Curve::P256
        {
            return Err(BundleError::IdentityCurve);
        }
        if body.identity.is_some() && body.birth.is_some() {
            return Err(BundleError::BornTwice);
        }
        Ok(Self { body, signer: verified.signer(), digest: verified.digest() })
    }

    /// What it says.
    #[must_use]
    pub const fn body(&self) -> &BundleBody {
        &self.body
    }

    /// Who signed it.
    #[must_use]
    pub const fn signer(&self) -> SignerId {
        self.signer
    }

    /// SHA-256 of the signed bytes.
    #[must_use]
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The reference to an artefact.
    ///
    /// # Errors
    /// The bundle names none.
    pub fn artefact(&self, artefact: Artefact) -> Result<&SecretRef, BundleError> {
        self.body
            .artefacts
            .get(&artefact)
            .ok_or(BundleError::NoArtefact { artefact: artefact.name() })
    }
}

impl BundleBody {
    /// Fixes the document to be signed.
    ///
    /// # Errors
    /// It cannot be written as canonical JSON.
    pub fn prepare(&self, signer: &SignerCertificate) -> Result<ToSign, JwsError> {
        let payload = serde_jcs::to_vec(self).map_err(|_| JwsError::Malformed("payload"))?;
        jws::prepare(DocumentType::Bundle, signer, &payload)
    }
}

/// Why a text is not this deployment's bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not signed by a signer, or not as a bundle.
    #[error("signature of the bundle")]
    Jws(#[from] JwsError),
    /// Signed, but not a bundle's JSON.
    #[error("content of the bundle")]
    Json(#[from] serde_json::Error),
    /// A format of another version.
    #[error("bundle of version {found}, expected 1")]
    Version {
        /// The version stated.
        found: u64,
    },
    /// A bundle for something else.
    #[error("a bundle for another deployment than {expected}")]
    Deployment {
        /// The deployment asked for.
        expected: String,
    },
    /// No HOST_DATA is permitted, so no server could be the right one.
    #[error("the bundle permits no server")]
    NoServer,
    /// An identity on another curve than P-256.
    #[error("the bundle's store identity is not a P-256 key")]
    IdentityCurve,
    /// A store that is named needs no birth.
    #[error("the bundle names a store and permits the birth of another")]
    BornTwice,
    /// An artefact that the deployment needs is not named.
    #[error("the bundle names no artefact {artefact}")]
    NoArtefact {
        /// Which.
        artefact: &'static str,
    },
}

/// What stands before the uncompressed point in a P-256 SubjectPublicKeyInfo.
const P256_SPKI_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bundle_body, first, signers};

    fn sign(body: &BundleBody) -> String {
        let key = first();
        key.sign_prepared(body.prepare(&key.certificate).unwrap())
    }

    #[test]
    fn accepts_a_signed_bundle_for_this_deployment() {
        let body = bundle_body();
        let bundle = Bundle::verify(&sign(&body), "dev", &signers()).unwrap();
        assert_eq!(bundle.body(), &body);
    }

    #[test]
    fn rejects_a_bundle_that_names_a_store_and_permits_a_birth() {
        let mut body = bundle_body();
        body.birth = Some(BirthMark::generate(&aws_lc_rs::rand::SystemRandom::new()).unwrap());
        Bundle::verify(&sign(&body), "dev", &signers()).unwrap();
        let point = [&[4_u8][..], &[9; 64]].concat();
        let public_key = EcPublicKey::from_point(Curve::P256, &point).unwrap();
        body.identity = Some(Identity { public_key });
        let e = Bundle::verify(&sign(&body), "dev", &signers()).unwrap_err();
        assert!(matches!(e, BundleError::BornTwice));
    }

    #[test]
    fn rejects_a_bundle_for_another_deployment() {
        let e = Bundle::verify(&sign(&bundle_body()), "prod", &signers()).unwrap_err();
        assert!(matches!(e, BundleError::Deployment { .. }));
    }

    #[test]
    fn rejects_another_version_before_reading_on() {
        let jws = first().sign(DocumentType::Bundle, br#"{"version":2,"new":true}"#);
        assert!(matches!(
            Bundle::verify(&jws, "dev", &signers()),
            Err(BundleError::Version { found: 2 })
        ));
    }

    #[test]
    fn rejects_a_bundle_that_permits_no_server_and_unknown_members() {
        let mut body = bundle_body();
        body.host_data.clear();
        assert!(matches!(
            Bundle::verify(&sign(&body), "dev", &signers()),
            Err(BundleError::NoServer)
        ));
        let mut json = serde_json::to_value(bundle_body()).unwrap();
        json["extra"] = true.into();
        let jws = first().sign(DocumentType::Bundle, json.to_string().as_bytes());
        assert!(matches!(Bundle::verify(&jws, "dev", &signers()), Err(BundleError::Json(_))));
    }

    #[test]
    fn an_artefact_of_another_content_is_refused() {
        let reference =
            SecretRef { secret: "s".into(), version: "v".into(), sha256: Sha256::of(b"value") };
        assert_eq!(reference.check("value").unwrap(), "value");
        assert!(reference.check("other").is_err());
    }
}
