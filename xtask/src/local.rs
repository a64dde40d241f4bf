//! The local cloud as a process: started before the provisioner, found again, stopped.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::manifest::{self, Place};
use crate::{paths, process, programs};

/// `cargo xtask local …`; each takes the manifest with `--manifest`, by default `manifests/dev.toml`.
#[derive(Subcommand)]
pub(crate) enum Local {
    /// Start it, if it is not running.
    Start(Which),
    /// Say whether it is running, and where.
    Status(Which),
    /// Show its log.
    Log(Which),
    /// Stop it; its state stays.
    Stop(Which),
    /// Run a command as a simulated workload, with a device and a security context.
    Enclave(Enclave),
}

#[derive(clap::Args)]
pub(crate) struct Which {
    /// The manifest of the deployment.
    #[arg(long)]
    manifest: Option<PathBuf>,
}

impl Which {
    fn place(&self) -> anyhow::Result<(String, Ipv4Addr)> {
        let path =
            self.manifest.clone().unwrap_or_else(|| paths::root().join("manifests/dev.toml"));
        match manifest::place(&path)? {
            Place::Local { deployment, address } => Ok((deployment, address)),
            Place::Elsewhere => bail!("{} is not a manifest for the local cloud", path.display()),
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Enclave {
    #[command(flatten)]
    which: Which,
    /// The workload of the manifest, and what the device is to report; see `vouchsafe-azure-sim enclave --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    args: Vec<OsString>,
}

/// Runs a subcommand.
pub(crate) fn run(command: Local) -> anyhow::Result<ExitCode> {
    match command {
        Local::Start(which) => {
            let (deployment, address) = which.place()?;
            programs::build()?;
            start(&deployment, address)?;
        }
        Local::Status(which) => {
            let (deployment, address) = which.place()?;
            match running(&paths::state(&deployment).join("cloud")) {
                Some(pid) => process::say(&format!("running at {address}, process {pid}")),
                None => {
                    process::say("not running");
                    return Ok(ExitCode::from(3));
                }
            }
        }
        Local::Log(which) => {
            let (deployment, _) = which.place()?;
            process::run("cat", [paths::state(&deployment).join("cloud/log")])?;
        }
        Local::Stop(which) => stop(&which.place()?.0)?,
        Local::Enclave(enclave) => {
            let (deployment, address) = enclave.which.place()?;
            programs::build()?;
            start(&deployment, address)?;
            let path = enclave
                .which
                .manifest
                .clone()
                .unwrap_or_else(|| paths::root().join("manifests/dev.toml"));
            let mut command = Command::new(paths::programs().join("vouchsafe-azure-sim"));
            command.arg("enclave").arg("--state").arg(paths::state(&deployment).join("cloud"));
            command.arg("--manifest").arg(path).args(enclave.args);
            // The programs just built are those that a reader of the README means.
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = std::env::join_paths(
                std::iter::once(paths::programs()).chain(std::env::split_paths(&path)),
            )?;
            command.env("PATH", path);
            return process::status(&mut command).map(process::exit_code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the local cloud of a deployment, unless it runs already, and waits until it answers.
pub(crate) fn start(deployment: &str, address: Ipv4Addr) -> anyhow::Result<()> {
    let state = paths::state(deployment).join("cloud");
    if running(&state).is_some() {
        return Ok(());
    }
    fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
    let log = File::options().create(true).append(true).open(state.join("log"))?;
    let mut command = Command::new(paths::programs().join("vouchsafe-azure-sim"));
    command.arg("run").arg("--address").arg(address.to_string()).arg("--state").arg(&state);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    // A file of an earlier run must not pass for this one's.
    let ready = state.join("pid");
    if ready.exists() {
        fs::remove_file(&ready)?;
    }
    let mut child = command.spawn().context("starting the local cloud")?;
    for _ in 0..STARTUP_POLLS {
        if running(&state).is_some() {
            process::say(&format!(
                "local cloud at {address}, log in {}",
                state.join("log").display()
            ));
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            let log = state.join("log");
            let why = last_error(&fs::read_to_string(&log).unwrap_or_default());
            bail!(
                "the local cloud ended with {status}: {why}; see {}. If {address} is in use, another local cloud may be \
                 running: `cargo xtask local stop` in its checkout",
                log.display()
            );
        }
        std::thread::sleep(STARTUP_POLL);
    }
    bail!("the local cloud does not answer; see {}", state.join("log").display())
}

/// The last error in a log with its causes, in one line, without its backtrace.
fn last_error(log: &str) -> String {
    let error = log.rsplit("Error: ").next().unwrap_or_default();
    let lines = error.lines().take_while(|line| !line.starts_with("Stack backtrace"));
    let words = lines.map(str::trim).filter(|line| !line.is_empty() && *line != "Caused by:");
    words.collect::<Vec<_>>().join(": ")
}

/// Stops the local cloud of a deployment; what it started ends with it.
pub(crate) fn stop(deployment: &str) -> anyhow::Result<()> {
    let state = paths::state(deployment).join("cloud");
    let Some(pid) = running(&state) else {
        process::say("not running");
        return Ok(());
    };
    process::run("kill", [pid.to_string()])?;
    for _ in 0..STARTUP_POLLS {
        if running(&state).is_none() {
            return Ok(());
        }
        std::thread::sleep(STARTUP_POLL);
    }
    bail!("the local cloud, process {pid}, does not end")
}

/// The process of a deployment's local cloud, if it runs.
pub(crate) fn pid(deployment: &str) -> Option<String> {
    running(&paths::state(deployment).join("cloud")).map(|pid| pid.to_string())
}

/// The process of the local cloud, if it is alive: the pid file is written once it listens, and
/// the process's own program name is compared, so a stale pid is noticed.
fn running(state: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(state.join("pid")).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = command.split(|b| *b == 0).next()?;
    program.ends_with(b"vouchsafe-azure-sim").then_some(pid)
}

/// `cargo xtask dev`: deploy, then show the logs of cloud and server until interrupted.
pub(crate) fn dev(path: PathBuf) -> anyhow::Result<ExitCode> {
    programs::provisioner(
        programs::Verb::Deploy,
        &[path.clone().into_os_string(), "--yes".into()],
    )?;
    let Place::Local { deployment, .. } = manifest::place(&path)? else {
        bail!("dev is for a manifest of the local cloud")
    };
    let log = paths::state(&deployment).join("cloud/log");
    process::say(&format!(
        "following {}; interrupt to leave, the deployment goes on",
        log.display()
    ));
    Err(Command::new("tail").arg("-n").arg("50").arg("-F").arg(log).exec().into())
}

const STARTUP_POLL: Duration = Duration::from_millis(20);
const STARTUP_POLLS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::last_error;

    #[test]
    fn the_last_error_of_a_log_is_told_with_its_causes_and_nothing_else() {
        let log = "Error: of yesterday\n{\"step\":\"serving\"}\nError: listening\n\nCaused by:\n    Address already in use (os error 98)\n\nStack backtrace:\n   0: main\n";
        assert_eq!(last_error(log), "listening: Address already in use (os error 98)");
        assert_eq!(last_error(""), "");
    }
}
