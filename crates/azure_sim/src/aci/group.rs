//! What a container group is asked to be: the parts of the ARM body that decide what runs.

/// A container group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Resource id in lower case.
    pub key: String,
    /// Its name.
    pub name: String,
    /// The CCE policy as sent: standard base64.
    pub policy_base64: String,
    /// The CCE policy: Rego.
    pub policy: Vec<u8>,
    /// When ended containers are started again.
    pub restart: Restart,
    /// Identities that the group holds: resource ids in lower case.
    pub identities: Vec<String>,
    /// With which identity which registry is asked.
    pub registries: Vec<RegistryCredential>,
    /// In order.
    pub containers: Vec<Container>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// `SERVER/REPOSITORY@sha256:…` or with a tag.
    pub image: String,
    /// Replaces the image's entry point and arguments, if not empty.
    pub command: Vec<String>,
    /// In the order of the body; secure ones among them.
    pub environment: Vec<(String, String)>,
    /// `securityContext`.
    pub security: Security,
}

/// `securityContext`, as far as the policy looks at it; the process here runs as whoever runs the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// `capabilities.add`.
    pub add: Vec<String>,
    /// `capabilities.drop`.
    pub drop: Vec<String>,
    /// `runAsUser`.
    pub user: Option<u32>,
    /// `runAsGroup`.
    pub group: Option<u32>,
}

/// `imageRegistryCredentials` by identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// Host name.
    pub server: String,
    /// Resource id in lower case.
    pub identity: String,
}

/// `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Whatever the exit code.
    Always,
    /// After an exit code other than zero.
    OnFailure,
    /// Never.
    Never,
}
