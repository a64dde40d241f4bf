//! The paravisor: keeps a report of the forged root in the TPM, and renews it when the guest asks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use forged_root::Chip;
use forged_root::vm::{Hcl, RsaPublic, SoftwareAk, VmClaims, vm_fields};
use tpm::{Index, Tpm, TpmError};

use super::{AttestationKey, Wanted};
use crate::device::{InsecureDebug, Machine};

/// A paravisor in service; dropping it ends it.
#[derive(Debug)]
pub(super) struct Paravisor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it signs.
struct Reports {
    machine: Machine,
    chip: Chip,
    claims: VmClaims,
}

impl Paravisor {
    /// Puts the report of boot into the TPM, and waits for requests.
    pub(super) fn start(
        mut tpm: Tpm,
        socket: &Path,
        wanted: &Wanted,
        key: RsaPublic,
    ) -> Result<Self, TpmError> {
        let key = match wanted.attestation_key {
            AttestationKey::Own => key,
            AttestationKey::AnotherMachines => SoftwareAk::new().public(),
        };
        let mut claims = VmClaims::new(key);
        claims.secure_boot = Some(wanted.secure_boot);
        let machine = wanted.machine.clone();
        let mut reports = Reports { chip: machine.chip(), machine, claims };
        let index = tpm.define(REPORT, SIZE)?;
        tpm.write(index, &reports.sign(None))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mut tpm) = (Arc::clone(&stop), Tpm::socket(socket));
        let thread = std::thread::spawn(move || {
            let mut answered = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(INTERVAL);
                match look(&mut tpm, &mut reports, index, &answered) {
                    Ok(Some(request)) => answered = request,
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "paravisor"),
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

/// Answers a request that has not been answered; the request.
fn look(
    tpm: &mut Tpm,
    reports: &mut Reports,
    index: Index,
    answered: &[u8],
) -> Result<Option<Vec<u8>>, TpmError> {
    let Some(request) = tpm.index(REQUEST)? else { return Ok(None) };
    // An index that was never written cannot be read, which is no request either.
    let request = tpm.read(request)?;
    if request == answered {
        return Ok(None);
    }
    tpm.write(index, &reports.sign(Some(request.clone())))?;
    Ok(Some(request))
}

impl Reports {
    fn sign(&mut self, user_data: Option<Vec<u8>>) -> Vec<u8> {
        if user_data.is_some() {
            self.claims.user_data = user_data;
        }
        let claims = self.claims.json();
        let mut fields = vm_fields(&self.chip, &claims);
        fields.vmpl = self.machine.vmpl;
        if self.machine.insecure_debug == InsecureDebug::Permitted {
            fields.policy |= 1 << 19;
        }
        let hcl = Hcl::with(&fields, &self.chip, claims);
        Hcl { version: 1, size: SIZE.into(), ..hcl }.bytes()
    }
}

impl Drop for Paravisor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

const REPORT: u32 = 0x0140_0001;
const REQUEST: u32 = 0x0140_0002;
/// As older images have it; newer ones have 2600 bytes, which is more than an index of `swtpm` holds.
const SIZE: u16 = 2048;
const INTERVAL: Duration = Duration::from_millis(50);
