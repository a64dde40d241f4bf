//! `stop`: the container group goes. What it served stays sealed where it is until the next `deploy`.
//!
//! Not while somebody deploys: that deployment would wait for the server, or start it again. A storage account that does
//! not answer keeps nobody from stopping.

use azure::blob::LeaseError;
use jiff::Timestamp;
use uuid::Uuid;

use super::Scene;
use crate::apply::{DeployLease, lease_failure};
use crate::cli::Target;
use crate::failure::{Exit, Failure, While as _};
use crate::inventory::reading::{fetch, id, version};
use crate::progress::Progress;
use crate::record::Record;

pub(super) async fn stop(target: &Target, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(target, clock).await?;
    let _held = scene.deployment.state.hold()?;
    let group = &scene.rendered.resources.group;
    let name = group.id().name();
    let progress = Progress::new();
    if fetch(&scene.cloud, group).await?.is_none() {
        progress.say(&format!("there is no container group {name}"));
        return Ok(Exit::Done);
    }
    let lease = take(&scene).await?;
    let step = progress.step(format!("stop container group {name}"));
    let path = id(group.id().as_str())?;
    let stopped = scene.cloud.arm.delete(&path, version(group)).await;
    if let Some(lease) = lease {
        lease.release().await;
    }
    stopped.during(|| format!("stopping {name}"))?;
    step.done();
    progress.say(&format!("start it again: cargo xtask deploy {}", scene.deployment.shown_path()));
    Ok(Exit::Done)
}

/// The deploy lease, unless somebody else has it. A run of ours that was cut off left its id in the record.
async fn take(scene: &Scene) -> Result<Option<DeployLease>, Failure> {
    let name = scene.deployment.name();
    let record = scene.local()?.record.unwrap_or_else(|| Record::new(name, Uuid::new_v4()));
    match DeployLease::take(&scene.cloud, &record).await {
        Ok(lease) => Ok(Some(lease)),
        Err(held @ LeaseError::Held(_)) => Err(lease_failure(held)),
        Err(_) => Ok(None),
    }
}
