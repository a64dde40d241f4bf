//! How our containers are made: the service's defaults, and what is asked for beyond them.

use super::Mode;
use super::container::{
    Capabilities, Container, EnvironmentRule, ExecProcess, Fragment, Mount, Required, UserRule,
};
use super::privileges::{DEFAULT_CAPABILITIES, Escalation, Privileges};
use crate::layer::RootHash;

/// What is known of a container before it is a rule.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Its name in the group.
    pub name: String,
    /// The image's reference; it identifies the rule and decides nothing.
    pub image: String,
    /// The layers' hashes, from base to top.
    pub layers: Vec<RootHash>,
    /// The command with its arguments.
    pub command: Vec<String>,
    /// What may be in the environment besides what the service puts there.
    pub environment: Vec<EnvironmentRule>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Who runs it.
    pub user: UserRule,
    /// Where it starts; absolute.
    pub working_dir: String,
    /// What it may do to the kernel.
    pub privileges: Privileges,
    /// Commands that may be run in it from outside, as probes are.
    pub exec_processes: Vec<ExecProcess>,
    /// Signals that may be sent to it from outside.
    pub signals: Vec<i32>,
}

/// A volume that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Volume {
    AzureFile { destination: String, access: VolumeAccess },
    Secret { destination: String, access: VolumeAccess },
    EmptyDir { destination: String, access: VolumeAccess },
    GitRepo { destination: String, access: VolumeAccess },
}

/// Whether a volume may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeAccess {
    /// It may.
    ReadWrite,
    /// It may not.
    ReadOnly,
}

impl Container {
    pub(super) fn new(spec: ContainerSpec, mode: Mode) -> Self {
        let mut env_rules = spec.environment;
        let service = SERVICE_ENVIRONMENT.iter().map(|pattern| EnvironmentRule::re2(pattern));
        let service =
            [EnvironmentRule::literal("TERM=xterm", Required::No)].into_iter().chain(service);
        // A variable that the container sets itself has no other value.
        let others = service.filter(|rule| env_rules.iter().all(|own| own.name() != rule.name()));
        let others: Vec<_> = others.collect();
        env_rules.extend(others);
        let mut exec_processes = spec.exec_processes;
        if mode == Mode::InsecureDebug {
            env_rules.push(EnvironmentRule::re2(".+=.+"));
            exec_processes.extend(
                ["/bin/sh", "/bin/bash"].map(|shell| ExecProcess {
                    command: vec![shell.to_owned()],
                    signals: Vec::new(),
                }),
            );
        }
        let mut mounts: Vec<_> = spec.volumes.into_iter().map(Mount::of).collect();
        // Who mounts a resolver's file has no other.
        if mounts.iter().all(|mount| mount.destination != RESOLVER) {
            mounts.push(Mount::new("resolvconf", RESOLVER.to_owned(), VolumeAccess::ReadWrite));
        }
        Self {
            allow_elevated: spec.privileges.elevated(),
            allow_stdio_access: true,
            no_new_privileges: spec.privileges.escalation() == Escalation::Impossible,
            capabilities: spec.privileges.capabilities(),
            command: spec.command,
            env_rules,
            exec_processes,
            id: Some(spec.image),
            layers: spec.layers,
            mounts,
            name: Some(spec.name),
            seccomp_profile_sha256: spec.privileges.seccomp_profile_sha256(),
            signals: spec.signals,
            user: spec.user,
            working_dir: spec.working_dir,
        }
    }

    /// The container that the service puts into every group: `pause` 3.1.
    pub(super) fn pause() -> Self {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Self {
            allow_elevated: false,
            allow_stdio_access: true,
            capabilities: Capabilities::unprivileged(
                DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
            ),
            command: vec!["/pause".to_owned()],
            env_rules: vec![
                EnvironmentRule::literal(path, Required::Yes),
                EnvironmentRule::literal("TERM=xterm", Required::No),
            ],
            exec_processes: Vec::new(),
            id: None,
            layers: vec![RootHash::from(PAUSE_LAYER)],
            mounts: Vec::new(),
            name: None,
            no_new_privileges: false,
            seccomp_profile_sha256: String::new(),
            signals: Vec::new(),
            user: UserRule::any(),
            working_dir: "/".to_owned(),
        }
    }
}

impl Mount {
    fn of(volume: Volume) -> Self {
        match volume {
            Volume::AzureFile { destination, access } => {
                Self::new("azureFileVolume", destination, access)
            }
            Volume::Secret { destination, access } => {
                Self::new("secretsVolume", destination, access)
            }
            Volume::EmptyDir { destination, access } => Self::new("emptydir", destination, access),
            Volume::GitRepo { destination, access } => {
                Self::new("gitRepoVolume", destination, access)
            }
        }
    }

    fn new(kind: &str, destination: String, access: VolumeAccess) -> Self {
        let access = match access {
            VolumeAccess::ReadWrite => "rw",
            VolumeAccess::ReadOnly => "ro",
        };
        Self {
            destination,
            options: ["rbind", "rshared", access].map(str::to_owned).to_vec(),
            source: format!("sandbox:///tmp/atlas/{kind}/.+"),
            r#type: "bind".to_owned(),
        }
    }
}

impl Fragment {
    /// Microsoft's sidecars, which every group on the service has.
    pub fn infrastructure() -> Self {
        Self {
            feed: "mcr.microsoft.com/aci/aci-cc-infra-fragment".to_owned(),
            includes: vec!["containers".to_owned(), "fragments".to_owned()],
            issuer: INFRASTRUCTURE_ISSUER.to_owned(),
            minimum_svn: "4".to_owned(),
        }
    }
}

const RESOLVER: &str = "/etc/resolv.conf";

/// What the service puts into every environment.
const SERVICE_ENVIRONMENT: [&str; 9] = [
    "(?i)(FABRIC)_.+=.+",
    "HOSTNAME=.+",
    "T(E)?MP=.+",
    "FabricPackageFileName=.+",
    "HostedServiceName=.+",
    "IDENTITY_API_VERSION=.+",
    "IDENTITY_HEADER=.+",
    "IDENTITY_SERVER_THUMBPRINT=.+",
    "azurecontainerinstance_restarted_by=.+",
];

/// `16b514057a06ad665f92c02863aca074fd5976c755d26bff16365299169e8415`, the one layer of `pause` 3.1, from the reference
/// tool's `internal_config.json`.
const PAUSE_LAYER: [u8; 32] = [
    0x16, 0xb5, 0x14, 0x05, 0x7a, 0x06, 0xad, 0x66, 0x5f, 0x92, 0xc0, 0x28, 0x63, 0xac, 0xa0, 0x74,
    0xfd, 0x59, 0x76, 0xc7, 0x55, 0xd2, 0x6b, 0xff, 0x16, 0x36, 0x52, 0x99, 0x16, 0x9e, 0x84, 0x15,
];

/// Microsoft's supply chain, for the container infrastructure's key usage.
const INFRASTRUCTURE_ISSUER: &str =
    "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.3";
