//! Simulated workloads: a device and a security context for a command that someone runs beside the cloud (ours; the control host calls it).
//!
//! An enclave outlives nothing: it ends when it is removed or the cloud stops.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use crate::core::Cloud;
use crate::device::{Device, Machine, folder, plug_in};

/// An enclave in service.
#[derive(Debug)]
pub(super) struct Held {
    root: PathBuf,
    _device: Device,
}

/// What a workload gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclave {
    /// Names it for [`remove`].
    pub id: Uuid,
    /// The value of `UVM_SECURITY_CONTEXT_DIR`.
    pub directory: PathBuf,
}

/// Make a device with a security context for a workload.
///
/// # Errors
/// The file system's.
pub fn create(
    cloud: &Arc<Cloud>,
    machine: Machine,
    policy_base64: Option<&str>,
) -> io::Result<Enclave> {
    let id = Uuid::new_v4();
    let root = folder(cloud, &format!("enclave {id}"))?;
    let directory = root.join("security-context");
    let device = plug_in(cloud, &directory, machine, policy_base64)?;
    let held = Held { root, _device: device };
    cloud.aci.enclaves.lock().unwrap_or_else(PoisonError::into_inner).insert(id, held);
    Ok(Enclave { id, directory })
}

/// Take an enclave away with its folder.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is none of this id; else the file system's.
pub fn remove(cloud: &Cloud, id: Uuid) -> io::Result<()> {
    let held = cloud.aci.enclaves.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    let held = held.ok_or(io::ErrorKind::NotFound)?;
    fs::remove_dir_all(&held.root)
}

/// At shutdown.
pub(super) fn remove_all(cloud: &Cloud) {
    let held =
        std::mem::take(&mut *cloud.aci.enclaves.lock().unwrap_or_else(PoisonError::into_inner));
    for (id, enclave) in held {
        if let Err(error) = fs::remove_dir_all(&enclave.root) {
            tracing::warn!(%id, %error, "removing an enclave");
        }
    }
}
