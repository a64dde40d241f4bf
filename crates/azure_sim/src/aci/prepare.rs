//! From a group's body to containers that may start: pull, measure, enforce, unpack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::cce::{Capabilities, GroupPolicy, Identity, Mount, Started, default_capabilities};
use image::layer::RootHash;
use image::oci::{Blobs as _, Config, LayerReader, Manifest, MeasuredImage, measure};
use image::unpack::{Limits, unpack};

use super::group::{Container, Group, Security};
use crate::core::{Cloud, encoding};
use crate::registry::{self, Pulled};

/// A container that the policy permits, unpacked.
#[derive(Debug)]
pub(super) struct Ready {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub directory: PathBuf,
}

/// Why a group cannot be made. Codes that are not the service's are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub code: &'static str,
    pub message: String,
}

impl Unfit {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Read the policy: only what our own tool renders is recognised, since only that can be enforced here.
pub(super) fn policy(group: &Group) -> Result<(GroupPolicy, [u8; 32]), Unfit> {
    let text = std::str::from_utf8(&group.policy)
        .map_err(|_| Unfit::new("InvalidCcePolicy", "the CCE policy is not text"))?;
    let policy = GroupPolicy::parse(text).map_err(|cause| {
        Unfit::new(
            "UnsupportedCcePolicy",
            format!("the local cloud cannot enforce this CCE policy: {cause}"),
        )
    })?;
    Ok((policy, image::cce::host_data(text)))
}

/// The pause container is judged like any other, and has no process.
pub(super) fn pause(policy: &GroupPolicy) -> Result<(), Unfit> {
    let root = PAUSE_LAYER
        .parse::<RootHash>()
        .map_err(|_| Unfit::new("InternalError", "the pause container's layer hash is not one"))?;
    let started = Started {
        layers: vec![root],
        command: vec!["/pause".to_owned()],
        environment: vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "TERM=xterm".to_owned(),
        ],
        mounts: Vec::new(),
        working_dir: "/".to_owned(),
        user: Identity { id: 0, name: String::new() },
        groups: Vec::new(),
        umask: UMASK.to_owned(),
        capabilities: capabilities(default_capabilities()),
        no_new_privileges: false,
        insecure_elevated: false,
        seccomp_profile_sha256: String::new(),
    };
    policy.enforce(&started).map(|_| ()).map_err(|refused| denied("pause", &refused))
}

/// Pull a container's image with the group's identity for its registry.
pub(super) fn pull(cloud: &Cloud, group: &Group, container: &Container) -> Result<Pulled, Unfit> {
    let host = container.image.split('/').next().unwrap_or_default();
    let credential =
        group.registries.iter().find(|credential| credential.server.eq_ignore_ascii_case(host));
    let principal = credential.and_then(|credential| {
        cloud.inventory.read(|facts| {
            facts.identities.get(&credential.identity).map(|identity| identity.principal_id)
        })
    });
    registry::pull(cloud, &container.image, principal).map_err(|cause| {
        Unfit::new(
            "InaccessibleImage",
            format!(
                "The image '{}' in container group '{}' is not accessible: {cause}.",
                container.image, group.name
            ),
        )
    })
}

/// Check every digest of the image and hash its layers.
pub(super) fn measured(container: &Container, pulled: &Pulled) -> Result<MeasuredImage, Unfit> {
    let unfit = |cause: &dyn std::error::Error| {
        Unfit::new(
            "InvalidImage",
            format!("The image '{}' is not fit to run: {}.", container.image, chain(cause)),
        )
    };
    let manifest =
        Manifest::parse(pulled.manifest(), Some(pulled.digest())).map_err(|cause| unfit(&cause))?;
    measure(manifest, pulled).map_err(|cause| unfit(&cause))
}

/// Hold the container against the policy; only the environment that it permits comes out.
pub(super) fn enforce(
    policy: &GroupPolicy,
    container: &Container,
    image: &MeasuredImage,
) -> Result<Started, Unfit> {
    let config = image.config();
    let (user, groups) = user(config, container)?;
    let dropped = container.security.capabilities(default_capabilities());
    let mut started = Started {
        layers: image.root_hashes(),
        command: if container.command.is_empty() {
            config.command()
        } else {
            container.command.clone()
        },
        environment: environment(config, container),
        mounts: vec![resolver()],
        working_dir: config.working_dir().to_owned(),
        user,
        groups,
        umask: UMASK.to_owned(),
        capabilities: capabilities(&dropped),
        no_new_privileges: container.security.no_new_privileges,
        insecure_elevated: false,
        seccomp_profile_sha256: String::new(),
    };
    let permitted = policy
        .enforce(&started)
        .map_err(|refused| denied(&container.name, &refused))?
        .environment()
        .to_vec();
    started.environment = permitted;
    Ok(started)
}

/// Unpack the layers into `root`, one upon the other, checking every digest once more on the way.
pub(super) fn place(
    container: &Container,
    pulled: &Pulled,
    image: &MeasuredImage,
    started: &Started,
    root: &Path,
) -> Result<Ready, Unfit> {
    let unfit = |cause: &dyn std::error::Error| {
        Unfit::new(
            "InvalidImage",
            format!("The image '{}' cannot be unpacked: {}.", container.image, chain(cause)),
        )
    };
    std::fs::create_dir_all(root).map_err(|cause| unfit(&cause))?;
    for (layer, diff_id) in image.manifest().layers().iter().zip(image.config().diff_ids()) {
        let blob = pulled.open(layer.blob.digest).map_err(|cause| unfit(&cause))?;
        let mut reader = LayerReader::new(*layer, *diff_id, blob);
        unpack(&mut reader, root, LIMITS).map_err(|cause| unfit(&cause))?;
        reader.finish().map_err(|cause| unfit(&cause))?;
    }
    let under = |path: &str| root.join(path.trim_start_matches('/'));
    let mut command = started.command.iter();
    let program =
        command.next().ok_or_else(|| Unfit::new("InvalidImage", "the container has no command"))?;
    if !program.starts_with('/') {
        // A search along PATH would leave the image.
        return Err(Unfit::new(
            "InvalidImage",
            format!("the command '{program}' is not an absolute path"),
        ));
    }
    let directory = under(&started.working_dir);
    std::fs::create_dir_all(&directory).map_err(|cause| unfit(&cause))?;
    let variable = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    Ok(Ready {
        name: container.name.clone(),
        program: under(program),
        arguments: command.cloned().collect(),
        environment: started.environment.iter().map(variable).collect(),
        directory,
    })
}

impl Security {
    /// What is left of the service's capabilities.
    fn capabilities<'a>(&'a self, default: &[&'a str]) -> Vec<&'a str> {
        let asked = |list: &[String], name: &str| {
            list.iter().any(|one| {
                one.eq_ignore_ascii_case("ALL")
                    || one.eq_ignore_ascii_case(name.trim_start_matches("CAP_"))
                    || one.eq_ignore_ascii_case(name)
            })
        };
        default
            .iter()
            .copied()
            .filter(|name| {
                !asked(&self.drop, name)
                    || self.add.iter().any(|one| one.eq_ignore_ascii_case(name))
            })
            .collect()
    }
}

/// The image's variables, then the body's, which replace those of the same name.
fn environment(config: &Config, container: &Container) -> Vec<String> {
    let mut variables: BTreeMap<&str, &str> =
        config.environment().iter().filter_map(|variable| variable.split_once('=')).collect();
    variables
        .extend(container.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Numbers only: names would have to be looked up in the image.
fn user(config: &Config, container: &Container) -> Result<(Identity, Vec<Identity>), Unfit> {
    let text = config.user().unwrap_or("0");
    let (user, group) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| {
            Unfit::new("InvalidImage", format!("the image's user '{text}' is not a number"))
        })
    };
    let user = container.security.user.map_or_else(|| number(user), Ok)?;
    let group = container.security.group.map_or_else(|| number(group), Ok)?;
    let name = |id: u32| if id == 0 { "root".to_owned() } else { String::new() };
    Ok((Identity { id: user, name: name(user) }, vec![Identity { id: group, name: name(group) }]))
}

fn capabilities(names: &[&str]) -> Capabilities {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        ..Capabilities::default()
    }
}

/// The mount that the service gives every container (azure.md D.4).
fn resolver() -> Mount {
    Mount {
        destination: "/etc/resolv.conf".to_owned(),
        options: ["rbind", "rshared", "rw"].map(str::to_owned).to_vec(),
        source: "sandbox:///tmp/atlas/resolvconf/resolv.conf".to_owned(),
        r#type: "bind".to_owned(),
    }
}

/// The guest's message (azure.md D.4): the decision in base64 between two markers; what is in it is ours.
fn denied(container: &str, refused: &image::cce::Refused) -> Unfit {
    let decision = serde_json::json!({ "decision": "deny", "input": { "rule": "create_container" }, "reason": { "errors": [refused.to_string()] } });
    Unfit::new(
        "ContainerStartFailure",
        format!(
            "failed to create container '{container}': {refused}: policyDecision< {} >policyDecision",
            encoding::b64(decision.to_string())
        ),
    )
}

fn chain(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut source = cause.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// `mcr.microsoft.com/oss/kubernetes/pause` 3.1 (azure.md D.4).
const PAUSE_LAYER: &str = "16b514057a06ad665f92c02863aca074fd5976c755d26bff16365299169e8415";
const UMASK: &str = "0022";
const LIMITS: Limits = Limits { bytes: 4 << 30, entries: 1_000_000 };
