//! The signed manifest: the TOML text as reviewed, with the certificates that it names by file.
//!
//! It lies in the store's container, where anyone with rights on the storage may replace it; only
//! the signature makes it one. [`SignedManifest::verify`] returns the parsed manifest, and demands
//! the deployment's name. That the revision never goes back is checked by whoever remembers an
//! earlier one.

use std::collections::BTreeSet;

use evidence::Sha256;
use manifest::Manifest;
use serde::{Deserialize, Serialize};

use crate::jws::{self, DocumentType, JwsError, SignerCertificate, SignerId, ToSign};
use crate::version::Version;

/// The blob in the store's container that holds the manifest in force.
pub const BLOB: &str = "manifest/current";

/// What a signed manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestBody {
    /// Format; 1.
    pub version: u64,
    /// Whose manifest it is; the same as in the text.
    pub deployment: String,
    /// Only grows; the same as in the text.
    pub revision: u64,
    /// The manifest, as it was reviewed.
    pub toml: String,
}

impl ManifestBody {
    /// Fixes the document to be signed.
    ///
    /// # Errors
    /// It cannot be written as canonical JSON.
    pub fn prepare(&self, signer: &SignerCertificate) -> Result<ToSign, JwsError> {
        let payload = serde_jcs::to_vec(self).map_err(|_| JwsError::Malformed("payload"))?;
        jws::prepare(DocumentType::Manifest, signer, &payload)
    }
}

/// A manifest that one of the deployment's signers signed.
#[derive(Debug)]
pub struct SignedManifest {
    manifest: Manifest,
    signer: SignerId,
    digest: Sha256,
}

impl SignedManifest {
    /// Verifies signature, type, form, deployment, and that the text is a manifest without fault
    /// whose name and revision are those stated beside it.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(
        compact: &str,
        deployment: &str,
        signers: &BTreeSet<SignerId>,
    ) -> Result<Self, ManifestError> {
        let verified = jws::verify(DocumentType::Manifest, compact, signers)?;
        let version: Version = serde_json::from_slice(verified.payload())?;
        if version.version != 1 {
            return Err(ManifestError::Version { found: version.version });
        }
        let body: ManifestBody = serde_json::from_slice(verified.payload())?;
        if body.deployment != deployment {
            return Err(ManifestError::Deployment { expected: deployment.to_owned() });
        }
        let manifest =
            Manifest::parse("signed manifest", &body.toml).map_err(ManifestError::Faults)?;
        if manifest.deployment().name.as_str() != body.deployment
            || manifest.deployment().revision != body.revision
        {
            return Err(ManifestError::Mismatch);
        }
        Ok(Self { manifest, signer: verified.signer(), digest: verified.digest() })
    }

    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest, taken out.
    #[must_use]
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// Who signed it.
    #[must_use]
    pub const fn signer(&self) -> SignerId {
        self.signer
    }

    /// SHA-256 of the signed payload: how evidence names the manifest in force.
    #[must_use]
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }
}

/// Why a text is not this deployment's manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not signed by a signer, or not as a manifest.
    #[error("signature of the manifest")]
    Jws(#[from] JwsError),
    /// Signed, but not of the expected form.
    #[error("content of the signed manifest")]
    Json(#[from] serde_json::Error),
    /// A format of another version.
    #[error("signed manifest of version {found}, expected 1")]
    Version {
        /// The version stated.
        found: u64,
    },
    /// A manifest for something else.
    #[error("a manifest for another deployment than {expected}")]
    Deployment {
        /// The deployment asked for.
        expected: String,
    },
    /// The TOML has faults.
    #[error("the signed manifest has faults")]
    Faults(#[source] manifest::Faults),
    /// Name or revision differ between the text and what stands beside it.
    #[error("name or revision of the signed manifest differ from its text")]
    Mismatch,
}
