//! A container group as users have it: a template of Azure Resource Manager, or the resource itself, in JSON.
//!
//! What decides the policy is read; what does not (ports, resources, addresses) is passed over; any other key is
//! refused, since it may decide something that is not known here. The resource is `Microsoft.ContainerInstance/
//! containerGroups`, API 2023-05-01 and later. Keys are found in any case, as Resource Manager finds them.

use serde_json::{Map, Value};

use super::definition::Definition;
use super::expression::{ExpressionError, Names, get};
use super::ours::{Escalation, Volume, VolumeAccess};

/// The containers of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmGroup {
    containers: Vec<Definition>,
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
                    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(GROUP)) {
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

    fn read(resource: &At<'_>) -> Result<Self, ArmError> {
        let tags = resource.object("tags")?;
        if let Some(tag) = tags.and_then(|tags| tags.find("Annotate-zero-sidecar")) {
            return Err(tag.0.not_supported("a group without the service's sidecars"));
        }
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
        Ok(Self { containers })
    }
}

fn definition(container: &At<'_>, volumes: &[At<'_>]) -> Result<Definition, ArmError> {
    container.only(&["name", "properties"])?;
    let name = container.required_text("name")?;
    let properties = container.required_object("properties")?;
    properties.only(CONTAINER_KEYS)?;
    let image = properties.required_text("image")?;
    if SIDECARS.iter().any(|prefix| image.starts_with(prefix)) {
        return Err(properties.at("image").not_supported("a sidecar of the service"));
    }
    let mut definition = Definition::new(&name, &image);
    definition.command = properties.texts("command")?;
    for variable in properties.objects("environmentVariables")? {
        // Everybody may read a policy, and a secret value would be in it.
        variable.only(&["name", "value"])?;
        let pair = (variable.required_text("name")?, variable.required_text("value")?);
        definition.environment.push(pair);
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
    ])?;
    if security.flag("privileged")? == Some(true) {
        return Err(security.at("privileged").not_supported("a privileged container"));
    }
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
        volume.only(&["name", "azureFile", "secret", "emptyDir"])?;
        let has = |key| volume.find(key).is_some();
        return match (has("azureFile"), has("secret"), has("emptyDir")) {
            (true, false, false) => Ok(Volume::AzureFile { destination, access }),
            (false, true, false) => Ok(Volume::Secret { destination, access }),
            (false, false, true) => Ok(Volume::EmptyDir { destination, access }),
            _ => Err(volume.at("name").expected("one of azureFile, secret and emptyDir")),
        };
    }
    Err(mount.at("name").expected("the name of a volume of the group"))
}

fn object(bytes: &[u8], what: &'static str) -> Result<Map<String, Value>, ArmError> {
    serde_json::from_slice(bytes).map_err(|error| ArmError::Json(what, error))
}

/// An object of the document, and where it is.
struct At<'a> {
    names: &'a Names,
    path: String,
    object: &'a Map<String, Value>,
}

/// A place of the document.
struct Place(String);

impl Place {
    fn expected(self, expected: &'static str) -> ArmError {
        ArmError::Expected { at: self.0, expected }
    }

    fn not_supported(self, what: &str) -> ArmError {
        ArmError::NotSupported { at: self.0, what: what.to_owned() }
    }
}

impl<'a> At<'a> {
    fn at(&self, key: &str) -> Place {
        Place(format!("{}.{key}", self.path))
    }

    fn find(&self, key: &str) -> Option<(Place, &'a Value)> {
        get(self.object, key).map(|value| (self.at(key), value))
    }

    /// Refuses keys that are not known, or are there twice in different case.
    fn only(&self, known: &[&str]) -> Result<(), ArmError> {
        let mut seen = Vec::new();
        for (key, value) in self.object {
            let lower = key.to_ascii_lowercase();
            let twice = seen.contains(&lower);
            let unknown = !known.iter().any(|known| known.eq_ignore_ascii_case(key));
            if twice || unknown && !value.is_null() {
                return Err(self.at(key).not_supported(if twice { "a key twice" } else { "this" }));
            }
            seen.push(lower);
        }
        Ok(())
    }

    fn value(&self, key: &str) -> Result<Option<&'a Value>, ArmError> {
        let Some((place, value)) = self.find(key) else { return Ok(None) };
        let resolved = self.names.resolve(value);
        resolved.map(Some).map_err(|source| ArmError::Expression { at: place.0, source })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ArmError> {
        let Some(value) = self.value(key)? else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.at(key).expected(expected))
    }

    fn text(&self, key: &str) -> Result<Option<String>, ArmError> {
        self.typed(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    fn required_text(&self, key: &str) -> Result<String, ArmError> {
        self.text(key)?.ok_or_else(|| self.at(key).expected("a text"))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ArmError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn number(&self, key: &str) -> Result<Option<u32>, ArmError> {
        let number = |value: &Value| value.as_u64().and_then(|number| number.try_into().ok());
        self.typed(key, "a number from 0 to 4294967295", number)
    }

    fn object(&self, key: &str) -> Result<Option<Self>, ArmError> {
        let object = self.typed(key, "an object", Value::as_object)?;
        Ok(object.map(|object| Self { names: self.names, path: self.at(key).0, object }))
    }

    fn required_object(&self, key: &str) -> Result<Self, ArmError> {
        self.object(key)?.ok_or_else(|| self.at(key).expected("an object"))
    }

    fn objects(&self, key: &str) -> Result<Vec<Self>, ArmError> {
        let list = self.typed(key, "a list", Value::as_array)?.into_iter().flatten().enumerate();
        let object = |(index, value): (usize, &'a Value)| {
            let path = format!("{}.{key}[{index}]", self.path);
            match value.as_object() {
                Some(object) => Ok(Self { names: self.names, path, object }),
                None => Err(Place(path).expected("an object")),
            }
        };
        list.map(object).collect()
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, ArmError> {
        let list = self.typed(key, "a list", Value::as_array)?.into_iter().flatten().enumerate();
        let text = |(index, value): (usize, &'a Value)| {
            let path = format!("{}.{key}[{index}]", self.path);
            let resolved = self.names.resolve(value);
            let value = resolved
                .map_err(|source| ArmError::Expression { at: path.clone(), source })?
                .as_str();
            value.map(str::to_owned).ok_or_else(|| Place(path).expected("a text"))
        };
        list.map(text).collect()
    }
}

const GROUP: &str = "Microsoft.ContainerInstance/containerGroups";

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

/// The reference tool gives these other rules.
const SIDECARS: [&str; 2] = ["mcr.microsoft.com/aci/", "k8s.gcr.io/pause"];
