//! The policy that a confidential container group is launched with, and what it permits.
//!
//! The host starts a group with a Rego text; its SHA-256 is the hardware's HOST_DATA, and the guest enforces it. What
//! we write is data in a fixed frame: the form, rules and flags of the reference tool (`az confcom`, API 0.10.0,
//! framework 0.2.3) for production. What we read is only that: [`GroupPolicy::parse`] takes a text apart, renders it
//! again and refuses it unless every byte is the same, so that no Rego runs here and none is misunderstood.
//!
//! [`GroupPolicy::enforce`] decides as the guest's framework does, and names what differs.

mod arm;
mod container;
mod definition;
mod document;
mod enforce;
mod expression;
mod fragments;
mod ours;
mod privileges;
mod rego;
mod seccomp;

pub use self::arm::{ArmError, ArmGroup, Sidecars};
pub use self::container::{
    Capabilities, Container, EnvironmentRule, ExecProcess, Fragment, IdName, IdStrategy, Mount,
    Required, Strategy, UserRule,
};
pub use self::definition::{Definition, DefinitionError};
pub use self::enforce::{Identity, Permitted, Refused, Started};
pub use self::fragments::FragmentsError;
pub use self::ours::{ContainerSpec, Volume, VolumeAccess};
pub use self::privileges::{Elevation, Escalation, Privileges, default_capabilities};
pub use self::rego::{NotOurs, host_data};
pub use self::seccomp::{SeccompError, SeccompProfile};

/// What a whole container group may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPolicy {
    mode: Mode,
    fragments: Vec<Fragment>,
    containers: Vec<Container>,
}

/// How much of a group its host may see and touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As the reference tool makes it for production.
    Production,
    /// Shells, any environment, logs and dumps: holds no secret.
    InsecureDebug,
}

/// Why no policy can be made of what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A group of nothing.
    #[error("no containers")]
    Empty,
    /// Two of a name.
    #[error("two containers are called {0:?}")]
    Twice(String),
    /// A container that cannot be.
    #[error("container {container:?}: {fault}")]
    Container {
        /// Its name.
        container: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A pattern that is no RE2, or means different things to the guest and to us.
    #[error("container {container:?}: pattern {pattern:?} is not supported")]
    Pattern {
        /// Its name.
        container: String,
        /// The pattern.
        pattern: String,
    },
}

impl GroupPolicy {
    /// The policy of a group: its containers, the pause container and the infrastructure's fragment.
    pub fn new(mode: Mode, containers: Vec<ContainerSpec>) -> Result<Self, PolicyError> {
        Self::with_fragments(mode, containers, vec![Fragment::infrastructure()])
    }

    /// The same with other fragments; without the infrastructure's no sidecar of the service can start.
    pub fn with_fragments(
        mode: Mode,
        containers: Vec<ContainerSpec>,
        fragments: Vec<Fragment>,
    ) -> Result<Self, PolicyError> {
        if containers.is_empty() {
            return Err(PolicyError::Empty);
        }
        let mut containers: Vec<_> =
            containers.into_iter().map(|spec| Container::new(spec, mode)).collect();
        containers.push(Container::pause());
        Self::checked(mode, fragments, containers)
    }

    fn checked(
        mode: Mode,
        fragments: Vec<Fragment>,
        containers: Vec<Container>,
    ) -> Result<Self, PolicyError> {
        let mut names = std::collections::BTreeSet::new();
        for container in &containers {
            container.check()?;
            if let Some(name) = container.name()
                && !names.insert(name)
            {
                return Err(PolicyError::Twice(name.to_owned()));
            }
        }
        Ok(Self { mode, fragments, containers })
    }

    /// Whether it is for production.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Signed parts that others may add to the group; their signers can see what the group sees.
    pub fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// The containers, the pause container among them.
    pub fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// SHA-256 of the rendered policy: the hardware's HOST_DATA.
    pub fn host_data(&self) -> [u8; 32] {
        host_data(&self.render())
    }
}

#[cfg(test)]
mod derive_tests;
#[cfg(test)]
mod tests;
