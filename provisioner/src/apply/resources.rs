//! Steps about Azure's resources and the image.

use azure::arm::{ApiVersion, ArmError};
use infra::{Kind, Resource, WorkspaceAccess};
use serde_json::{Value, json};

use super::{Applying, Roles};
use crate::cloud::Cloud;
use crate::failure::{Failure, While as _};
use crate::inventory::reading::{fetch, id, version};
use crate::measure;
use crate::plan::compare;

impl Applying<'_> {
    pub(super) async fn create(&mut self, resource: &Resource) -> Result<(), Failure> {
        if resource.kind() == Kind::ContainerGroup {
            self.workspace_key().await?;
        }
        let body = self.body(resource, Resource::body)?;
        let (path, version) = (id(resource.id().as_str())?, version(resource));
        let made = match self.cloud.arm.put(&path, version, &body).await {
            // Somebody else made it at the same time, which is as good: it is idempotent by its name.
            Err(error @ ArmError::Conflict(_)) if resource.kind() != Kind::ContainerGroup => {
                match fetch(self.cloud, resource).await? {
                    Some(found) => found,
                    None => return Err(error).during(|| changing(resource)),
                }
            }
            Err(error @ ArmError::Failed(_)) if resource.kind() == Kind::ContainerGroup => {
                let events = events(self.cloud, resource).await;
                return Err(error).during(|| format!("{}{events}", changing(resource)));
            }
            other => other.during(|| changing(resource))?,
        };
        self.learn(resource, &made)
    }

    pub(super) async fn update(&mut self, resource: &Resource) -> Result<(), Failure> {
        let body = self.body(resource, Resource::update)?;
        let made = self.put(resource, &body).await?;
        self.learn(resource, &made)
    }

    pub(super) async fn retag(&self, resource: &Resource) -> Result<(), Failure> {
        let tags = resource.expected(&self.outputs).get("tags").cloned().unwrap_or_default();
        let (id, version) = (id(resource.id().as_str())?, version(resource));
        let body = json!({ "tags": tags });
        self.cloud.arm.patch(&id, version, &body).await.during(|| changing(resource)).map(drop)
    }

    pub(super) async fn replace(&mut self, resource: &Resource) -> Result<(), Failure> {
        let (path, version) = (id(resource.id().as_str())?, version(resource));
        self.cloud.arm.delete(&path, version).await.during(|| changing(resource))?;
        self.create(resource).await
    }

    /// Azure recovers a vault in the same call that makes one; its settings are compared in the next plan.
    pub(super) async fn recover_vault(&mut self, resource: &Resource) -> Result<(), Failure> {
        let mut body = self.body(resource, Resource::body)?;
        if let Some(Value::Object(properties)) = body.get_mut("properties") {
            properties.insert("createMode".to_owned(), json!("recover"));
        }
        let made = self.put(resource, &body).await?;
        self.learn(resource, &made)
    }

    pub(super) async fn start_group(&self, resource: &Resource) -> Result<(), Failure> {
        let (id, version) = (id(resource.id().as_str())?, version(resource));
        let started = self.cloud.arm.post(&id, "start", version, None).await;
        started.during(|| changing(resource)).map(drop)
    }

    pub(super) async fn push_image(&self) -> Result<(), Failure> {
        let doing = || "pushing the server's image".to_owned();
        let layout =
            self.measured.built.as_ref().ok_or_else(|| {
                Failure::new(doing(), "let the image be built: image = \"build\"")
            })?;
        let (blobs, manifest) = measure::blobs(layout, &self.measured.image)?;
        let (client, repository) = measure::registry(&self.deployment.manifest, self.cloud)?;
        let tag = Some(self.deployment.name());
        let pushed = client.push(&repository, &blobs, &manifest, tag).await.during(doing)?;
        if pushed.to_string() == self.measured.image.digest.to_string() {
            Ok(())
        } else {
            Err(Failure::new("the registry stored another image", "run again"))
        }
    }

    async fn put(&self, resource: &Resource, body: &Value) -> Result<Value, Failure> {
        let (id, version) = (id(resource.id().as_str())?, version(resource));
        self.cloud.arm.put(&id, version, body).await.during(|| changing(resource))
    }

    fn body(
        &self,
        resource: &Resource,
        of: impl Fn(&Resource, &infra::Outputs) -> Result<Value, infra::MissingOutput>,
    ) -> Result<Value, Failure> {
        of(resource, &self.outputs).map_err(|error| {
            Failure::of(
                changing(resource),
                error,
                "run again; if it persists, this is a fault of ours",
            )
        })
    }

    /// Takes from what was made what others need, and compares the addresses that the measured trust root will name.
    fn learn(&mut self, resource: &Resource, made: &Value) -> Result<(), Failure> {
        let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        match resource.kind() {
            Kind::ManagedIdentity => {
                self.outputs.server_principal = text("/properties/principalId");
            }
            Kind::LogWorkspace => {
                self.outputs.workspace = text("/properties/customerId")
                    .map(|customer_id| WorkspaceAccess { customer_id, shared_key: None });
            }
            Kind::RoleAssignment => self.roles = Roles::Fresh,
            Kind::AttestationProvider | Kind::KeyVault => {
                let expected = resource.expected(&self.outputs);
                let address = compare(&expected, made).into_iter().find(|change| {
                    ["/properties/attestUri", "/properties/vaultUri"]
                        .contains(&change.path.as_str())
                });
                if let Some(change) = address {
                    let found = change.found.unwrap_or_default();
                    return Err(Failure::refused(
                        format!(
                            "{} {} has the address {found}",
                            resource.kind(),
                            resource.id().name()
                        ),
                        format!(
                            "say address = {found} in the manifest (without a slash at its end)"
                        ),
                    ));
                }
            }
            Kind::ResourceGroup
            | Kind::StorageAccount
            | Kind::StorageContainer
            | Kind::Registry
            | Kind::RoleDefinition
            | Kind::ContainerGroup => {}
        }
        Ok(())
    }

    /// The key with which the container group sends logs. It is sent with the group and shown never again.
    async fn workspace_key(&mut self) -> Result<(), Failure> {
        let workspace = self.intent.rendered.resources.find(Kind::LogWorkspace);
        let (Some(access), Some(workspace)) = (&mut self.outputs.workspace, workspace) else {
            return Ok(());
        };
        let id = id(workspace.id().as_str())?;
        let keys = self.cloud.arm.post(&id, "sharedKeys", SHARED_KEYS, None).await;
        let keys = keys.during(|| "reading the log workspace's key".to_owned())?;
        access.shared_key = keys.get("primarySharedKey").and_then(Value::as_str).map(str::to_owned);
        Ok(())
    }
}

/// What a group's instance view says happened; empty if it says nothing.
async fn events(cloud: &Cloud, resource: &Resource) -> String {
    let Ok(Some(body)) = fetch(cloud, resource).await else { return String::new() };
    let lists = [
        "/properties/instanceView/events",
        "/properties/containers/0/properties/instanceView/events",
    ];
    let lists = lists.iter().filter_map(|list| body.pointer(list).and_then(Value::as_array));
    let messages = lists.flatten().filter_map(|event| event.get("message").and_then(Value::as_str));
    let mut out = String::new();
    for message in messages.take(10) {
        out.push_str("\n    | ");
        out.extend(message.chars().filter(|c| !c.is_control()).take(400));
    }
    out
}

fn changing(resource: &Resource) -> String {
    format!("changing {} {}", resource.kind(), resource.id().name())
}

/// `Microsoft.OperationalInsights/workspaces/sharedKeys`, which has no later version.
const SHARED_KEYS: ApiVersion = ApiVersion("2020-08-01");
