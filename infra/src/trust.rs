//! The trust root: the few facts that a generic image is told, and that are measured.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Manifest, Name, Place};
use protocol::trust_root::{Body, Cloud, InsecureLocal};
use protocol::{SignerCertificate, SignerId, TrustRoot};

use crate::RenderError;

/// The signers' certificates, by the names that the manifest gives them.
pub type Signers = BTreeMap<Name, SignerCertificate>;

/// The trust root of a deployment.
///
/// # Errors
/// Other signers than the manifest's, two with one key, or more than a trust root holds.
pub(crate) fn trust_root(manifest: &Manifest, signers: &Signers) -> Result<TrustRoot, RenderError> {
    if !signers.keys().eq(manifest.signer().keys()) {
        let names =
            |names: Vec<&Name>| names.into_iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        return Err(RenderError::OtherSigners {
            expected: names(manifest.signer().keys().collect()),
            found: names(signers.keys().collect()),
        });
    }
    let ids: BTreeSet<SignerId> = signers.values().map(SignerCertificate::id).collect();
    if ids.len() < signers.len() {
        return Err(RenderError::OneKeyTwice);
    }
    let (cloud, insecure_local) = match manifest.azure().place() {
        Place::Public => (Cloud::Public, None),
        Place::InsecureLocal(local) => (
            Cloud::Local,
            Some(InsecureLocal {
                address: local.address,
                ca_sha256: local.ca_sha256,
                amd_root_sha256: local.amd_root_sha256.clone(),
                uvm_root_sha256: local.uvm_root_sha256,
            }),
        ),
    };
    let body = Body {
        version: 1,
        deployment: manifest.deployment().name.to_string(),
        cloud,
        attestation: manifest.attestation().address.to_string(),
        vault: manifest.master_key().address.to_string(),
        signers: ids,
        insecure_local,
    };
    Ok(TrustRoot::new(body)?)
}
