//! `destroy`: removes what `deploy` made, in the opposite order, and nothing else.
//!
//! The vault is only soft-deleted: Azure keeps it for its retention, and a later `deploy` recovers it by name, with the
//! master key and the secrets in it. The store is gone for good, so before the vault goes, a last bundle withdraws the
//! store's identity: the next deployment begins an empty store without being asked to.

use azure::arm::{ApiVersion, ArmError};
use azure::blob::LeaseError;
use infra::{Kind, Resource};
use jiff::{SignedDuration, Timestamp};
use protocol::bundle::{Artefact, secret_name};
use secrecy::SecretString;
use uuid::Uuid;

use super::{Scene, ask, is_interactive};
use crate::apply::{DeployLease, lease_failure};
use crate::cli::Destroy;
use crate::failure::{Exit, Failure, While as _};
use crate::inventory::reading::{deleted_vault_id, fetch, id, version};
use crate::inventory::vault::parse;
use crate::inventory::{FoundBundle, Inventory};
use crate::plan;
use crate::progress::Progress;
use crate::record::Record;
use crate::state;

pub(super) async fn destroy(options: &Destroy, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(&options.target, clock).await?;
    let _held = scene.deployment.state.hold()?;
    let mut local = scene.local()?;
    // What is withdrawn is the highest bundle that ever was, whatever was put over it: so look as without a lock.
    let known = local.lock.take().map_or(0, |lock| lock.serial);
    let (have, _) = scene.look(&local).await?;
    let key = scene.deployment.manifest.master_key();
    if options.purge_master_key && key.purge_protection {
        let days = i64::from(key.retention_days);
        let ends = match &have.deleted_vault {
            Some(deleted) => deleted.purged,
            None => clock().checked_add(SignedDuration::from_hours(days * 24)).ok(),
        };
        let ends = ends.map_or("the end of its retention".to_owned(), |ends| ends.to_string());
        return Err(Failure::refused(
            format!(
                "the vault {} has purge protection: Azure keeps the master key until {ends}",
                key.vault
            ),
            "destroy without --purge-master-key, and wait",
        ));
    }
    confirm(options, &scene)?;
    let progress = Progress::new();
    let lease = match have.store.found() {
        Some(_) => take(&scene, local.record).await?,
        None => None,
    };
    let removed = remove(&scene, (&have, known), &progress).await;
    if let Some(lease) = lease {
        lease.release().await;
    }
    let removed = removed?;
    if options.purge_master_key {
        purge(&scene, &progress).await?;
    }
    state::remove(&scene.deployment.lock_path())?;
    state::remove(&scene.deployment.tls_chain_path())?;
    Record::remove(&scene.deployment.state)?;
    progress.say(&format!(
        "{} is destroyed; {removed} resources were removed",
        scene.deployment.name()
    ));
    if !options.purge_master_key {
        progress.say(&format!(
            "the vault {} is soft-deleted: a later deploy recovers it with its master key",
            key.vault
        ));
    }
    Ok(Exit::Done)
}

/// Keeps other deployments out while this one is taken apart.
async fn take(scene: &Scene, record: Option<Record>) -> Result<Option<DeployLease>, Failure> {
    let fresh = || Record::new(scene.deployment.name(), Uuid::new_v4());
    match DeployLease::take(&scene.cloud, &record.unwrap_or_else(fresh)).await {
        Ok(lease) => Ok(Some(lease)),
        Err(LeaseError::Denied(_) | LeaseError::NotFound(_)) => Ok(None),
        Err(error) => Err(lease_failure(error)),
    }
}

fn confirm(options: &Destroy, scene: &Scene) -> Result<(), Failure> {
    let name = scene.deployment.name();
    let given = match &options.yes {
        Some(given) => given.clone(),
        None if is_interactive() => ask(
            "This destroys the store with every secret in it. The deployment's name, to go on:",
        )?,
        None => String::new(),
    };
    if given == name {
        Ok(())
    } else {
        Err(Failure::refused(
            "nothing was destroyed",
            format!("give the deployment's name: --yes {name}"),
        ))
    }
}

/// The group first, the resource group last.
async fn remove(
    scene: &Scene,
    (have, known): (&Inventory, u64),
    progress: &Progress,
) -> Result<usize, Failure> {
    let all: Vec<&Resource> = scene.rendered.resources.all().collect();
    let mut removed = 0;
    let mut withdrawn = false;
    for resource in all.into_iter().rev() {
        // No server reads it any more, and the role that permits it is still there.
        if resource.kind() != Kind::ContainerGroup && !withdrawn {
            withdraw(scene, (have, known), progress).await?;
            withdrawn = true;
        }
        if have.resource(resource.id()).is_none() {
            continue;
        }
        match resource.kind() {
            // It goes with its account.
            Kind::StorageContainer => continue,
            Kind::ResourceGroup => {
                if let Some(others) = others(scene, resource).await? {
                    progress.say(&format!(
                        "the resource group stays: it holds {others} other resources"
                    ));
                    continue;
                }
            }
            Kind::ManagedIdentity
            | Kind::AttestationProvider
            | Kind::KeyVault
            | Kind::StorageAccount
            | Kind::Registry
            | Kind::LogWorkspace
            | Kind::RoleDefinition
            | Kind::RoleAssignment
            | Kind::ContainerGroup => {}
        }
        let what = format!("{} {}", resource.kind(), plan::name(scene.intent(), resource));
        let step = progress.step(format!("remove {what}"));
        let path = id(resource.id().as_str())?;
        scene
            .cloud
            .arm
            .delete(&path, version(resource))
            .await
            .during(|| format!("removing {what}"))?;
        step.done();
        removed += 1;
    }
    Ok(removed)
}

/// How many resources are left in the group that this manifest does not know.
async fn others(scene: &Scene, group: &Resource) -> Result<Option<usize>, Failure> {
    let list = group.id().as_str();
    let list = id(&format!("{list}/resources"))?;
    match scene.cloud.arm.list(&list, ApiVersion(Kind::ResourceGroup.api_version())).await {
        Ok(left) if left.is_empty() => Ok(None),
        Ok(left) => Ok(Some(left.len())),
        Err(ArmError::NotFound(_)) => Ok(None),
        Err(error) => Err(error).during(|| "listing what is left in the resource group".to_owned()),
    }
}

/// Signs a last bundle that names no store.
async fn withdraw(
    scene: &Scene,
    (have, known): (&Inventory, u64),
    progress: &Progress,
) -> Result<(), Failure> {
    let signed = have.vault.found().and_then(|vault| match &vault.bundle {
        FoundBundle::Signed(body) if body.identity.is_some() || body.birth.is_some() => {
            Some((**body).clone())
        }
        FoundBundle::Signed(_) | FoundBundle::Missing | FoundBundle::Invalid(_) => None,
    });
    if have.vault.found().is_some_and(|vault| !vault.hidden.is_empty()) {
        progress.say(
            "versions of the bundle's secret are disabled or deleted: enable none of them later, each may name the store",
        );
    }
    let Some(mut body) = signed else { return Ok(()) };
    let Ok(signer) = scene.deployment.signer(&scene.cloud) else {
        progress.say("no signer's key is at hand: the next deploy needs --begin-new-store");
        return Ok(());
    };
    body.serial = body.serial.max(known).saturating_add(1);
    // Neither a store nor the birth of one: only the next deployment permits that.
    body.identity = None;
    body.birth = None;
    // Its account goes too, and another one has other keys.
    body.artefacts.remove(&Artefact::StorageKey);
    let ours = "this is a fault of ours";
    let unsigned = body
        .prepare(signer.certificate())
        .map_err(|error| Failure::of("writing the last bundle", error, ours))?;
    let value = SecretString::from(signer.document(unsigned).await?);
    let name = parse(&secret_name(scene.deployment.name()))?;
    let tags = std::collections::BTreeMap::new();
    let stored = scene.cloud.secrets.set(&name, &value, None, &tags).await;
    stored.during(|| "storing the last bundle".to_owned()).map(drop)
}

async fn purge(scene: &Scene, progress: &Progress) -> Result<(), Failure> {
    let path = deleted_vault_id(&scene.deployment.manifest)?;
    let step = progress.step("purge the vault with the master key");
    let version = ApiVersion(Kind::KeyVault.api_version());
    match scene.cloud.arm.post(&path, "purge", version, None).await {
        Ok(_) | Err(ArmError::NotFound(_)) => {}
        Err(error) => return Err(error).during(|| "purging the vault".to_owned()),
    }
    step.done();
    let vault = scene.rendered.resources.find(Kind::KeyVault);
    if let Some(vault) = vault
        && fetch(&scene.cloud, vault).await?.is_some()
    {
        return Err(Failure::new("the vault is still there", "run again"));
    }
    Ok(())
}
