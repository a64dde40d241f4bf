//! `deploy`: look, compare, show, ask, do; look again, until there is nothing left to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use protocol::bundle::BundleBody;
use serde_json::json;
use uuid::Uuid;

use super::{Scene, ask, is_interactive, print};
use crate::apply::{Applying, DeployLease, Roles};
use crate::cli::Deploy;
use crate::failure::{Exit, Failure};
use crate::inventory::{FoundBundle, Inventory};
use crate::plan::{Local, Outcome, Plan};
use crate::progress::Progress;
use crate::record::Record;
use crate::show;
use crate::signing::Elsewhere;
use azure::blob::LeaseError;

pub(super) async fn deploy(options: &Deploy, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(&options.target, clock).await?;
    let _held = scene.deployment.state.hold()?;
    let mut local = scene.local()?;
    let (have, plan) = scene.look(&local).await?;
    let outcome = plan.outcome();
    if options.plan_only || outcome == Outcome::Refused {
        scene.show(&plan)?;
        return Ok(if outcome == Outcome::Refused { Exit::Refused } else { Exit::Done });
    }
    if outcome == Outcome::NoChanges {
        scene.show(&plan)?;
        return Ok(Exit::Done);
    }
    scene.show(&plan)?;
    confirm(options, &plan)?;
    let deployment = &scene.deployment;
    let signer = deployment.signer(&scene.cloud)?;
    let policy_signer = Elsewhere::of(&deployment.means(), &deployment.signers, &signer)?;
    let record = local.record.clone();
    let record = record.unwrap_or_else(|| Record::new(scene.deployment.name(), Uuid::new_v4()));
    record.write(&scene.deployment.state)?;
    local.record = Some(record.clone());
    let mut applying = Applying {
        deployment: &scene.deployment,
        cloud: &scene.cloud,
        intent: scene.intent(),
        measured: &scene.measured,
        signer: &signer,
        policy_signer,
        outputs: have.outputs.clone(),
        lease: None,
        clock,
        progress: Progress::new(),
        roles: Roles::Settled,
        key: None,
        stored: BTreeMap::new(),
        bundle: bundle(&have),
        record,
    };
    let done = rounds(options, &scene, &mut local, &mut applying, have, plan).await;
    applying.finish().await?;
    if done? == Exit::Refused {
        return Ok(Exit::Refused);
    }
    Record::remove(&scene.deployment.state)?;
    report(&scene)?;
    Ok(Exit::Done)
}

/// Applies a plan, and the next one where something could be looked at only after the first.
async fn rounds(
    options: &Deploy,
    scene: &Scene,
    local: &mut Local,
    applying: &mut Applying<'_>,
    have: Inventory,
    mut plan: Plan,
) -> Result<Exit, Failure> {
    // Whatever was compared before the lease was held may have changed since.
    if let Some(lease) = early(applying, &have).await? {
        applying.lease = Some(lease);
        let (fresh, again) = scene.look(local).await?;
        applying.outputs = fresh.outputs.clone();
        applying.bundle = bundle(&fresh);
        if show::text(&again) != show::text(&plan) {
            applying.progress.say("Azure has changed meanwhile:");
            scene.show(&again)?;
            confirm(options, &again)?;
        }
        plan = again;
    }
    for _ in 0..ROUNDS {
        match plan.outcome() {
            Outcome::NoChanges => return Ok(Exit::Done),
            Outcome::Refused => {
                scene.show(&plan)?;
                return Ok(Exit::Refused);
            }
            Outcome::Changes => {}
        }
        let first_look = !plan.unread.is_empty();
        applying.run(&plan).await?;
        if !first_look {
            return Ok(Exit::Done);
        }
        local.lock = scene.deployment.lock()?;
        local.record = Some(applying.record.clone());
        let (fresh, next) = scene.look(local).await?;
        applying.outputs = fresh.outputs.clone();
        applying.bundle = bundle(&fresh);
        if next.actions.is_empty() && !next.unread.is_empty() {
            // A role that was assigned is not acted on yet.
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        } else if next.outcome() == Outcome::Changes {
            scene.show(&next)?;
            confirm(options, &next)?;
        }
        plan = next;
    }
    Err(Failure::new(
        "Azure is not as it should be after several rounds",
        "wait a few minutes, then run again",
    ))
}

/// The lease, where the container exists already and we may.
async fn early(applying: &Applying<'_>, have: &Inventory) -> Result<Option<DeployLease>, Failure> {
    if have.store.found().is_none() {
        return Ok(None);
    }
    match DeployLease::take(applying.cloud, &applying.record).await {
        Ok(lease) => Ok(Some(lease)),
        Err(LeaseError::Denied(_) | LeaseError::NotFound(_)) => Ok(None),
        Err(error) => Err(crate::apply::lease_failure(error)),
    }
}

fn bundle(have: &Inventory) -> Option<BundleBody> {
    match &have.vault.found()?.bundle {
        FoundBundle::Signed(body) => Some((**body).clone()),
        FoundBundle::Missing | FoundBundle::Invalid(_) => None,
    }
}

/// Asks where something is changed and somebody is there; without a terminal only what destroys needs `--yes`.
fn confirm(options: &Deploy, plan: &Plan) -> Result<(), Failure> {
    if options.yes || plan.actions.is_empty() {
        return Ok(());
    }
    if is_interactive() {
        return match ask("Apply? [y/N]")?.as_str() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::refused("nothing was changed", "answer y, or give --yes")),
        };
    }
    match plan.actions.iter().find(|action| action.operation.destroys()) {
        Some(action) => Err(Failure::refused(
            format!("{} {} would be replaced", action.operation.kind(), action.subject),
            "give --yes",
        )),
        None => Ok(()),
    }
}

fn report(scene: &Scene) -> Result<(), Failure> {
    let manifest = &scene.deployment.manifest;
    let name = manifest.tls().names.iter().next().map_or("localhost", |name| name.as_str());
    let address = format!("https://{name}:8200");
    let path = scene.deployment.shown_path();
    if scene.deployment.target().json {
        let done = json!({ "version": 1, "type": "deployed", "address": address });
        return print(&format!("{done}\n"));
    }
    print(&format!(
        "{} serves at {address}\n  try: eval \"$(cargo xtask env {path})\"\n       cargo xtask verify {path}\n",
        scene.deployment.name()
    ))
}

/// One for what is there, one for what a recovered vault holds, one for what a recovered key is.
const ROUNDS: usize = 12;
