//! `stop`: the container group goes. What it served stays sealed where it is until the next `deploy`.

use jiff::Timestamp;

use super::Scene;
use crate::cli::Target;
use crate::failure::{Exit, Failure, While as _};
use crate::inventory::reading::{fetch, id, version};
use crate::progress::Progress;

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
    let step = progress.step(format!("stop container group {name}"));
    let path = id(group.id().as_str())?;
    scene.cloud.arm.delete(&path, version(group)).await.during(|| format!("stopping {name}"))?;
    step.done();
    progress.say(&format!("start it again: cargo xtask deploy {}", scene.deployment.shown_path()));
    Ok(Exit::Done)
}
