//! The simulated SNP device and the security context beside it: what a confidential container finds where real hardware would be (azure.md D.1, D.2).
//!
//! The device is a Unix socket: a client writes 64 bytes of REPORT_DATA, the device answers with a report of 1184 bytes and closes.
//! Anything else is closed without an answer. Reports are signed by a forged chip, so they chain only to the forged root;
//! HOST_DATA, TCB, VMPL and the debug bit are those of the group or enclave that the socket was made for, and no client can choose them.
//! Protection is that of the folder (mode 0700): who may open the socket *is* the workload, as in a machine of its own.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use forged_root::{Chip, Form, Product, ReportFields, Tcb};
use forged_root::{UVM_MEASUREMENT, UVM_SVN};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::core::Cloud;
use crate::core::encoding::b64;

/// What reports say besides REPORT_DATA.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The processor.
    pub product: Product,
    /// Names the chip: the same seed is the same chip.
    pub chip: String,
    /// Its TCB version.
    pub tcb: Tcb,
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// Privilege level.
    pub vmpl: u32,
    /// Whether the guest policy permits debugging.
    pub insecure_debug: InsecureDebug,
}

/// Bit 19 of the guest policy (SEV-SNP ABI, "Guest Policy").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsecureDebug {
    /// As it must be.
    Forbidden,
    /// As an attacker would have it.
    Permitted,
}

impl Machine {
    /// As Azure's container machines are: Milan with the TCB of 2026, VMPL 0, no debugging.
    pub fn new(chip: &str, host_data: [u8; 32]) -> Self {
        let product = Product::Milan;
        Self {
            product,
            chip: chip.to_owned(),
            tcb: product.tcb(),
            host_data,
            vmpl: 0,
            insecure_debug: InsecureDebug::Forbidden,
        }
    }

    pub(crate) fn chip(&self) -> Chip {
        Chip::new(self.product, &self.chip, self.tcb)
    }

    fn report(&self, chip: &Chip, report_data: [u8; 64]) -> Vec<u8> {
        let mut fields = ReportFields {
            report_data,
            host_data: self.host_data,
            vmpl: self.vmpl,
            ..chip.fields()
        };
        if self.insecure_debug == InsecureDebug::Permitted {
            fields.policy |= 1 << 19;
        }
        chip.sign(&fields)
    }
}

/// A device in service; dropping it ends it.
#[derive(Debug)]
pub struct Device {
    task: JoinHandle<()>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Make a security context in a fresh folder: the device's socket and the files that a container finds (azure.md D.1).
/// Reports are counted as `device.report` if there is a cloud to count them.
///
/// # Errors
/// The folder exists, or the file system refuses.
pub fn plug_in(
    folder: &Path,
    machine: Machine,
    policy_base64: Option<&str>,
    counter: Option<Arc<Cloud>>,
) -> io::Result<Device> {
    DirBuilder::new().mode(0o700).create(folder)?;
    let chip = machine.chip();
    fs::write(folder.join("host-amd-cert-base64"), chip.host_amd_cert_base64())?;
    let endorsement = forged_root::uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json);
    fs::write(folder.join("reference-info-base64"), b64(endorsement))?;
    if let Some(policy) = policy_base64 {
        fs::write(folder.join("security-policy-base64"), policy)?;
    }
    let listener = UnixListener::bind(folder.join(SOCKET))?;
    let task = tokio::spawn(async move {
        let machine = Arc::new((machine, chip));
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    let (counter, machine) = (counter.clone(), Arc::clone(&machine));
                    tokio::spawn(async move {
                        let answered =
                            tokio::time::timeout(PATIENCE, answer(client, &machine)).await;
                        if let Some(cloud) = counter {
                            cloud.faults.count("device.report", matches!(answered, Ok(Ok(()))));
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting at a device");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    Ok(Device { task })
}

async fn answer(mut client: UnixStream, machine: &(Machine, Chip)) -> io::Result<()> {
    let mut report_data = [0; 64];
    client.read_exact(&mut report_data).await?;
    client.write_all(&machine.0.report(&machine.1, report_data)).await?;
    client.shutdown().await
}

/// A folder for one group or enclave of the cloud with this state directory: `/tmp/vs-<8 hex>`, short enough for a socket's name and always the same for the same owner,
/// so that what a killed cloud left is found and replaced.
///
/// # Errors
/// The file system's; also if another user holds the name.
pub fn folder(state: &Path, owner: &str) -> io::Result<PathBuf> {
    let state = fs::canonicalize(state)?;
    let text = format!("{}\n{owner}", state.display());
    let name = hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
    let path = Path::new("/tmp").join(format!("vs-{}", name.get(..8).unwrap_or_default()));
    match fs::remove_dir_all(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

/// The device's socket in the security context.
pub const SOCKET: &str = "insecure-snp-device";
const PATIENCE: Duration = Duration::from_secs(10);

/// What a workload does: ask for a report.
#[cfg(test)]
pub(crate) async fn ask(folder: &Path, report_data: [u8; 64]) -> Vec<u8> {
    let mut client = UnixStream::connect(folder.join(SOCKET)).await.unwrap();
    client.write_all(&report_data).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    answer
}

#[cfg(test)]
mod tests {
    use evidence::Report;

    use super::*;
    use crate::testing::Bench;

    #[tokio::test]
    async fn signs_what_it_was_made_for_and_nothing_else() {
        let bench = Bench::new();
        let root = folder(bench.cloud.directory(), "device test").unwrap();
        let context = root.join("context");
        let mut machine = Machine::new("chip", [7; 32]);
        machine.insecure_debug = InsecureDebug::Permitted;
        machine.vmpl = 1;
        let device =
            plug_in(&context, machine, Some("cG9saWN5"), Some(Arc::clone(&bench.cloud))).unwrap();
        let report = Report::parse(&ask(&context, [3; 64]).await).unwrap();
        assert_eq!(report.host_data.as_bytes(), &[7; 32]);
        assert_eq!(report.report_data.as_bytes(), &[3; 64]);
        assert!(report.policy.allows_debug());
        assert_eq!(report.vmpl, 1);
        let mut short = UnixStream::connect(context.join(SOCKET)).await.unwrap();
        short.write_all(&[3; 63]).await.unwrap();
        short.shutdown().await.unwrap();
        let mut answer = Vec::new();
        assert_eq!(short.read_to_end(&mut answer).await.unwrap_or(0), 0, "too short");
        assert_eq!(fs::read(context.join("security-policy-base64")).unwrap(), b"cG9saWN5");
        assert!(
            context.join("host-amd-cert-base64").exists()
                && context.join("reference-info-base64").exists()
        );
        drop(device);
        let again = folder(bench.cloud.directory(), "device test").unwrap();
        assert_eq!(again, root);
        assert!(!context.exists(), "what was left is replaced");
        fs::remove_dir_all(root).unwrap();
    }
}
