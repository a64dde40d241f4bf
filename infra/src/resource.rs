//! One resource of Azure as it should be.
//!
//! A [`Resource`] knows what is sent to make it and what must be found when it is looked at. These differ: some values
//! exist only after something else was made, some are never shown again, some are taken at creation only.

use std::fmt;

use serde_json::{Map, Value};

/// The id of a resource; Azure does not care about case and changes it at will.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceId(pub(crate) String);

/// A resource as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub(crate) id: ResourceId,
    pub(crate) kind: Kind,
    /// What is sent, without the late values.
    pub(crate) body: Value,
    /// Values that are known only after other resources were made, and where in the body they go.
    pub(crate) late: &'static [(Late, Path)],
    /// Members that are sent and never shown.
    pub(crate) unshown: &'static [Path],
    /// Members that are taken at creation only.
    pub(crate) once: &'static [Path],
    /// Members that are shown and not sent.
    pub(crate) shown: Value,
}

/// What kind of resource it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A resource group.
    ResourceGroup,
    /// A user-assigned managed identity.
    ManagedIdentity,
    /// An attestation provider.
    AttestationProvider,
    /// A key vault.
    KeyVault,
    /// A storage account.
    StorageAccount,
    /// A container of a storage account.
    StorageContainer,
    /// A container registry.
    Registry,
    /// A log workspace.
    LogWorkspace,
    /// A custom role.
    RoleDefinition,
    /// A role that somebody has somewhere.
    RoleAssignment,
    /// A container group.
    ContainerGroup,
}

/// What Azure tells while resources are being made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The principal of the server's managed identity (`properties.principalId`).
    pub server_principal: Option<String>,
    /// The log workspace.
    pub workspace: Option<WorkspaceAccess>,
}

/// What a container group needs to send logs.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkspaceAccess {
    /// `properties.customerId`.
    pub customer_id: String,
    /// The primary key of `sharedKeys`. Absent where the workspace is only compared.
    pub shared_key: Option<String>,
}

/// The members that lead to a value.
pub(crate) type Path = &'static [&'static str];

/// A value that exists only after another resource was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    ServerPrincipal,
    WorkspaceId,
    WorkspaceKey,
}

/// A resource that must be made first has not been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} needs {what}, which is not known yet")]
pub struct MissingOutput {
    id: String,
    what: &'static str,
}

impl Resource {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is sent to create it.
    ///
    /// # Errors
    /// A resource that it depends on has not been made.
    pub fn body(&self, outputs: &Outputs) -> Result<Value, MissingOutput> {
        let mut body = self.body.clone();
        for (late, path) in self.late {
            let value = late
                .of(outputs)
                .ok_or_else(|| MissingOutput { id: self.id.to_string(), what: late.name() })?;
            insert(&mut body, path, Value::String(value));
        }
        Ok(body)
    }

    /// What is sent to change it once it exists: the same without what is taken at creation only.
    ///
    /// # Errors
    /// As [`Self::body`].
    pub fn update(&self, outputs: &Outputs) -> Result<Value, MissingOutput> {
        let mut body = self.body(outputs)?;
        self.once.iter().for_each(|path| remove(&mut body, path));
        Ok(body)
    }

    /// What must be found when it is looked at: each member here must be there with this value, others may be. What is
    /// not known yet is left out.
    #[must_use]
    pub fn expected(&self, outputs: &Outputs) -> Value {
        let mut body = self.body.clone();
        for (late, path) in self.late {
            if let Some(value) = late.of(outputs) {
                insert(&mut body, path, Value::String(value));
            }
        }
        self.unshown.iter().for_each(|path| remove(&mut body, path));
        merge(&mut body, &self.shown);
        body
    }
}

impl ResourceId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text is this id in any spelling.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.0.eq_ignore_ascii_case(text)
    }

    /// The last part.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    pub(crate) fn join(&self, rest: impl fmt::Display) -> Self {
        Self(format!("{}/{rest}", self.0))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind {
    /// The api-version of its requests.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ResourceGroup => "2021-04-01",
            Self::ManagedIdentity => "2023-01-31",
            Self::AttestationProvider => "2021-06-01",
            Self::KeyVault => "2025-05-01",
            Self::StorageAccount | Self::StorageContainer | Self::ContainerGroup => "2023-05-01",
            Self::Registry => "2023-07-01",
            Self::LogWorkspace => "2023-09-01",
            Self::RoleDefinition | Self::RoleAssignment => "2022-04-01",
        }
    }

    /// What a person calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ResourceGroup => "resource group",
            Self::ManagedIdentity => "managed identity",
            Self::AttestationProvider => "attestation provider",
            Self::KeyVault => "key vault",
            Self::StorageAccount => "storage account",
            Self::StorageContainer => "storage container",
            Self::Registry => "container registry",
            Self::LogWorkspace => "log workspace",
            Self::RoleDefinition => "role definition",
            Self::RoleAssignment => "role assignment",
            Self::ContainerGroup => "container group",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Without the key.
impl fmt::Debug for WorkspaceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceAccess")
            .field("customer_id", &self.customer_id)
            .finish_non_exhaustive()
    }
}

impl Late {
    fn of(self, outputs: &Outputs) -> Option<String> {
        let workspace = outputs.workspace.as_ref();
        match self {
            Self::ServerPrincipal => outputs.server_principal.clone(),
            Self::WorkspaceId => workspace.map(|workspace| workspace.customer_id.clone()),
            Self::WorkspaceKey => workspace.and_then(|workspace| workspace.shared_key.clone()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ServerPrincipal => "the principal of the server's identity",
            Self::WorkspaceId => "the log workspace's id",
            Self::WorkspaceKey => "the log workspace's key",
        }
    }
}

/// Puts a value at a path, making the objects on the way.
fn insert(body: &mut Value, path: &[&str], value: Value) {
    let Some((last, way)) = path.split_last() else { return };
    let mut at = body;
    for part in way {
        let Value::Object(members) = at else { return };
        at = members.entry(*part).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Value::Object(members) = at {
        members.insert((*last).to_owned(), value);
    }
}

fn remove(body: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else { return };
    let at = way.iter().try_fold(body, |at, part| at.get_mut(*part));
    if let Some(Value::Object(members)) = at {
        members.remove(*last);
    }
}

fn merge(body: &mut Value, more: &Value) {
    match (body, more) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                merge(members.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (body, more) => *body = more.clone(),
    }
}
