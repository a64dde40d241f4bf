//! `vouchsafe-azure-sim enclave`: run a command as a simulated workload.
//!
//! The command keeps its environment and terminal and gets `UVM_SECURITY_CONTEXT_DIR`; the device is there as long as it runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use super::enclave::{Enclave, Wanted, WantedTcb};

/// What to run, and as what.
#[derive(Debug, clap::Args)]
pub struct Workload {
    /// State directory of the local cloud.
    #[arg(long)]
    state: PathBuf,
    /// The manifest that names the workload.
    #[arg(long)]
    manifest: PathBuf,
    /// The workload; its first HOST_DATA value is reported.
    workload: String,
    /// Report this HOST_DATA (hexadecimal) instead.
    #[arg(long)]
    host_data: Option<String>,
    /// Report a guest whose policy permits debugging.
    #[arg(long)]
    debug: bool,
    /// Report this privilege level.
    #[arg(long, default_value_t = 0)]
    vmpl: u32,
    /// Report this product: milan, genoa or turin.
    #[arg(long)]
    product: Option<String>,
    /// Report this TCB version, e.g. `snp=20,microcode=200`; components that are not named are those of 2026.
    #[arg(long)]
    tcb: Option<String>,
    /// Report the chip of this name.
    #[arg(long)]
    chip: Option<String>,
    /// The command with its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// Why a command is not run as a workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The manifest cannot be read.
    #[error("reading {}", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The manifest is not TOML.
    #[error("{} is not TOML", .0.display())]
    Toml(PathBuf, #[source] Box<toml::de::Error>),
    /// It names no such workload.
    #[error("the manifest has no workload.{0} with host_data")]
    Unknown(String),
    /// Something to report that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The device cannot be made.
    #[error("making the device")]
    Device(#[source] std::io::Error),
    /// The command cannot be started.
    #[error("starting {}", .0.display())]
    Start(PathBuf, #[source] std::io::Error),
}

/// Run the command to its end.
///
/// # Errors
/// What to report is not clear, or the device or the command cannot be started.
pub async fn run(workload: Workload) -> Result<ExitStatus, WorkloadError> {
    let host_data = match &workload.host_data {
        Some(text) => text.clone(),
        None => first_host_data(&workload.manifest, &workload.workload)?,
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(&host_data, &mut bytes).map_err(|_| {
        WorkloadError::Invalid(format!("host_data is not 64 hexadecimal digits: {host_data}"))
    })?;
    let wanted = Wanted {
        product: workload.product,
        chip: workload.chip,
        debug: workload.debug,
        vmpl: workload.vmpl,
        tcb: tcb(workload.tcb.as_deref().unwrap_or_default()).map_err(WorkloadError::Invalid)?,
        ..Wanted::new(bytes)
    };
    let machine = wanted.machine().map_err(WorkloadError::Invalid)?;
    let enclave = Enclave::open(&workload.state, machine, None).map_err(WorkloadError::Device)?;
    let mut command = workload.command.into_iter();
    let program = PathBuf::from(command.next().unwrap_or_default());
    // An interrupt from the terminal reaches the command itself; we stay to clean up.
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(WorkloadError::Device)?;
    let mut child = tokio::process::Command::new(&program)
        .args(command)
        .env("UVM_SECURITY_CONTEXT_DIR", enclave.directory())
        .stdin(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| WorkloadError::Start(program.clone(), cause))?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(|cause| WorkloadError::Start(program, cause)),
            _ = interrupt.recv() => {}
        }
    }
}

fn first_host_data(path: &Path, name: &str) -> Result<String, WorkloadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| WorkloadError::Unreadable(path.to_owned(), cause))?;
    let manifest: toml::Table =
        text.parse().map_err(|cause| WorkloadError::Toml(path.to_owned(), Box::new(cause)))?;
    let found = manifest
        .get("workload")
        .and_then(|all| all.get(name))
        .and_then(|workload| workload.get("host_data"));
    let first = found.and_then(|values| values.get(0)).and_then(toml::Value::as_str);
    first.map(str::to_owned).ok_or_else(|| WorkloadError::Unknown(name.to_owned()))
}

/// `component=number`, separated by commas.
fn tcb(text: &str) -> Result<WantedTcb, String> {
    let mut wanted = WantedTcb::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let invalid = || format!("tcb: expected component=0…255, found {part}");
        let (name, value) = part.split_once('=').ok_or_else(invalid)?;
        let value = Some(value.parse::<u8>().map_err(|_| invalid())?);
        match name {
            "fmc" => wanted.fmc = value,
            "bootloader" => wanted.bootloader = value,
            "tee" => wanted.tee = value,
            "snp" => wanted.snp = value,
            "microcode" => wanted.microcode = value,
            _ => return Err(invalid()),
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn parse(arguments: &[&str]) -> Workload {
        let command = Workload::augment_args(clap::Command::new("enclave"));
        Workload::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    #[tokio::test]
    async fn the_command_finds_the_device_of_its_workload() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("dev.toml");
        let host_data = "ab".repeat(32);
        writeln!(
            std::fs::File::create(&manifest).unwrap(),
            "[workload.demo]\nhost_data = [\"{host_data}\"]"
        )
        .unwrap();
        let (state, manifest) = (folder.path().to_str().unwrap(), manifest.to_str().unwrap());
        let common = ["enclave", "--state", state, "--manifest", manifest];
        let script = "test -S \"$UVM_SECURITY_CONTEXT_DIR/insecure-snp-device\" && exit 7";
        let found = run(parse(
            &[&common[..], &["demo", "--debug", "--", "/bin/sh", "-c", script]].concat(),
        ))
        .await
        .unwrap();
        assert_eq!(found.code(), Some(7));
        let unknown = run(parse(&[&common[..], &["other", "true"]].concat())).await;
        assert!(matches!(unknown, Err(WorkloadError::Unknown(_))));
        let bad = run(parse(&[&common[..], &["demo", "--tcb", "snp=300", "true"]].concat())).await;
        assert!(matches!(bad, Err(WorkloadError::Invalid(_))));
    }

    #[test]
    fn components_that_are_not_named_stay() {
        let wanted = Wanted { tcb: tcb("snp=1,microcode=2").unwrap(), ..Wanted::new([0; 32]) };
        let machine = wanted.machine().unwrap();
        assert_eq!((machine.tcb.bootloader, machine.tcb.snp, machine.tcb.microcode), (4, 1, 2));
        assert!(Wanted { product: Some("rome".to_owned()), ..wanted }.machine().is_err());
    }
}
