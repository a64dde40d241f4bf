//! What a user says of a container, before its image is known, and what the image adds.
//!
//! The reference tool takes the command, the working directory, the user, the stop signal and the variables from the
//! image's configuration wherever the group's definition leaves them open. Nothing is taken from anywhere else.

use super::container::{EnvironmentRule, ExecProcess, IdName, Required, UserRule};
use super::ours::{ContainerSpec, Volume};
use super::privileges::{Elevation, Escalation, Privileges};
use super::seccomp::SeccompProfile;
use crate::layer::RootHash;
use crate::oci::Config;

/// One container as a group's definition has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name in the group.
    pub name: String,
    /// The image's reference.
    pub image: String,
    /// The command with its arguments; empty is the image's.
    pub command: Vec<String>,
    /// Variables and their values, in order.
    pub environment: Vec<(String, String)>,
    /// Volumes, in order.
    pub volumes: Vec<Volume>,
    /// The user by number; `None` is the image's.
    pub user: Option<u32>,
    /// The group by number; `None` is the image's.
    pub group: Option<u32>,
    /// Capabilities beyond the service's defaults.
    pub add: Vec<String>,
    /// Capabilities that it does without; `ALL` is every one.
    pub drop: Vec<String>,
    /// Whether it may gain privileges.
    pub escalation: Escalation,
    /// Whether it is privileged.
    pub elevation: Elevation,
    /// The system calls that it may make; `None` is the service's default.
    pub seccomp: Option<SeccompProfile>,
    /// Commands of probes, each once.
    pub exec: Vec<Vec<String>>,
}

/// Why no rule can be made of a definition and its image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Neither says what to run.
    #[error("container {0:?} has no command, and neither has its image; that is not supported")]
    Command(String),
    /// The image has a variable that is none.
    #[error("container {container:?}: the image's variable {variable:?} has no equals sign")]
    Variable {
        /// The container.
        container: String,
        /// The variable.
        variable: String,
    },
    /// The image's stop signal has no number that is known here.
    #[error("container {container:?}: the image's stop signal {signal:?} is not supported")]
    Signal {
        /// The container.
        container: String,
        /// The signal.
        signal: String,
    },
    /// The image's user is no user.
    #[error("container {container:?}: the image's user {user:?} is not supported")]
    User {
        /// The container.
        container: String,
        /// The user.
        user: String,
    },
}

impl Definition {
    /// A container of which only the name and the image are known.
    pub fn new(name: &str, image: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            command: Vec::new(),
            environment: Vec::new(),
            volumes: Vec::new(),
            user: None,
            group: None,
            add: Vec::new(),
            drop: Vec::new(),
            escalation: Escalation::Possible,
            elevation: Elevation::Unprivileged,
            seccomp: None,
            exec: Vec::new(),
        }
    }

    /// The rule, given the image's configuration and the hashes of its layers from base to top.
    pub fn with_image(
        &self,
        config: &Config,
        layers: Vec<RootHash>,
    ) -> Result<ContainerSpec, DefinitionError> {
        let container = || self.name.clone();
        let command = if self.command.is_empty() { config.command() } else { self.command.clone() };
        if command.is_empty() {
            return Err(DefinitionError::Command(container()));
        }
        let exactly =
            |(name, value): &(String, String)| EnvironmentRule::exactly(name, value, Required::No);
        let mut environment: Vec<_> = self.environment.iter().map(exactly).collect();
        for variable in config.environment() {
            let Some((name, _)) = variable.split_once('=') else {
                let variable = variable.clone();
                return Err(DefinitionError::Variable { container: container(), variable });
            };
            if self.environment.iter().all(|(own, _)| own != name) {
                environment.push(EnvironmentRule::literal(variable, Required::No));
            }
        }
        let signals = match config.stop_signal() {
            None => Vec::new(),
            Some(name) => vec![signal(name).ok_or_else(|| DefinitionError::Signal {
                container: container(),
                signal: name.to_owned(),
            })?],
        };
        let privileges = Privileges::Asked {
            add: self.add.clone(),
            drop: self.drop.clone(),
            escalation: self.escalation,
            elevation: self.elevation,
            seccomp: self.seccomp,
        };
        let process =
            |command: &Vec<String>| ExecProcess { command: command.clone(), signals: Vec::new() };
        Ok(ContainerSpec {
            name: container(),
            image: self.image.clone(),
            layers,
            command,
            environment,
            volumes: self.volumes.clone(),
            user: self.user_rule(config)?,
            working_dir: config.working_dir().to_owned(),
            privileges,
            exec_processes: self.exec.iter().map(process).collect(),
            signals,
        })
    }

    /// The definition's user; the image's only if the definition names neither user nor group.
    fn user_rule(&self, config: &Config) -> Result<UserRule, DefinitionError> {
        let id = |id: Option<u32>| id.map_or_else(IdName::any, IdName::id);
        match (self.user, self.group, config.user()) {
            (None, None, Some(text)) => {
                let (user, group) = match text.split_once(':') {
                    Some((user, group)) => (user, Some(group)),
                    None => (text, None),
                };
                if user.is_empty() || group.is_some_and(str::is_empty) {
                    let (container, user) = (self.name.clone(), text.to_owned());
                    return Err(DefinitionError::User { container, user });
                }
                Ok(UserRule::of(IdName::of(user), group.map_or_else(IdName::any, IdName::of)))
            }
            (user, group, _) => Ok(UserRule::of(id(user), id(group))),
        }
    }
}

/// A signal's number on Linux for amd64, by its name in either case.
fn signal(name: &str) -> Option<i32> {
    let name = name.to_ascii_uppercase();
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// signal(7).
const SIGNALS: [(&str, i32); 33] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGIOT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
    ("SIGUNUSED", 31),
];
