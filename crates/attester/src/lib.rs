//! Collects evidence from the machine we run on.
//!
//! [`Container`] is a confidential container of Azure, [`Vm`] a confidential virtual machine.
//! In a confidential container the report comes from a device, and the certificates and the endorsement of the utility VM
//! from the files of the security context, which the guest agent wrote before the container started. All of it is
//! untrusted: the host could have replaced any file, and whoever receives the evidence verifies it. What is checked here is
//! only that the report answers our request, so that a broken device is found where it is.
//!
//! The device is real silicon unless the caller selects the simulated one of the local cloud, by [`Device::InsecureSimulated`].
//! Its reports chain to a root that is publicly known and worthless.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use evidence::{Binding, RawEvidence, SecurityContextError};

mod ioctl;
mod metadata;
mod sev_guest;
mod sev_legacy;
mod simulated;
mod tsm;
mod vtpm;

pub use vtpm::Vm;

/// Something that can say what runs here.
pub trait Attester: fmt::Debug + Send + Sync {
    /// Evidence bound to `binding`; blocking, because the device is.
    fn evidence(&self, binding: &Binding) -> Result<RawEvidence, AttesterError>;
}

/// Which device makes the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor: by `/dev/sev-guest`, by the kernel's common interface where that device is not there, or by
    /// `/dev/sev` on older kernels.
    Silicon,
    /// The socket `insecure-snp-device` in the security context, which the local cloud serves.
    InsecureSimulated,
}

/// A confidential container of Azure.
#[derive(Debug)]
pub struct Container {
    security_context: PathBuf,
    device: Found,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttesterError {
    /// No device exists.
    #[error(
        "there is no SEV-SNP device: none of {}, {}, {}",
        sev_guest::DEVICE,
        tsm::FOLDER,
        sev_legacy::DEVICE
    )]
    NoDevice,
    /// The machine is confidential, but not by SEV-SNP.
    #[error("the kernel's reports are those of {0:?}, not of sev_guest")]
    Provider(String),
    /// The device could not be opened, or broke off.
    #[error("asking {} for a report", .0.display())]
    Device(PathBuf, #[source] std::io::Error),
    /// The firmware refused.
    #[error("the firmware gave no report: {0}")]
    Firmware(String),
    /// The device answered with something that is not a report for our request.
    #[error("the device's answer lacks {0}")]
    Answer(&'static str),
    /// The host's metadata service did not answer.
    #[error("asking the host for the processor's certificates")]
    Metadata(#[source] std::io::Error),
    /// The virtual TPM gave nothing.
    #[error("asking the virtual tpm")]
    Tpm(#[source] tpm::TpmError),
    /// The virtual TPM is not that of a confidential machine of Azure.
    #[error("the tpm has no {0}: this is no confidential virtual machine of azure")]
    NoParavisor(&'static str),
    /// A file of the security context could not be read.
    #[error("reading {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A file of the security context is not what it should be.
    #[error("reading the security context")]
    SecurityContext(#[source] SecurityContextError),
}

impl AttesterError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Tpm(_) | Self::Metadata(_) | Self::NoParavisor(_) => {
                "run as root in a confidential virtual machine, where the kernel has /dev/tpmrm0"
            }
            Self::NoDevice | Self::Device(..) | Self::Provider(_) => {
                "run in a confidential container group, or as a workload of the local cloud"
            }
            Self::Firmware(_) | Self::Answer(_) => "start the container group again",
            Self::Read(..) | Self::SecurityContext(_) => {
                "check that UVM_SECURITY_CONTEXT_DIR is that of the guest agent"
            }
        }
    }
}

/// The device that was found.
#[derive(Debug)]
enum Found {
    SevGuest,
    Tsm,
    Sev,
    InsecureSimulated(PathBuf),
}

impl Container {
    /// A container with this security context: the value of `UVM_SECURITY_CONTEXT_DIR`.
    pub fn new(security_context: &Path, device: Device) -> Result<Self, AttesterError> {
        let device = match device {
            Device::InsecureSimulated => {
                Found::InsecureSimulated(security_context.join(simulated::SOCKET))
            }
            Device::Silicon if Path::new(sev_guest::DEVICE).exists() => Found::SevGuest,
            Device::Silicon if Path::new(tsm::FOLDER).exists() => Found::Tsm,
            Device::Silicon if Path::new(sev_legacy::DEVICE).exists() => Found::Sev,
            Device::Silicon => return Err(AttesterError::NoDevice),
        };
        Ok(Self { security_context: security_context.to_owned(), device })
    }

    /// A report, and the certificates if the device has them beside it.
    fn report(&self, binding: &Binding) -> Result<tsm::Answer, AttesterError> {
        let alone = |report| tsm::Answer { report, certificates: None };
        let answer = match &self.device {
            Found::SevGuest => alone(sev_guest::report(binding)?),
            Found::Tsm => tsm::report(binding)?,
            Found::Sev => alone(sev_legacy::report(binding)?),
            Found::InsecureSimulated(socket) => alone(simulated::report(socket, binding)?),
        };
        let report = &answer.report;
        if report.len() != REPORT {
            return Err(AttesterError::Answer("1184 bytes"));
        }
        // SEV-SNP ABI (56860), table 23: REPORT_DATA at 0x50.
        if report.get(0x50..0x90) != Some(binding.as_bytes().as_slice()) {
            return Err(AttesterError::Answer("the REPORT_DATA that was asked for"));
        }
        Ok(answer)
    }

    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, AttesterError> {
        let path = self.security_context.join(name);
        let error = |error| AttesterError::Read(path.clone(), error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(error(other)),
        };
        let mut content = Vec::new();
        file.take(FILE).read_to_end(&mut content).map_err(error)?;
        Ok(Some(content))
    }

    fn needed(&self, name: &str) -> Result<Vec<u8>, AttesterError> {
        self.file(name)?.ok_or_else(|| {
            AttesterError::Read(
                self.security_context.join(name),
                std::io::ErrorKind::NotFound.into(),
            )
        })
    }
}

impl Attester for Container {
    fn evidence(&self, binding: &Binding) -> Result<RawEvidence, AttesterError> {
        // Newer hosts give the endorsement in both forms, later ones perhaps in the new one only.
        let endorsement = match self.file(ENDORSEMENT)? {
            Some(endorsement) => endorsement,
            None => self.needed(TRANSPARENT_ENDORSEMENT)?,
        };
        let tsm::Answer { report, certificates } = self.report(binding)?;
        let certificates = match (self.file(CERTIFICATES)?, certificates) {
            (Some(of_the_platform), _) => of_the_platform,
            (None, Some(of_the_device)) => of_the_device,
            (None, None) => self.needed(CERTIFICATES)?,
        };
        RawEvidence::from_security_context(report, &certificates, &endorsement)
            .map_err(AttesterError::SecurityContext)
    }
}

const REPORT: usize = 1184;
/// More than any real file of a security context, and more than the evidence's parser takes.
const FILE: u64 = 4 << 20;
const CERTIFICATES: &str = "host-amd-cert-base64";
const ENDORSEMENT: &str = "reference-info-base64";
const TRANSPARENT_ENDORSEMENT: &str = "transparent-reference-info-base64";

#[cfg(test)]
mod tests;
