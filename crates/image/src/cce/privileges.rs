//! What a container may do to the kernel: capabilities, elevation, system calls.
//!
//! The names are those of capabilities(7); the lists are the reference tool's (`internal_config.json`).

use super::container::Capabilities;
use super::seccomp::SeccompProfile;

/// What a process may do beyond its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privileges {
    /// The service's defaults.
    Default,
    /// No capabilities and no way to gain any. The container must be asked for with a security context that says so.
    Dropped,
    /// The service's defaults, changed by a security context.
    Asked {
        /// Names to have besides.
        add: Vec<String>,
        /// Names not to have; `ALL` is every one.
        drop: Vec<String>,
        /// Whether privileges can be gained on the way.
        escalation: Escalation,
        /// Whether it has those of the machine.
        elevation: Elevation,
        /// The system calls that it may make; `None` is the service's default.
        seccomp: Option<SeccompProfile>,
    },
}

/// Whether a process may gain privileges that its parent does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escalation {
    /// It may, as the service's default is.
    Possible,
    /// It may not: `no_new_privileges`.
    Impossible,
}

/// Whether a container has the privileges of the utility VM that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elevation {
    /// It has those of a container.
    Unprivileged,
    /// `privileged`: every capability, and every device.
    Privileged,
}

impl Privileges {
    pub(super) fn capabilities(&self) -> Capabilities {
        match self {
            Self::Default => Capabilities::default_sorted(),
            Self::Dropped => Capabilities::default(),
            Self::Asked { add, drop, elevation, .. } => {
                let defaults = match elevation {
                    Elevation::Unprivileged => DEFAULT_CAPABILITIES.as_slice(),
                    Elevation::Privileged => PRIVILEGED_CAPABILITIES.as_slice(),
                };
                let names = defaults.iter().map(|name| (*name).to_owned());
                let mut names: Vec<_> = names.chain(add.iter().cloned()).collect();
                let all = drop.iter().any(|name| name == "ALL");
                names.retain(|name| !all && !drop.contains(name));
                names.sort_unstable();
                names.dedup();
                let inheritable = match elevation {
                    Elevation::Unprivileged => Vec::new(),
                    Elevation::Privileged => names.clone(),
                };
                Capabilities { inheritable, ..Capabilities::unprivileged(names) }
            }
        }
    }

    pub(super) fn escalation(&self) -> Escalation {
        match self {
            Self::Default => Escalation::Possible,
            Self::Dropped => Escalation::Impossible,
            Self::Asked { escalation, .. } => *escalation,
        }
    }

    pub(super) fn elevated(&self) -> bool {
        matches!(self, Self::Asked { elevation: Elevation::Privileged, .. })
    }

    /// As policies have it: empty for the service's default.
    pub(super) fn seccomp_profile_sha256(&self) -> String {
        match self {
            Self::Asked { seccomp: Some(profile), .. } => profile.to_string(),
            Self::Default | Self::Dropped | Self::Asked { .. } => String::new(),
        }
    }
}

impl Capabilities {
    /// What the reference tool gives a container that asks for nothing, in its order.
    pub(super) fn default_sorted() -> Self {
        let mut sorted = DEFAULT_CAPABILITIES;
        sorted.sort_unstable();
        Self::unprivileged(sorted.map(str::to_owned).to_vec())
    }

    pub(super) fn unprivileged(names: Vec<String>) -> Self {
        Self {
            bounding: names.clone(),
            effective: names.clone(),
            permitted: names,
            ..Self::default()
        }
    }
}

/// The capabilities that the service gives a container unless it is asked to drop them, by name.
pub fn default_capabilities() -> &'static [&'static str] {
    &DEFAULT_CAPABILITIES
}

pub(super) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Those of a privileged container.
const PRIVILEGED_CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
