//! `vouchsafe-azure-sim enclave`: run a command as a simulated workload.
//!
//! The command keeps its environment and terminal and gets `UVM_SECURITY_CONTEXT_DIR`, or with `--vm` `VOUCHSAFE_INSECURE_MACHINE`; the
//! device, or the virtual machine's TPM, is there as long as it runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use super::enclave::{Enclave, Wanted, WantedTcb};
use crate::device::Machine;
use crate::vm::{self, AttestationKey, VirtualMachine, VmError};

/// What to run, and as what.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
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
    /// Simulate a virtual machine with a software TPM, not a container.
    #[arg(long, conflicts_with = "host_data")]
    vm: bool,
    /// Boot this: what is measured into register 4 of the machine's TPM.
    #[arg(long, requires = "vm", default_value = vm::BOOT)]
    boot: String,
    /// Have the machine's paravisor say that Secure Boot is off.
    #[arg(long, requires = "vm")]
    no_secure_boot: bool,
    /// Have the machine's paravisor name the attestation key of another machine.
    #[arg(long, requires = "vm")]
    other_key: bool,
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
    /// The virtual machine cannot be made.
    #[error("making the virtual machine")]
    Vm(#[from] VmError),
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
    let host_data = match (&workload.host_data, workload.vm) {
        (_, true) => "0".repeat(64),
        (Some(text), false) => text.clone(),
        (None, false) => first_host_data(&workload.manifest, &workload.workload)?,
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(&host_data, &mut bytes).map_err(|_| {
        WorkloadError::Invalid(format!("host_data is not 64 hexadecimal digits: {host_data}"))
    })?;
    let wanted = Wanted {
        product: workload.product.clone(),
        chip: workload.chip.clone(),
        debug: workload.debug,
        vmpl: workload.vmpl,
        tcb: tcb(workload.tcb.as_deref().unwrap_or_default()).map_err(WorkloadError::Invalid)?,
        ..Wanted::new(bytes)
    };
    let machine = wanted.machine().map_err(WorkloadError::Invalid)?;
    let place = Place::make(&workload, machine).await?;
    let (variable, folder) = place.variable();
    let mut command = workload.command.into_iter();
    let program = PathBuf::from(command.next().unwrap_or_default());
    // An interrupt from the terminal reaches the command itself; we stay to clean up.
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(WorkloadError::Device)?;
    let mut child = tokio::process::Command::new(&program)
        .args(command)
        .env(variable, folder)
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

/// Where the command runs; dropping it takes everything away.
enum Place {
    Container(Enclave),
    Vm(VirtualMachine),
}

impl Place {
    async fn make(workload: &Workload, machine: Machine) -> Result<Self, WorkloadError> {
        if !workload.vm {
            let enclave = Enclave::open(&workload.state, machine, None);
            return enclave.map(Self::Container).map_err(WorkloadError::Device);
        }
        let wanted = vm::Wanted {
            boot: workload.boot.clone(),
            secure_boot: !workload.no_secure_boot,
            attestation_key: match workload.other_key {
                true => AttestationKey::AnotherMachines,
                false => AttestationKey::Own,
            },
            ..vm::Wanted::new(machine)
        };
        let state = workload.state.clone();
        let made = tokio::task::spawn_blocking(move || VirtualMachine::start(&state, wanted)).await;
        let made = made.map_err(|cause| WorkloadError::Device(std::io::Error::other(cause)))?;
        Ok(Self::Vm(made?))
    }

    fn variable(&self) -> (&'static str, &Path) {
        match self {
            Self::Container(enclave) => ("UVM_SECURITY_CONTEXT_DIR", enclave.directory()),
            Self::Vm(machine) => ("VOUCHSAFE_INSECURE_MACHINE", machine.folder()),
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
        let place = vec!["--vm", "--no-secure-boot", "--other-key", "--boot", "x"];
        let machine = parse(&[&common[..], &place, &["machine", "true"]].concat());
        assert!(machine.vm && machine.no_secure_boot && machine.other_key);
        assert_eq!(machine.boot, "x");
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
