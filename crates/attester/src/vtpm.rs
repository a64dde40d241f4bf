//! A confidential virtual machine of Azure: the virtual TPM that the paravisor keeps for it.
//!
//! The guest cannot ask the hardware. The paravisor leaves its report, with claims that name the TPM's attestation key, at an index of
//! the TPM, and makes a new one after the guest has written to another index; the key signs quotes. What the processor's
//! certificates are, the host says through its metadata service, which the caller asks.
//!
//! Source: Microsoft, "Azure confidential VMs: guest attestation design detail", section "vTPM NV indexes". As everywhere here, nothing is believed;
//! whoever receives the evidence verifies it.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use evidence::{
    HclReport, PcrIndex, PcrValue, QuoteNonce, RawQuote, RawVmEvidence, certificates_from_thim,
};
use tpm::Tpm;

use super::{AttesterError, metadata};

/// A confidential virtual machine.
#[derive(Debug)]
pub struct Vm {
    tpm: Mutex<Tpm>,
    certificates: String,
}

impl Vm {
    /// This machine, with its TPM at the kernel's device and the certificates that the host gives.
    ///
    /// # Errors
    /// There is no TPM, or the host does not answer.
    pub fn new() -> Result<Self, AttesterError> {
        let tpm = Tpm::device(Path::new(DEVICE)).map_err(AttesterError::Tpm)?;
        let certification = metadata::certification(metadata::ADDRESS)?;
        let certificates = certificates_from_thim(&certification);
        let certificates = certificates.map_err(AttesterError::SecurityContext)?;
        Ok(Self { tpm: Mutex::new(tpm), certificates })
    }

    /// A machine of the local cloud: a folder with the socket of a software TPM and a file of what the host would give.
    ///
    /// # Errors
    /// There is no such file.
    pub fn insecure_simulated(folder: &Path) -> Result<Self, AttesterError> {
        let path = folder.join(CERTIFICATION);
        let certification = std::fs::read(&path);
        let certification = certification.map_err(|error| AttesterError::Read(path, error))?;
        let certificates = certificates_from_thim(&certification);
        let certificates = certificates.map_err(AttesterError::SecurityContext)?;
        let tpm = Tpm::socket(&folder.join(SOCKET));
        Ok(Self { tpm: Mutex::new(tpm), certificates })
    }

    /// Evidence bound to `nonce`, in these steps; blocking, because the TPM is:
    ///
    /// 1. the paravisor is asked for a report of now, since the one that it made at boot may tell of a TCB, and so need certificates,
    ///    that the processor has left behind; a paravisor that does not answer keeps the one of boot;
    /// 2. the report is read;
    /// 3. the attestation key quotes all registers with `nonce`.
    ///
    /// # Errors
    /// The TPM lacks something, or does not answer.
    pub fn evidence(&self, nonce: &QuoteNonce) -> Result<RawVmEvidence, AttesterError> {
        let mut tpm = self.tpm.lock().map_err(|_| AttesterError::Answer("a tpm"))?;
        let hcl_report = refreshed(&mut tpm, nonce)?;
        let quote = tpm.quote(ATTESTATION_KEY, nonce.as_bytes()).map_err(|error| {
            match error.is_absence() {
                true => AttesterError::NoParavisor("attestation key"),
                false => AttesterError::Tpm(error),
            }
        })?;
        let pcrs = quote.registers.into_iter().map(|(register, value)| {
            let index = PcrIndex::try_from(register);
            index.map(|index| (index, PcrValue::new(value)))
        });
        let pcrs = pcrs.collect::<Result<_, _>>();
        let pcrs = pcrs.map_err(|_| AttesterError::Answer("registers of a pc"))?;
        let (message, signature) = (quote.message, quote.signature);
        Ok(RawVmEvidence {
            hcl_report,
            certificates: self.certificates.clone(),
            quote: RawQuote { message, signature, pcrs },
        })
    }
}

/// A report that carries `nonce`, or the newest that there is.
fn refreshed(tpm: &mut Tpm, nonce: &QuoteNonce) -> Result<Vec<u8>, AttesterError> {
    let index = tpm.index(REPORT).map_err(AttesterError::Tpm)?;
    let index = index.ok_or(AttesterError::NoParavisor("report"))?;
    let request = match tpm.index(REQUEST).map_err(AttesterError::Tpm)? {
        Some(request) => Some(request),
        // The guest makes this index itself, if its owner lets it.
        None => tpm.define(REQUEST, USER_DATA).ok(),
    };
    let mut user_data = nonce.as_bytes().to_vec();
    user_data.resize(USER_DATA.into(), 0);
    let asked = request
        .filter(|request| request.size == USER_DATA)
        .is_some_and(|request| tpm.write(request, &user_data).is_ok());
    let end = Instant::now() + PATIENCE;
    let mut earlier = None;
    loop {
        let report = tpm.read(index).map_err(AttesterError::Tpm)?;
        let claims = HclReport::parse(&report).ok().and_then(|hcl| hcl.claims().ok());
        let carries = claims.is_some_and(|claims| claims.user_data() == Some(&user_data));
        // It is read in portions, so once more, lest it was exchanged in between.
        let stands = earlier.as_ref() == Some(&report);
        if stands && (carries || !asked) || Instant::now() >= end {
            return Ok(report);
        }
        earlier = Some(report);
        if carries || !asked {
            continue;
        }
        std::thread::sleep(PAUSE);
    }
}

const DEVICE: &str = "/dev/tpmrm0";
/// In a folder of the local cloud.
const SOCKET: &str = "insecure-vtpm";
const CERTIFICATION: &str = "certification.json";
/// The HCL report.
const REPORT: u32 = 0x0140_0001;
/// What is written here has the paravisor make a new report, with it as `user-data`.
const REQUEST: u32 = 0x0140_0002;
const USER_DATA: u16 = 64;
/// HCLAkPub.
const ATTESTATION_KEY: u32 = 0x8100_0003;
/// A paravisor takes about three seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
