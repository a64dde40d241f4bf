//! Containers of a policy, in the reference tool's names and order.

use serde::{Deserialize, Serialize};

use super::PolicyError;
use super::enforce::compile;
use crate::layer::RootHash;

/// One container of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    pub(super) allow_elevated: bool,
    pub(super) allow_stdio_access: bool,
    pub(super) capabilities: Capabilities,
    pub(super) command: Vec<String>,
    pub(super) env_rules: Vec<EnvironmentRule>,
    pub(super) exec_processes: Vec<ExecProcess>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) layers: Vec<RootHash>,
    pub(super) mounts: Vec<Mount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) no_new_privileges: bool,
    pub(super) seccomp_profile_sha256: String,
    pub(super) signals: Vec<i32>,
    pub(super) user: UserRule,
    pub(super) working_dir: String,
}

/// Linux capabilities by set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "capabilities(7) describes the sets")]
pub struct Capabilities {
    pub ambient: Vec<String>,
    pub bounding: Vec<String>,
    pub effective: Vec<String>,
    pub inheritable: Vec<String>,
    pub permitted: Vec<String>,
}

/// What one environment variable may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRule {
    pub(super) pattern: String,
    pub(super) required: bool,
    pub(super) strategy: Strategy,
}

/// How a pattern is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// To the letter.
    String,
    /// As a regular expression over the whole.
    Re2,
}

/// Whether a container may start without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// It may not.
    Yes,
    /// It may.
    No,
}

/// A process that may be run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ExecProcess {
    pub command: Vec<String>,
    pub signals: Vec<i32>,
}

/// A mount; in a policy the source may be a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where in the container.
    pub destination: String,
    /// Mount options; their order means nothing.
    pub options: Vec<String>,
    /// Where from.
    pub source: String,
    /// `bind`.
    pub r#type: String,
}

/// Who runs a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRule {
    pub(super) group_idnames: Vec<IdName>,
    pub(super) umask: String,
    pub(super) user_idname: IdName,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdName {
    pub(super) pattern: String,
    pub(super) strategy: IdStrategy,
}

/// How users and groups are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum IdStrategy {
    Any,
    Id,
    Name,
    Re2,
}

/// A signed policy part that may be added to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fragment {
    /// What it is called.
    pub feed: String,
    /// What it may add.
    pub includes: Vec<String>,
    /// Who signs it (`did:x509`).
    pub issuer: String,
    /// The lowest security version.
    pub minimum_svn: String,
}

impl Container {
    /// Its name in the group; the pause container has none.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its layers, from base to top.
    pub fn layers(&self) -> &[RootHash] {
        &self.layers
    }

    /// Its command.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// What its environment may be.
    pub fn environment(&self) -> &[EnvironmentRule] {
        &self.env_rules
    }

    /// Processes that may be run in it from outside.
    pub fn exec_processes(&self) -> &[ExecProcess] {
        &self.exec_processes
    }

    /// Signals that may be sent to it from outside.
    pub fn signals(&self) -> &[i32] {
        &self.signals
    }

    /// The capabilities that it may have.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What may be mounted.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let container = self.name.clone().unwrap_or_else(|| "pause".to_owned());
        let fault = |fault| Err(PolicyError::Container { container: container.clone(), fault });
        if self.layers.is_empty() {
            return fault("has no layers");
        }
        if self.command.is_empty() {
            return fault("has no command");
        }
        if !self.working_dir.starts_with('/') {
            return fault("working directory is not absolute");
        }
        if !self.mounts.iter().all(|mount| mount.destination.starts_with('/')) {
            return fault("a mount's destination is not absolute");
        }
        if self.name.as_ref().is_some_and(String::is_empty) {
            return fault("has an empty name");
        }
        let environment = self.env_rules.iter().filter(|rule| rule.strategy == Strategy::Re2);
        let people = self.user.group_idnames.iter().chain([&self.user.user_idname]);
        let people = people.filter(|person| person.strategy == IdStrategy::Re2);
        let mut patterns = (environment.map(|rule| &rule.pattern))
            .chain(people.map(|person| &person.pattern))
            .chain(
                self.mounts
                    .iter()
                    .map(|mount| &mount.source)
                    .filter(|source| source.starts_with(SANDBOX)),
            );
        match patterns.find(|pattern| compile(pattern).is_none()) {
            Some(pattern) => Err(PolicyError::Pattern { container, pattern: pattern.clone() }),
            None => Ok(()),
        }
    }
}

impl EnvironmentRule {
    /// One variable with just this value.
    pub fn exactly(name: &str, value: &str, required: Required) -> Self {
        Self::literal(&format!("{name}={value}"), required)
    }

    /// One variable, `NAME=VALUE`, as image configurations have it.
    pub fn literal(variable: &str, required: Required) -> Self {
        Self {
            pattern: variable.to_owned(),
            required: required == Required::Yes,
            strategy: Strategy::String,
        }
    }

    /// Any variable that matches as a whole, `NAME=VALUE`.
    pub fn re2(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), required: false, strategy: Strategy::Re2 }
    }

    /// The text or pattern that a variable is compared with.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The part before the first equals sign, which of a pattern is one too.
    pub(super) fn name(&self) -> &str {
        self.pattern.split_once('=').map_or(self.pattern.as_str(), |(name, _)| name)
    }
}

impl UserRule {
    /// Whoever the image says.
    pub fn any() -> Self {
        Self::of(IdName::any(), IdName::any())
    }

    /// One user and one group, by number.
    pub fn ids(user: u32, group: u32) -> Self {
        Self::of(IdName::id(user), IdName::id(group))
    }

    pub(super) fn of(user: IdName, group: IdName) -> Self {
        Self { group_idnames: vec![group], umask: UMASK.to_owned(), user_idname: user }
    }
}

impl IdName {
    pub(super) fn any() -> Self {
        Self { pattern: String::new(), strategy: IdStrategy::Any }
    }

    pub(super) fn id(id: u32) -> Self {
        Self { pattern: id.to_string(), strategy: IdStrategy::Id }
    }

    /// A number or a name, as image configurations have them.
    pub(super) fn of(text: &str) -> Self {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let strategy = if digits { IdStrategy::Id } else { IdStrategy::Name };
        Self { pattern: text.to_owned(), strategy }
    }
}

const UMASK: &str = "0022";
/// Sources that begin so are patterns; every other is compared to the letter.
pub(super) const SANDBOX: &str = "sandbox://";
