//! A simulated confidential virtual machine: a software TPM (`swtpm`) as its virtual TPM, and beside it a paravisor that keeps a
//! report of the forged root at the TPM's index 0x01400001 and makes a new one when somebody writes to 0x01400002 (azure.md E).
//!
//! What is simulated is what a guest of Azure can see of its machine: indices, attestation key, registers. The "boot" is two events
//! in two registers. Who may open the socket *is* the guest; the folder is its owner's alone.

mod paravisor;
mod provision;

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tpm::{Tpm, TpmError};
use uuid::Uuid;

use crate::device::{self, Machine};
use paravisor::Paravisor;

/// What the machine is to show.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The processor and what its report says; HOST_DATA is zero whatever it has.
    pub machine: Machine,
    /// What is booted: measured into register 4.
    pub boot: String,
    /// What the paravisor says of Secure Boot.
    pub secure_boot: bool,
    /// Whose key the paravisor names.
    pub attestation_key: AttestationKey,
}

/// Whose key the paravisor names as the TPM's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestationKey {
    /// The TPM's.
    Own,
    /// Another, as if the report were of another machine.
    AnotherMachines,
}

impl Wanted {
    /// The machine of `manifests/dev.toml`.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            boot: BOOT.to_owned(),
            secure_boot: true,
            attestation_key: AttestationKey::Own,
        }
    }
}

/// A machine in service; dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct VirtualMachine {
    folder: PathBuf,
    swtpm: Child,
    paravisor: Option<Paravisor>,
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The software TPM cannot be started.
    #[error("starting swtpm; `cargo xtask setup` installs it")]
    Swtpm(#[source] io::Error),
    /// It was started, and does not answer.
    #[error("preparing the software tpm")]
    Tpm(#[from] TpmError),
    /// The folder.
    #[error("the machine's folder")]
    Folder(#[source] io::Error),
}

impl VirtualMachine {
    /// Starts a machine; `state` is the state directory of the cloud that it goes with. Blocking: a TPM takes its time to make a key.
    ///
    /// # Errors
    /// The first thing that fails.
    pub fn start(state: &Path, wanted: Wanted) -> Result<Self, VmError> {
        let owner = format!("machine {}", Uuid::new_v4());
        let folder = device::folder(state, &owner).map_err(VmError::Folder)?;
        let made = Self::in_folder(&folder, wanted);
        if made.is_err() {
            drop(fs::remove_dir_all(&folder));
        }
        made
    }

    fn in_folder(folder: &Path, wanted: Wanted) -> Result<Self, VmError> {
        let state = folder.join("tpm-state");
        fs::create_dir(&state).map_err(VmError::Folder)?;
        let certification = wanted.machine.chip().thim_json();
        fs::write(folder.join("certification.json"), certification).map_err(VmError::Folder)?;
        let socket = folder.join(SOCKET);
        let swtpm = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--server")
            .arg(format!("type=unixio,path={}", socket.display()))
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(VmError::Swtpm)?;
        let mut vm = Self { folder: folder.to_owned(), swtpm, paravisor: None };
        wait_for(&socket)?;
        let mut tpm = Tpm::socket(&socket);
        provision::boot(&mut tpm, &wanted.boot)?;
        let key = provision::attestation_key(&mut tpm)?;
        vm.paravisor = Some(Paravisor::start(tpm, &socket, &wanted, key)?);
        Ok(vm)
    }

    /// The folder: the value of `VOUCHSAFE_INSECURE_MACHINE`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for VirtualMachine {
    fn drop(&mut self) {
        drop(self.paravisor.take());
        drop(self.swtpm.kill());
        drop(self.swtpm.wait());
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "removing a machine");
        }
    }
}

/// Its socket is there a moment before the software TPM listens at it.
fn wait_for(socket: &Path) -> Result<(), VmError> {
    let end = Instant::now() + STARTUP;
    while UnixStream::connect(socket).is_err() {
        if Instant::now() >= end {
            return Err(VmError::Swtpm(io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What is booted unless told otherwise; its register is in `manifests/dev.toml`.
pub const BOOT: &str = "vouchsafe insecure boot loader";
/// The socket of the software TPM in the machine's folder.
const SOCKET: &str = "insecure-vtpm";
const STARTUP: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
