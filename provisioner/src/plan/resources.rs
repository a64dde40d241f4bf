//! The steps about Azure's resources, the image and the attestation policy.

use infra::{Kind, Resource};
use manifest::{ServerImage, Trust};
use serde_json::Value;

use super::{Change, Intent, KeyChoice, Operation, Plan, compare};
use crate::inventory::{Inventory, Presence, Reading};
use crate::plan::action::Action;
use evidence::Sha256;

/// Everything that is there before any key.
pub(super) fn foundation(intent: Intent<'_>, have: &Inventory, plan: &mut Plan) {
    for resource in &intent.rendered.resources.foundation {
        reconcile(intent, resource, have, plan);
    }
}

/// The server's right to have the key released; it lies on the key.
pub(super) fn after_key(
    intent: Intent<'_>,
    have: &Inventory,
    key: &Option<KeyChoice>,
    plan: &mut Plan,
) {
    if key.is_some() {
        for resource in &intent.rendered.resources.after_key {
            reconcile(intent, resource, have, plan);
        }
    }
}

/// The server's container group, which comes last. One that runs a store that is gone is replaced.
pub(super) fn group(intent: Intent<'_>, have: &Inventory, store: StoreChange, plan: &mut Plan) {
    let group = &intent.rendered.resources.group;
    let before = plan.actions.len();
    reconcile(intent, group, have, plan);
    let state = have
        .resource(group.id())
        .and_then(|found| found.pointer("/properties/instanceView/state").and_then(Value::as_str));
    let changed = plan.actions.len() > before;
    if let (false, StoreChange::BegunAnew) = (changed, store) {
        let operation = Operation::Replace(group.clone());
        return plan.act(operation, group.id().name(), "serves the store that is gone");
    }
    if let (false, Some(state @ ("Stopped" | "Succeeded" | "Failed"))) = (changed, state) {
        let operation = Operation::StartGroup(group.clone());
        plan.act(operation, group.id().name(), format!("is not running: {state}"));
    }
}

/// The image, if the registry lacks it.
pub(super) fn image(intent: Intent<'_>, have: &Inventory, plan: &mut Plan) {
    let reference = intent.rendered.group.image();
    match (&intent.manifest.server().image, &have.image) {
        (_, Reading::Found(Presence::Present)) => {}
        (ServerImage::Build, Reading::Absent | Reading::Found(Presence::Missing)) => {
            plan.act(Operation::PushImage, reference, "is not in the registry");
        }
        (ServerImage::Digest(_), Reading::Absent | Reading::Found(Presence::Missing)) => {
            plan.refuse(
                format!("image {reference}"),
                "is not in the registry",
                "push it, or let the image be built: image = \"build\"",
            );
        }
        (_, Reading::Denied) => {
            plan.unread.insert("the registry");
        }
    }
}

/// The attestation policy, if another is in force.
pub(super) fn attestation_policy(intent: Intent<'_>, have: &Inventory, plan: &mut Plan) {
    let wanted = &intent.rendered.attestation;
    let provider = intent.manifest.attestation().provider.as_str();
    let anew = plan.actions.iter().any(|action| {
        matches!(&action.operation, Operation::Replace(resource) if resource.kind() == Kind::AttestationProvider)
    });
    let reason = match &have.policy {
        Reading::Found(_) if anew => "the provider is made anew".to_owned(),
        Reading::Absent => "the provider is new; its default policy permits everything".to_owned(),
        Reading::Denied => {
            plan.unread.insert("the attestation policy");
            return;
        }
        Reading::Found(found) => {
            policy_signers(intent, &found.signers, plan);
            match &found.text {
                Some(text) if text == wanted.text() => return,
                Some(text) => {
                    format!(
                        "another policy is in force, with the hash {}",
                        maa::policy::policy_hash(text)
                    )
                }
                None => "no policy of ours is in force".to_owned(),
            }
        }
    };
    plan.act(
        Operation::SetAttestationPolicy,
        format!("{provider}, hash {}", wanted.hash()),
        reason,
    );
}

/// An isolated provider takes policies from these only; who is missing or was added cannot be seen in its resource.
fn policy_signers(intent: Intent<'_>, found: &[String], plan: &mut Plan) {
    let expected: Vec<String> = match intent.manifest.attestation().trust {
        Trust::Entra => return,
        Trust::Isolated => {
            let signers = intent.rendered.trust_root.signers();
            signers.iter().map(|signer| signer.0.to_string()).collect()
        }
    };
    let mut found = found.to_vec();
    found.sort();
    if found != expected {
        plan.refuse(
            format!("attestation provider {}", intent.manifest.attestation().provider),
            format!(
                "its policies may be signed by {} certificates that are not just the manifest's signers",
                found.len()
            ),
            "delete the provider in Azure and deploy again: it is made anew with the manifest's signers",
        );
    }
}

fn reconcile(intent: Intent<'_>, resource: &Resource, have: &Inventory, plan: &mut Plan) {
    let subject = name(intent, resource);
    let Some(found) = have.resource(resource.id()) else {
        if resource.kind() == Kind::KeyVault && have.deleted_vault.is_some() {
            plan.unread.insert("the vault");
            let operation = Operation::RecoverVault(resource.clone());
            return plan.act(
                operation,
                subject,
                "is soft-deleted; it is recovered with its keys and secrets",
            );
        }
        return plan.act(Operation::Create(resource.clone()), subject, "does not exist");
    };
    let expected = resource.expected(&have.outputs);
    let changes = compare(&expected, found);
    if changes.is_empty() {
        return;
    }
    let operation = match judge(resource, &changes) {
        Judgement::Update => Operation::Update(resource.clone()),
        Judgement::Retag => Operation::Retag(resource.clone()),
        Judgement::Replace => Operation::Replace(resource.clone()),
        Judgement::Refuse(remedy) => {
            let reason = changes.iter().map(describe).collect::<Vec<_>>().join("; ");
            return plan.refuse(format!("{} {subject}", resource.kind()), reason, remedy);
        }
    };
    let reason = "differs".to_owned();
    plan.actions.push(Action { operation, subject, reason, changes });
}

/// Whether the store is another than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreChange {
    /// It is the same, or the first.
    None,
    /// An empty one takes its place.
    BegunAnew,
}

enum Judgement {
    Update,
    Retag,
    Replace,
    Refuse(String),
}

/// How a difference is repaired.
fn judge(resource: &Resource, changes: &[Change]) -> Judgement {
    let any = |prefix: &str| changes.iter().find(|change| change.path.starts_with(prefix));
    let only_tags = changes.iter().all(|change| change.path.starts_with("/tags"));
    let found = |change: &Change| change.found.as_ref().map_or("nothing".to_owned(), plain);
    if let Some(change) = any("/location") {
        return Judgement::Refuse(format!(
            "say location = {} in the manifest, or delete the resource",
            found(change)
        ));
    }
    match resource.kind() {
        Kind::ContainerGroup if only_tags => Judgement::Retag,
        Kind::ContainerGroup | Kind::RoleAssignment => Judgement::Replace,
        Kind::AttestationProvider => {
            if let Some(change) = any("/properties/attestUri") {
                Judgement::Refuse(format!(
                    "say address = {} in [attestation] of the manifest",
                    found(change)
                ))
            } else if any("/properties/trustModel").is_some() {
                Judgement::Replace
            } else {
                Judgement::Update
            }
        }
        Kind::KeyVault => {
            if let Some(change) = any("/properties/vaultUri") {
                Judgement::Refuse(format!("say address = {} in [master_key]", found(change)))
            } else if let Some(change) = any("/properties/softDeleteRetentionInDays") {
                Judgement::Refuse(format!(
                    "say retention_days = {}; a vault's retention cannot be changed",
                    found(change)
                ))
            } else if let Some(change) = any("/properties/tenantId") {
                Judgement::Refuse(format!("the vault belongs to the tenant {}", found(change)))
            } else {
                Judgement::Update
            }
        }
        Kind::ResourceGroup
        | Kind::ManagedIdentity
        | Kind::StorageAccount
        | Kind::StorageContainer
        | Kind::Registry
        | Kind::LogWorkspace
        | Kind::RoleDefinition => Judgement::Update,
    }
}

fn describe(change: &Change) -> String {
    let found = change.found.as_ref().map_or("nothing".to_owned(), plain);
    format!("{} is {found}, not {}", change.path, plain(&change.expected))
}

fn plain(value: &Value) -> String {
    value.to_string()
}

/// A role is known by what it permits to whom, everything else by its name.
pub(crate) fn name(intent: Intent<'_>, resource: &Resource) -> String {
    let body = resource.expected(&infra::Outputs::default());
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    match resource.kind() {
        Kind::RoleDefinition => {
            text("/properties/roleName").unwrap_or(resource.id().name()).to_owned()
        }
        Kind::RoleAssignment => {
            let role = text("/properties/roleDefinitionId").unwrap_or_default();
            let defined = intent.rendered.resources.all().find(|other| other.id().is(role));
            let role = match defined {
                Some(definition) => name(intent, definition),
                None => builtin(role).to_owned(),
            };
            let whom = match text("/properties/principalId") {
                Some(_) => "the deployer",
                None => "the server",
            };
            let id = resource.id().as_str();
            let scope = id.split("/providers/Microsoft.Authorization").next().unwrap_or(id);
            let scope = scope.rsplit('/').next().unwrap_or(scope);
            format!("{role}, for {whom} on {scope}")
        }
        Kind::ResourceGroup
        | Kind::ManagedIdentity
        | Kind::AttestationProvider
        | Kind::KeyVault
        | Kind::StorageAccount
        | Kind::StorageContainer
        | Kind::Registry
        | Kind::LogWorkspace
        | Kind::ContainerGroup => resource.id().name().to_owned(),
    }
}

/// The built-in roles that we assign ("Azure built-in roles").
fn builtin(id: &str) -> &str {
    match id.rsplit('/').next() {
        Some("08bbd89e-9f13-488c-ac41-acfcb10c90ab") => "Key Vault Crypto Service Release User",
        Some("7f951dda-4ed3-4680-a7ca-43fe172d538d") => "AcrPull",
        _ => id,
    }
}

/// The identity of a policy signer: of its public key, as everywhere.
#[must_use]
pub(crate) fn signer_fingerprint(certificate_der: &[u8]) -> String {
    match protocol::SignerCertificate::from_der(certificate_der) {
        Ok(certificate) => certificate.id().0.to_string(),
        // Whatever it is, it is not one of ours.
        Err(_) => format!("unusable {}", Sha256::of(certificate_der)),
    }
}
