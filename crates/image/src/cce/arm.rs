//! A container group as users have it: a template of Azure Resource Manager, or the resource itself, in JSON.
//!
//! What decides the policy is read; what does not (ports, resources, addresses) is passed over; any other key is
//! refused, since it may decide something that is not known here. The resource is `Microsoft.ContainerInstance/
//! containerGroups`, API 2023-05-01 and later. Keys are found in any case, as Resource Manager finds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::definition::Definition;
use super::document::At;
use super::expression::{ExpressionError, Names, get};
use super::ours::{Volume, VolumeAccess};
use super::privileges::{Elevation, Escalation};
use super::seccomp::{SeccompError, SeccompProfile};

/// The containers of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmGroup {
    containers: Vec<Definition>,
    sidecars: Sidecars,
}

/// Whether the service puts its own containers beside a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sidecars {
    /// It does, and the policy admits the fragment that they are in.
    OfTheService,
    /// The group's tag `Annotate-zero-sidecar` says that it does not.
    None,
}

/// Why no policy is derived from a definition; it says where.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// Not JSON.
    #[error("{0} does not parse")]
    Json(&'static str, #[source] serde_json::Error),
    /// A value that is not known.
    #[error("{at}")]
    Expression {
        /// Where it is.
        at: String,
        /// Why.
        #[source]
        source: ExpressionError,
    },
    /// Something that is missing or of another type.
    #[error("{at}: expected {expected}")]
    Expected {
        /// Where it is.
        at: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A seccomp profile that has no hash.
    #[error("{at}")]
    Seccomp {
        /// Where it is.
        at: String,
        /// Why.
        #[source]
        source: SeccompError,
    },
    /// Something whose effect on the policy is not known here.
    #[error("{at}: {what} is not supported")]
    NotSupported {
        /// Where it is.
        at: String,
        /// What it is.
        what: String,
    },
}

impl ArmGroup {
    /// Reads a template with its parameters file, or a resource.
    pub fn parse(template: &[u8], parameters: Option<&[u8]>) -> Result<Self, ArmError> {
        let document = object(template, "the template")?;
        let file = parameters.map(|bytes| object(bytes, "the parameters file")).transpose()?;
        let names = Names::new(&document, file.as_ref())
            .map_err(|source| ArmError::Expression { at: "template".to_owned(), source })?;
        match get(&document, "resources") {
            None => {
                let root = At { names: &names, path: "group".to_owned(), object: &document };
                root.only(&[RESOURCE, &["id", "systemData", "etag"]].concat())?;
                Self::read(&root)
            }
            Some(resources) => {
                let resources = resources.as_array().ok_or_else(|| ArmError::Expected {
                    at: "resources".to_owned(),
                    expected: "a list",
                })?;
                let mut groups = Vec::new();
                for (index, resource) in resources.iter().enumerate() {
                    let path = format!("resources[{index}]");
                    let object = resource.as_object().ok_or_else(|| ArmError::Expected {
                        at: path.clone(),
                        expected: "a resource",
                    })?;
                    let resource = At { names: &names, path, object };
                    let kind = resource.text("type")?;
                    if kind.is_some_and(|kind| {
                        GROUPS.iter().any(|known| kind.eq_ignore_ascii_case(known))
                    }) {
                        groups.push(resource);
                    }
                }
                let [group] = groups.as_slice() else {
                    let what = format!("a template with {} container groups", groups.len());
                    return Err(ArmError::NotSupported { at: "resources".to_owned(), what });
                };
                group.only(RESOURCE)?;
                Self::read(group)
            }
        }
    }

    /// Its containers and then its init containers, as the policy has them.
    pub fn containers(&self) -> &[Definition] {
        &self.containers
    }

    /// Whether the policy admits the service's own containers.
    pub fn sidecars(&self) -> Sidecars {
        self.sidecars
    }

    fn read(resource: &At<'_>) -> Result<Self, ArmError> {
        let sidecars = sidecars(resource)?;
        let group = resource.required_object("properties")?;
        group.only(GROUP_KEYS)?;
        for (key, wanted) in [("sku", "Confidential"), ("osType", "Linux")] {
            let found = group.text(key)?;
            if let Some(other) = found.filter(|found| !found.eq_ignore_ascii_case(wanted)) {
                return Err(group.at(key).not_supported(&format!("{other:?}")));
            }
        }
        if let Some(confidential) = group.object("confidentialComputeProperties")? {
            confidential.only(&["ccePolicy"])?;
        }
        let volumes = group.objects("volumes")?;
        let mut containers = Vec::new();
        for key in ["containers", "initContainers"] {
            for container in group.objects(key)? {
                containers.push(definition(&container, &volumes)?);
            }
        }
        if containers.is_empty() {
            return Err(group.at("containers").expected("at least one container"));
        }
        Ok(Self { containers, sidecars })
    }
}

/// Versions of the reference tool differ in what any other value of the tag means.
fn sidecars(resource: &At<'_>) -> Result<Sidecars, ArmError> {
    const TAG: &str = "Annotate-zero-sidecar";
    let Some(tags) = resource.object("tags")? else { return Ok(Sidecars::OfTheService) };
    match tags.text(TAG)? {
        None => Ok(Sidecars::OfTheService),
        Some(tag) if tag.eq_ignore_ascii_case("true") => Ok(Sidecars::None),
        Some(other) => Err(tags.at(TAG).not_supported(&format!("{other:?}"))),
    }
}

fn definition(container: &At<'_>, volumes: &[At<'_>]) -> Result<Definition, ArmError> {
    container.only(&["name", "properties"])?;
    let name = container.required_text("name")?;
    let properties = container.required_object("properties")?;
    properties.only(CONTAINER_KEYS)?;
    let image = properties.required_text("image")?;
    if image.split(':').next().is_some_and(|base| SIDECARS.contains(&base)) {
        return Err(properties.at("image").not_supported("a sidecar of the service"));
    }
    let mut definition = Definition::new(&name, &image);
    definition.command = properties.texts("command")?;
    for variable in properties.objects("environmentVariables")? {
        variable.only(&["name", "value", "secureValue"])?;
        // The policy fixes a secure value too, so whoever may read the policy may read it.
        let given = (variable.text("value")?, variable.text("secureValue")?);
        let ((Some(value), None) | (None, Some(value))) = given else {
            return Err(variable.at("value").expected("one of value and secureValue"));
        };
        definition.environment.push((variable.required_text("name")?, value));
    }
    for mount in properties.objects("volumeMounts")? {
        definition.volumes.push(volume(&mount, volumes)?);
    }
    for probe in ["readinessProbe", "livenessProbe"] {
        let Some(probe) = properties.object(probe)? else { continue };
        let Some(exec) = probe.object("exec")? else { continue };
        exec.only(&["command"])?;
        let command = exec.texts("command")?;
        if command.is_empty() {
            return Err(exec.at("command").expected("a command"));
        }
        if !definition.exec.contains(&command) {
            definition.exec.push(command);
        }
    }
    if let Some(security) = properties.object("securityContext")? {
        secure(&security, &mut definition)?;
    }
    Ok(definition)
}

fn secure(security: &At<'_>, definition: &mut Definition) -> Result<(), ArmError> {
    security.only(&[
        "privileged",
        "allowPrivilegeEscalation",
        "capabilities",
        "runAsUser",
        "runAsGroup",
        "seccompProfile",
    ])?;
    if security.flag("privileged")? == Some(true) {
        definition.elevation = Elevation::Privileged;
    }
    definition.seccomp = seccomp(security)?;
    if security.flag("allowPrivilegeEscalation")? == Some(false) {
        definition.escalation = Escalation::Impossible;
    }
    definition.user = security.number("runAsUser")?;
    definition.group = security.number("runAsGroup")?;
    if let Some(capabilities) = security.object("capabilities")? {
        capabilities.only(&["add", "drop"])?;
        let named = |key, all: bool| {
            let names = capabilities.texts(key)?;
            let capability = |name: &str| {
                name.strip_prefix("CAP_").is_some_and(|rest| {
                    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                })
            };
            match names.iter().find(|name| !(capability(name) || all && name.as_str() == "ALL")) {
                Some(name) => Err(capabilities.at(key).not_supported(&format!("{name:?}"))),
                None => Ok(names),
            }
        };
        definition.add = named("add", false)?;
        definition.drop = named("drop", true)?;
    }
    Ok(())
}

fn seccomp(security: &At<'_>) -> Result<Option<SeccompProfile>, ArmError> {
    const KEY: &str = "seccompProfile";
    let Some(text) = security.text(KEY)? else { return Ok(None) };
    let json =
        STANDARD.decode(text).map_err(|_| security.at(KEY).expected("a profile in base64"))?;
    let profile = SeccompProfile::parse(&json);
    profile.map(Some).map_err(|source| ArmError::Seccomp { at: security.at(KEY).0, source })
}

fn volume(mount: &At<'_>, volumes: &[At<'_>]) -> Result<Volume, ArmError> {
    mount.only(&["name", "mountPath", "readOnly"])?;
    let name = mount.required_text("name")?;
    let destination = mount.required_text("mountPath")?;
    let access = match mount.flag("readOnly")? {
        Some(true) => VolumeAccess::ReadOnly,
        Some(false) | None => VolumeAccess::ReadWrite,
    };
    for volume in volumes {
        if volume.required_text("name")? != name {
            continue;
        }
        volume.only(&["name", "azureFile", "secret", "emptyDir", "gitRepo"])?;
        let kinds = ["azureFile", "secret", "emptyDir", "gitRepo"];
        let kinds: Vec<_> = kinds.into_iter().filter(|key| volume.find(key).is_some()).collect();
        return match kinds.as_slice() {
            ["azureFile"] => Ok(Volume::AzureFile { destination, access }),
            ["secret"] => Ok(Volume::Secret { destination, access }),
            ["emptyDir"] => Ok(Volume::EmptyDir { destination, access }),
            ["gitRepo"] => Ok(Volume::GitRepo { destination, access }),
            _ => Err(volume.at("name").expected("one of azureFile, secret, emptyDir and gitRepo")),
        };
    }
    Err(mount.at("name").expected("the name of a volume of the group"))
}

fn object(bytes: &[u8], what: &'static str) -> Result<Map<String, Value>, ArmError> {
    serde_json::from_slice(bytes).map_err(|error| ArmError::Json(what, error))
}

/// A profile is a group that is made later, of the same form.
const GROUPS: [&str; 2] = [
    "Microsoft.ContainerInstance/containerGroups",
    "Microsoft.ContainerInstance/containerGroupProfiles",
];

const RESOURCE: &[&str] = &[
    "type",
    "apiVersion",
    "name",
    "location",
    "identity",
    "tags",
    "zones",
    "dependsOn",
    "comments",
    "properties",
];

/// Those that decide nothing of the policy are here too.
const GROUP_KEYS: &[&str] = &[
    "sku",
    "osType",
    "restartPolicy",
    "confidentialComputeProperties",
    "ipAddress",
    "subnetIds",
    "dnsConfig",
    "imageRegistryCredentials",
    "volumes",
    "diagnostics",
    "initContainers",
    "containers",
    "secretReferences",
    "identityAcls",
    "provisioningState",
    "instanceView",
    "encryptionProperties",
    "priority",
];

const CONTAINER_KEYS: &[&str] = &[
    "image",
    "command",
    "ports",
    "environmentVariables",
    "resources",
    "volumeMounts",
    "livenessProbe",
    "readinessProbe",
    "securityContext",
    "instanceView",
];

/// Images of the service's own containers, to which the reference tool gives other rules. Others of its registry, for
/// instance those that release keys or mount encrypted files, are a user's like any image.
const SIDECARS: [&str; 9] = [
    "mcr.microsoft.com/aci/msi-atlas-adapter",
    "mcr.microsoft.com/aci/atlas-mount-azure-file-volume",
    "mcr.microsoft.com/aci/atlas-mount-secrets-volume",
    "mcr.microsoft.com/aci/atlas-netstats",
    "mcr.microsoft.com/aci/atlas-mount-resolv-conf",
    "mcr.microsoft.com/aci/atlas-mount-gitrepo-volume",
    "k8s.gcr.io/pause",
    "mcr.microsoft.com/aci/sc-proxy",
    "mcr.microsoft.com/aci/vk-metrics-sidecar",
];
