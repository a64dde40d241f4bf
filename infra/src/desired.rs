//! Everything at once, since each part goes into the next.

use std::collections::BTreeSet;

use evidence::HostData;
use image::cce::PolicyError;
use jiff::civil::Date;
use maa::policy::ParseError;
use maa::release::ReleaseError;
use manifest::Manifest;
use protocol::TrustRoot;
use protocol::trust_root::TrustRootError;

use crate::trust::trust_root;
use crate::{AttestationPolicy, Deployer, MasterKey, Resources, ServerGroup, ServerImage, Signers};

/// What a deployment is to be.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The measured facts.
    pub trust_root: TrustRoot,
    /// The server's group as it is measured.
    pub group: ServerGroup,
    /// Every HOST_DATA value that may have the master key: the group's, and those of older images before their day.
    pub permitted: BTreeSet<HostData>,
    /// Which evidence gets a token.
    pub attestation: AttestationPolicy,
    /// Which token gets the key.
    pub master_key: MasterKey,
    /// The resources.
    pub resources: Resources,
}

/// Why nothing can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The certificates are not those of the manifest's signers.
    #[error("certificates are given for {found}, and the manifest's signers are {expected}")]
    OtherSigners {
        /// The manifest's.
        expected: String,
        /// The certificates'.
        found: String,
    },
    /// Losing that key would lose the deployment.
    #[error("two signers have the same key")]
    OneKeyTwice,
    /// What a trust root cannot hold.
    #[error(transparent)]
    TrustRoot(#[from] TrustRootError),
    /// The image cannot be what a group runs.
    #[error("the server's container group")]
    Group(#[from] PolicyError),
    /// The attestation policy is not in its language.
    #[error("the attestation policy")]
    AttestationPolicy(#[source] ParseError),
    /// The release policy is not in its language, or too large.
    #[error("the release policy")]
    ReleasePolicy(#[source] ReleaseError),
}

/// Renders a manifest. `today` decides which older images are still permitted.
///
/// # Errors
/// The first part that cannot be.
pub fn render(
    manifest: &Manifest,
    signers: &Signers,
    image: &ServerImage,
    deployer: &Deployer,
    today: Date,
) -> Result<Rendered, RenderError> {
    let trust_root = trust_root(manifest, signers)?;
    let group = ServerGroup::new(manifest, &trust_root, image)?;
    let mut permitted: BTreeSet<HostData> = manifest.permitted(today).collect();
    permitted.insert(group.host_data());
    let attestation = AttestationPolicy::new(manifest, &permitted)?;
    let master_key = MasterKey::new(manifest, &attestation, &permitted)?;
    let resources = Resources::new(manifest, signers, &trust_root, &group, &master_key, deployer);
    Ok(Rendered { trust_root, group, permitted, attestation, master_key, resources })
}

/// The server's group as it is measured, without the rest: what [`render`] makes of the same arguments.
///
/// # Errors
/// The signers are not the manifest's, or the image cannot be what a group runs.
pub fn measure(
    manifest: &Manifest,
    signers: &Signers,
    image: &ServerImage,
) -> Result<ServerGroup, RenderError> {
    let trust_root = trust_root(manifest, signers)?;
    ServerGroup::new(manifest, &trust_root, image)
}
