//! Simulated workloads: a device and a security context for a command that someone runs beside the cloud (ours).
//!
//! The control host makes them for tests, `vouchsafe-azure-sim enclave` for a person. An enclave outlives nothing: it ends with
//! the process that holds it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use forged_root::{Product, Tcb};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::core::Cloud;
use crate::device::{Device, InsecureDebug, Machine, folder, plug_in};

/// What a workload's device is to report; what is absent is as on Azure in 2026.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// HOST_DATA, 64 hexadecimal digits.
    #[serde(with = "hex::serde")]
    pub host_data: [u8; 32],
    /// `milan` (the default), `genoa` or `turin`.
    #[serde(default)]
    pub product: Option<String>,
    /// Names the chip; the same name is the same chip.
    #[serde(default)]
    pub chip: Option<String>,
    /// The debug bit of the guest policy.
    #[serde(default)]
    pub debug: bool,
    /// Privilege level.
    #[serde(default)]
    pub vmpl: u32,
    /// Its TCB version; components that are absent are the product's of 2026.
    #[serde(default)]
    pub tcb: WantedTcb,
}

/// Components of a TCB version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the components have the names of AMD's manual")]
pub struct WantedTcb {
    #[serde(default)]
    pub fmc: Option<u8>,
    #[serde(default)]
    pub bootloader: Option<u8>,
    #[serde(default)]
    pub tee: Option<u8>,
    #[serde(default)]
    pub snp: Option<u8>,
    #[serde(default)]
    pub microcode: Option<u8>,
}

impl Wanted {
    /// Only HOST_DATA.
    pub fn new(host_data: [u8; 32]) -> Self {
        Self {
            host_data,
            product: None,
            chip: None,
            debug: false,
            vmpl: 0,
            tcb: WantedTcb::default(),
        }
    }

    /// The machine that reports so.
    ///
    /// # Errors
    /// A product that is not known, as text.
    pub fn machine(&self) -> Result<Machine, String> {
        let product: Product = self.product.as_deref().unwrap_or("milan").parse()?;
        let usual = product.tcb();
        let tcb = Tcb {
            fmc: self.tcb.fmc.or(usual.fmc),
            bootloader: self.tcb.bootloader.unwrap_or(usual.bootloader),
            tee: self.tcb.tee.unwrap_or(usual.tee),
            snp: self.tcb.snp.unwrap_or(usual.snp),
            microcode: self.tcb.microcode.unwrap_or(usual.microcode),
        };
        let insecure_debug =
            if self.debug { InsecureDebug::Permitted } else { InsecureDebug::Forbidden };
        let chip = self.chip.as_deref().unwrap_or("local cloud");
        Ok(Machine {
            product,
            tcb,
            vmpl: self.vmpl,
            insecure_debug,
            ..Machine::new(chip, self.host_data)
        })
    }
}

/// An enclave in service; dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Enclave {
    id: Uuid,
    root: PathBuf,
    directory: PathBuf,
    _device: Device,
}

impl Enclave {
    /// Make a device with a security context; `state` is the state directory of the cloud that it goes with.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(state: &Path, machine: Machine, counter: Option<Arc<Cloud>>) -> io::Result<Self> {
        let id = Uuid::new_v4();
        let root = folder(state, &format!("enclave {id}"))?;
        let directory = root.join("security-context");
        let device = plug_in(&directory, machine, None, counter)?;
        Ok(Self { id, root, directory, _device: device })
    }

    /// Names it for [`remove`].
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The value of `UVM_SECURITY_CONTEXT_DIR`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tracing::warn!(id = %self.id, %error, "removing an enclave");
        }
    }
}

/// Make an enclave that the cloud holds until [`remove`] or its end; its id and the directory for `UVM_SECURITY_CONTEXT_DIR`.
///
/// # Errors
/// The file system's.
pub fn create(cloud: &Arc<Cloud>, machine: Machine) -> io::Result<(Uuid, PathBuf)> {
    let enclave = Enclave::open(cloud.directory(), machine, Some(Arc::clone(cloud)))?;
    let made = (enclave.id(), enclave.directory().to_owned());
    cloud.aci.enclaves.lock().unwrap_or_else(PoisonError::into_inner).insert(made.0, enclave);
    Ok(made)
}

/// Take an enclave away with its folder.
///
/// # Errors
/// There is none of this id.
pub fn remove(cloud: &Cloud, id: Uuid) -> Result<(), NoSuchEnclave> {
    let held = cloud.aci.enclaves.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    held.map(drop).ok_or(NoSuchEnclave)
}

/// There is no enclave of this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such enclave")]
pub struct NoSuchEnclave;

/// At shutdown.
pub(super) fn remove_all(cloud: &Cloud) {
    drop(std::mem::take(&mut *cloud.aci.enclaves.lock().unwrap_or_else(PoisonError::into_inner)));
}
