//! The server's container group as it is measured: its CCE policy, whose SHA-256 is HOST_DATA.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::HostData;
use image::cce::{
    ContainerSpec, EnvironmentRule, GroupPolicy, Mode, Privileges, Required, UserRule,
};
use image::layer::RootHash;
use image::oci::{Digest, MeasuredImage};
use manifest::Manifest;
use protocol::TrustRoot;

use crate::RenderError;

/// The server's image, as far as it is measured or decides what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The hashes of its layers, from base to top.
    pub layers: Vec<RootHash>,
    /// What it runs.
    pub command: Vec<String>,
    /// Its variables, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Where it starts.
    pub working_dir: String,
}

/// The group's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerGroup {
    policy: GroupPolicy,
    text: String,
    host_data: HostData,
    image: String,
}

impl From<&MeasuredImage> for ServerImage {
    fn from(image: &MeasuredImage) -> Self {
        Self {
            digest: image.manifest().digest(),
            layers: image.root_hashes(),
            command: image.config().command(),
            environment: image.config().environment().to_vec(),
            working_dir: image.config().working_dir().to_owned(),
        }
    }
}

impl ServerGroup {
    /// One container beside the pause container: this image, this command, the image's variables and what the service
    /// adds, and [`TrustRoot::VARIABLE`] with exactly this trust root, without which it does not start. No volumes; no
    /// capabilities and no way to gain any. It runs as root because the device that signs reports is root's.
    pub(crate) fn new(
        manifest: &Manifest,
        trust_root: &TrustRoot,
        image: &ServerImage,
    ) -> Result<Self, RenderError> {
        let server = manifest.server();
        let reference =
            format!("{}.azurecr.io/{}@{}", server.registry, server.repository, image.digest);
        let own = image.environment.iter();
        let mut environment: Vec<EnvironmentRule> =
            own.map(|variable| EnvironmentRule::literal(variable, Required::No)).collect();
        let fixed =
            EnvironmentRule::exactly(TrustRoot::VARIABLE, &trust_root.text(), Required::Yes);
        environment.push(fixed);
        let container = ContainerSpec {
            name: Self::CONTAINER.to_owned(),
            image: reference.clone(),
            layers: image.layers.clone(),
            command: image.command.clone(),
            environment,
            volumes: Vec::new(),
            user: UserRule::ids(0, 0),
            working_dir: image.working_dir.clone(),
            privileges: Privileges::Dropped,
            exec_processes: Vec::new(),
            signals: Vec::new(),
        };
        let policy = GroupPolicy::new(Mode::Production, vec![container])?;
        let text = policy.render();
        let host_data = HostData::of_policy(text.as_bytes());
        Ok(Self { policy, text, host_data, image: reference })
    }

    /// The name of the server's container.
    pub const CONTAINER: &'static str = "server";

    /// The policy as data.
    #[must_use]
    pub fn policy(&self) -> &GroupPolicy {
        &self.policy
    }

    /// The Rego text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as a container group is created with it.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.text)
    }

    /// What the hardware will report.
    #[must_use]
    pub fn host_data(&self) -> HostData {
        self.host_data
    }

    /// The image by digest, as the group names it.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }
}
