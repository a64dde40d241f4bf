//! Whether a container may start, decided as the guest's framework decides (`framework.rego`, `create_container`).

use regex::{Regex, RegexBuilder};

use super::GroupPolicy;
use super::container::{
    Capabilities, Container, EnvironmentRule, IdName, IdStrategy, Mount, SANDBOX, Strategy,
    UserRule,
};
use crate::layer::RootHash;

/// A container that is about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its layers' hashes, from base to top.
    pub layers: Vec<RootHash>,
    /// Command and arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Mounts beyond those that every container has (`/proc`, `/dev`, …).
    pub mounts: Vec<Mount>,
    /// Where it starts.
    pub working_dir: String,
    /// Who runs it.
    pub user: Identity,
    /// That user's groups.
    pub groups: Vec<Identity>,
    /// Four octal digits.
    pub umask: String,
    /// What it asks for.
    pub capabilities: Capabilities,
    /// Whether it asks that it can never gain privileges.
    pub no_new_privileges: bool,
    /// Whether it asks for all privileges.
    pub insecure_elevated: bool,
    /// Lower-case hexadecimal; empty for the default profile.
    pub seccomp_profile_sha256: String,
}

/// A user or group of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The number.
    pub id: u32,
    /// The name, if it has one.
    pub name: String,
}

/// A container that may start, and with what.
#[derive(Debug)]
pub struct Permitted<'a> {
    container: &'a Container,
    environment: Vec<String>,
    dropped: Vec<String>,
    capabilities: Capabilities,
}

/// Why a container may not start. Values of variables are not repeated, only their names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No container of the policy has these layers.
    #[error("layers differ: no container has {}", list(.0))]
    Layers(Vec<RootHash>),
    /// Another command.
    #[error("command differs: {found:?} instead of {expected:?}")]
    Command {
        /// What the policy has.
        expected: Vec<String>,
        /// What was asked for.
        found: Vec<String>,
    },
    /// A variable that must be there, with just that value, is not.
    #[error("environment differs: {0:?} is missing or has another value")]
    Environment(String),
    /// Another directory.
    #[error("working directory differs: {found:?} instead of {expected:?}")]
    WorkingDir {
        /// What the policy has.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// Another user, group or umask.
    #[error("{0} differs: {1:?}")]
    User(&'static str, String),
    /// A mount that is not in the policy.
    #[error("mount differs: {source_path:?} at {destination:?}")]
    Mount {
        /// Where in the container.
        destination: String,
        /// Where from.
        source_path: String,
    },
    /// It asks for less confinement than the policy has.
    #[error("{0} differs")]
    Privileges(&'static str),
    /// Two containers of the policy permit it, with different environments or capabilities.
    #[error("more than one container of the policy permits it, each something else")]
    Ambiguous,
}

impl Permitted<'_> {
    /// The rule that permits it.
    pub fn container(&self) -> &Container {
        self.container
    }

    /// The environment that it gets.
    pub fn environment(&self) -> &[String] {
        &self.environment
    }

    /// Variables that no rule permits and that it therefore does not get.
    pub fn dropped(&self) -> &[String] {
        &self.dropped
    }

    /// The capabilities that it gets.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

impl GroupPolicy {
    /// Decides whether a container may start.
    ///
    /// In this order, each against every container that passed so far: 1. layers; 2. command; 3. environment, where
    /// variables that no rule knows are dropped and required ones must be there; 4. working directory; 5. user, groups
    /// and umask; 6. mounts; 7. confinement. The refusal is that of the container that came furthest.
    pub fn enforce(&self, started: &Started) -> Result<Permitted<'_>, Refused> {
        let mut furthest = (0, Refused::Layers(started.layers.clone()));
        let mut permitted: Option<Permitted<'_>> = None;
        for container in &self.containers {
            match container.permits(started) {
                Ok(found) => match &permitted {
                    Some(other) if !other.agrees(&found) => {
                        // As the guest: of two, the one that drops less; of two alike, neither.
                        let [before, now] = [other.environment.len(), found.environment.len()];
                        if before == now {
                            return Err(Refused::Ambiguous);
                        }
                        if now > before {
                            permitted = Some(found);
                        }
                    }
                    Some(_) => {}
                    None => permitted = Some(found),
                },
                Err((step, refused)) if step > furthest.0 => furthest = (step, refused),
                Err(_) => {}
            }
        }
        permitted.ok_or(furthest.1)
    }
}

impl Permitted<'_> {
    fn agrees(&self, other: &Self) -> bool {
        self.environment == other.environment && self.capabilities == other.capabilities
    }
}

impl Container {
    fn permits(&self, started: &Started) -> Result<Permitted<'_>, (u8, Refused)> {
        if self.layers != started.layers {
            return Err((0, Refused::Layers(started.layers.clone())));
        }
        if self.command != started.command {
            let (expected, found) = (self.command.clone(), started.command.clone());
            return Err((2, Refused::Command { expected, found }));
        }
        let (environment, dropped): (Vec<_>, Vec<_>) = (started.environment.iter().cloned())
            .partition(|variable| self.env_rules.iter().any(|rule| rule.permits(variable)));
        let unmet = |rule: &&EnvironmentRule| {
            rule.required && !environment.iter().any(|variable| rule.permits(variable))
        };
        if let Some(rule) = self.env_rules.iter().find(unmet) {
            let name = rule.pattern.split('=').next().unwrap_or_default();
            return Err((3, Refused::Environment(name.to_owned())));
        }
        if self.working_dir != started.working_dir {
            let (expected, found) = (self.working_dir.clone(), started.working_dir.clone());
            return Err((4, Refused::WorkingDir { expected, found }));
        }
        self.user.permits(started).map_err(|refused| (5, refused))?;
        let foreign = |mount: &&Mount| !self.mounts.iter().any(|rule| rule.permits(mount));
        if let Some(mount) = started.mounts.iter().find(foreign) {
            let (destination, source_path) = (mount.destination.clone(), mount.source.clone());
            return Err((6, Refused::Mount { destination, source_path }));
        }
        for (differs, what) in [
            (started.insecure_elevated && !self.allow_elevated, "elevation"),
            (self.no_new_privileges && !started.no_new_privileges, "no_new_privileges"),
            (self.seccomp_profile_sha256 != started.seccomp_profile_sha256, "seccomp profile"),
        ] {
            if differs {
                return Err((7, Refused::Privileges(what)));
            }
        }
        let capabilities = self.capabilities.common(&started.capabilities);
        Ok(Permitted { container: self, environment, dropped, capabilities })
    }
}

impl EnvironmentRule {
    fn permits(&self, variable: &str) -> bool {
        match self.strategy {
            Strategy::String => self.pattern == variable,
            Strategy::Re2 => matches(&self.pattern, variable),
        }
    }
}

impl UserRule {
    fn permits(&self, started: &Started) -> Result<(), Refused> {
        if self.umask != started.umask {
            return Err(Refused::User("umask", started.umask.clone()));
        }
        if !self.user_idname.permits(&started.user) {
            return Err(Refused::User("user", started.user.id.to_string()));
        }
        let foreign =
            |group: &&Identity| !self.group_idnames.iter().any(|rule| rule.permits(group));
        match started.groups.iter().find(foreign) {
            Some(group) => Err(Refused::User("group", group.id.to_string())),
            None => Ok(()),
        }
    }
}

impl IdName {
    fn permits(&self, identity: &Identity) -> bool {
        match self.strategy {
            IdStrategy::Any => true,
            IdStrategy::Id => self.pattern == identity.id.to_string(),
            IdStrategy::Name => self.pattern == identity.name,
            IdStrategy::Re2 => matches(&self.pattern, &identity.name),
        }
    }
}

impl Mount {
    fn permits(&self, mount: &Self) -> bool {
        let options = |mount: &Self| {
            let mut options = mount.options.clone();
            options.sort_unstable();
            options.dedup();
            options
        };
        let source = if self.source.starts_with(SANDBOX) {
            !mount.source.split('/').any(|part| part == "..")
                && matches(&self.source, &mount.source)
        } else {
            self.source == mount.source
        };
        source
            && self.r#type == mount.r#type
            && self.destination == mount.destination
            && options(self) == options(mount)
    }
}

impl Capabilities {
    /// Those asked for that are permitted.
    fn common(&self, asked: &Self) -> Self {
        let common = |permitted: &[String], asked: &[String]| {
            asked.iter().filter(|name| permitted.contains(name)).cloned().collect()
        };
        Self {
            ambient: common(&self.ambient, &asked.ambient),
            bounding: common(&self.bounding, &asked.bounding),
            effective: common(&self.effective, &asked.effective),
            inheritable: common(&self.inheritable, &asked.inheritable),
            permitted: common(&self.permitted, &asked.permitted),
        }
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    compile(pattern).is_some_and(|pattern| pattern.is_match(text))
}

/// A pattern as the framework anchors it, or `None` if it is none or its classes mean other characters here than in
/// RE2, which knows only ASCII in them.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next().is_none_or(|class| class.is_ascii_alphanumeric())
        {
            return None;
        }
    }
    let start = if pattern.starts_with('^') { "" } else { "^" };
    let end = if pattern.ends_with('$') { "" } else { "$" };
    RegexBuilder::new(&format!("{start}{pattern}{end}")).size_limit(PATTERN_MAX).build().ok()
}

fn list(layers: &[RootHash]) -> String {
    layers.iter().map(RootHash::to_string).collect::<Vec<_>>().join(", ")
}

/// Memory of a compiled pattern.
const PATTERN_MAX: usize = 1 << 20;
