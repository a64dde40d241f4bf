//! The commands, each from its options to its exit code.

mod backup;
mod deploy;
mod destroy;
mod diff;
mod env;
mod explain;
mod image;
mod lint;
mod renew;
mod stop;
mod verify;

use std::collections::BTreeSet;
use std::io::Write as _;

use infra::Rendered;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::{Cli, Target, Verb};
use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure};
use crate::inventory::{self, Inventory, Want};
use crate::measure::{self, Measured};
use crate::plan::{self, Intent, Local, NewStore, Outcome, Plan};
use crate::record::Record;
use crate::show;

/// Runs a command.
///
/// # Errors
/// It ended without what was asked for.
pub async fn run(cli: Cli, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    match cli.verb {
        Verb::Deploy(options) => deploy::deploy(&options, clock).await,
        Verb::Plan(options) => plan_only(&options.target, clock).await,
        Verb::Verify(target) => verify::verify(&target, clock).await,
        Verb::Stop(target) => stop::stop(&target, clock).await,
        Verb::Destroy(options) => destroy::destroy(&options, clock).await,
        Verb::Env(options) => env::env(&options, clock).await,
        Verb::Rotate(options) => renew::rotate(&options, clock).await,
        Verb::Rekey(options) => renew::rekey(&options, clock).await,
        Verb::Backup(options) => backup::backup(&options).await,
        Verb::Restore(options) => backup::restore(&options, clock).await,
        Verb::Explain(options) => explain::explain(&options, clock()).await,
        Verb::Diff(options) => diff::diff(&options, clock()),
        Verb::Lint(options) => lint::lint(&options, clock()),
        Verb::Image(verb) => image::run(verb).await,
        Verb::Schema => {
            print(&manifest::schema_text())?;
            Ok(Exit::Done)
        }
    }
}

/// A deployment with everything that is known before Azure is asked.
struct Scene {
    deployment: Deployment,
    cloud: Cloud,
    measured: Measured,
    rendered: Rendered,
    clock: fn() -> Timestamp,
}

impl Scene {
    async fn set(target: &Target, clock: fn() -> Timestamp) -> Result<Self, Failure> {
        let deployment = Deployment::read(target)?;
        let cloud = Cloud::open(&deployment)?;
        let (deployer, measured) =
            futures::try_join!(cloud.deployer(), measure::measure(&deployment, &cloud))?;
        let today = clock().to_zoned(TimeZone::UTC).date();
        let manifest = &deployment.manifest;
        let rendered =
            infra::render(manifest, &deployment.signers, &measured.image, &deployer, today);
        let rendered = rendered.map_err(|error| {
            Failure::of("rendering the manifest", error, "correct the manifest")
        })?;
        Ok(Self { deployment, cloud, measured, rendered, clock })
    }

    fn intent(&self) -> Intent<'_> {
        Intent {
            manifest: &self.deployment.manifest,
            rendered: &self.rendered,
            now: (self.clock)(),
        }
    }

    fn local(&self) -> Result<Local, Failure> {
        let target = self.deployment.target();
        Ok(Local {
            lock: self.deployment.lock()?,
            record: Record::read(&self.deployment.state, self.deployment.name())?,
            adopt: target.adopt_master_key.clone(),
            new_store: if target.begin_new_store { NewStore::Permitted } else { NewStore::Refused },
            brought: self.deployment.brought(),
        })
    }

    /// Looks at Azure and compares.
    async fn look(&self, local: &Local) -> Result<(Inventory, Plan), Failure> {
        let locked = local.lock.iter().map(|lock| lock.master_key.name.clone());
        let asked = local.record.iter().filter_map(|record| record.key.as_ref());
        let keys: BTreeSet<String> = locked.chain(asked.map(|key| key.name.clone())).collect();
        let want = Want {
            manifest: &self.deployment.manifest,
            rendered: &self.rendered,
            keys: &keys,
            now: (self.clock)(),
        };
        let have = inventory::read(&self.cloud, want).await?;
        let plan = plan::plan(self.intent(), &have, local);
        Ok((have, plan))
    }

    fn show(&self, plan: &Plan) -> Result<(), Failure> {
        if self.deployment.target().json {
            print(&format!("{}\n", show::json(plan)))
        } else {
            print(&show::text(plan))
        }
    }
}

async fn plan_only(target: &Target, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(target, clock).await?;
    let local = scene.local()?;
    let (_, plan) = scene.look(&local).await?;
    scene.show(&plan)?;
    Ok(match plan.outcome() {
        Outcome::NoChanges => Exit::Done,
        Outcome::Changes => Exit::Drift,
        Outcome::Refused => Exit::Refused,
    })
}

/// Writes a result.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::of("writing to standard output", error, "check where it goes"))
}

/// Asks on the terminal.
fn ask(question: &str) -> Result<String, Failure> {
    let failed = |error| Failure::of("asking", error, "answer on the command line: see --help");
    let mut out = anstream::stderr();
    write!(out, "{question} ").and_then(|()| out.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim().to_owned())
}

/// Whether there is somebody to ask.
fn is_interactive() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
