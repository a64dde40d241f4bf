//! The figures of `docs/BENCHMARKS.md`: medians over the programs that `cargo build` makes, against the local cloud.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::manifest::{self, Place};
use crate::{local, paths, process, programs};

/// Measures, prints a table, and removes the deployment; one that is there already is not touched.
pub(super) fn run(times: u32, births: u32) -> anyhow::Result<ExitCode> {
    ensure!(times > 0 && births > 0, "nothing is measured in no time");
    let path = paths::root().join("manifests/dev.toml");
    let Place::Local { deployment, address } = manifest::place(&path)? else {
        bail!("manifests/dev.toml is not for the local cloud")
    };
    let state = paths::state(&deployment);
    ensure!(!state.exists(), "there is a deployment in {}; remove it first", state.display());
    programs::build()?;
    local::start(&deployment, address)?;

    let mut deployed = Vec::new();
    for birth in 0..births {
        if birth > 0 {
            provisioner("destroy", &["--yes", &deployment, "--purge-master-key"])?;
        }
        deployed.push(provisioner("deploy", &["--yes"])?);
    }
    let plans = repeat(times, || provisioner("plan", &[]))?;
    let (mut servings, mut boots) = (Vec::new(), Vec::new());
    let mut memory = Vec::new();
    for _ in 0..times {
        provisioner("stop", &[])?;
        let (serving, whole) = boot(&deployment)?;
        servings.push(serving);
        boots.push(whole);
        std::thread::sleep(REST);
        memory.push(server(&deployment)?.resident()?);
    }
    provisioner("destroy", &["--yes", &deployment, "--purge-master-key"])?;
    local::stop(&deployment)?;
    std::fs::remove_dir_all(&state)?;

    let line = |what: &str, times: usize, figure: String| {
        process::say(&format!("| {what} | {times} | {figure} |"));
    };
    process::say("| what | measured | median |\n|---|---|---|");
    line("deploy from nothing", deployed.len(), milliseconds(deployed)?);
    line("no-change plan", plans.len(), milliseconds(plans)?);
    line("later boot, process to serving", servings.len(), milliseconds(servings)?);
    line("deploy of a stopped group", boots.len(), milliseconds(boots)?);
    line("server memory at rest", memory.len(), format!("{} KiB", median(memory)?));
    Ok(ExitCode::SUCCESS)
}

fn repeat(
    times: u32,
    measure: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Vec<Duration>> {
    (0..times).map(|_| measure()).collect()
}

/// How long a verb of the provisioner takes, from the start of its process to its end.
fn provisioner(verb: &str, args: &[&str]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let output = prepared(verb, args).output().context("starting the provisioner")?;
    let taken = begun.elapsed();
    ensure!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(taken)
}

fn prepared(verb: &str, args: &[&str]) -> Command {
    let mut command = Command::new(paths::programs().join("vouchsafe-provisioner"));
    command.arg(verb).arg(paths::root().join("manifests/dev.toml")).args(args);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command
}

/// A later boot: the age of the server's process when its log says that it serves, and the time of the whole deploy.
fn boot(deployment: &str) -> anyhow::Result<(Duration, Duration)> {
    let mut log = File::open(paths::state(deployment).join("cloud/log"))?;
    log.seek(SeekFrom::End(0))?;
    let begun = Instant::now();
    let mut deploy = prepared("deploy", &["--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the provisioner")?;
    let mut told = String::new();
    while !told.contains(SERVING) {
        ensure!(begun.elapsed() < PATIENCE, "the server does not serve");
        std::thread::sleep(POLL);
        log.read_to_string(&mut told)?;
    }
    let serving = server(deployment)?.age()?;
    ensure!(deploy.wait()?.success(), "the deploy of a stopped group fails");
    Ok((serving, begun.elapsed()))
}

/// The folder of a process below `/proc`.
struct Process(PathBuf);

/// The server that the deployment's local cloud runs.
fn server(deployment: &str) -> anyhow::Result<Process> {
    let cloud = local::pid(deployment).context("the local cloud is gone")?;
    for entry in std::fs::read_dir("/proc")? {
        let process = Process(entry?.path());
        // The kernel cuts names off after 15 bytes. A process may end while one looks.
        let named = process.value("Name:").is_ok_and(|name| name == "vouchsafe-serve");
        if named && process.value("PPid:").is_ok_and(|parent| parent == cloud) {
            return Ok(process);
        }
    }
    bail!("no server runs below the local cloud, process {cloud}")
}

impl Process {
    fn value(&self, key: &str) -> anyhow::Result<String> {
        let status = std::fs::read_to_string(self.0.join("status"))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
        Ok(line.split_whitespace().next().context("an empty line")?.to_owned())
    }

    /// Its resident memory in KiB.
    fn resident(&self) -> anyhow::Result<u64> {
        Ok(self.value("VmRSS:")?.parse()?)
    }

    /// The time since its start, in steps of 10 ms (proc(5): field 22 of `stat`, and `uptime`).
    fn age(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(self.0.join("stat"))?;
        // The name, field 2, may hold anything; it ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let started: u64 = fields.split_whitespace().nth(19).context("start time")?.parse()?;
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let uptime = uptime.split_whitespace().next().context("uptime")?.replace('.', "");
        let age = uptime.parse::<u64>()?.saturating_sub(started);
        Ok(Duration::from_millis(age * 10))
    }
}

fn milliseconds(durations: Vec<Duration>) -> anyhow::Result<String> {
    Ok(format!("{} ms", median(durations)?.as_millis()))
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> anyhow::Result<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied().context("nothing was measured")
}

/// After which a server is at rest.
const REST: Duration = Duration::from_millis(500);
/// What the server's log has once it serves.
const SERVING: &str = r#""step":"serving""#;
const POLL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);
