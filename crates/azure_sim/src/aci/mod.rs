//! Container instances: what runs of a confidential container group (azure.md D.1, D.2, D.4, D.6).
//!
//! For a group it really pulls the image with the group's identity, checks every digest, computes every layer's dm-verity root,
//! holds layers, command, environment, mounts, user and privileges against the CCE policy, unpacks the image into a folder and starts the
//! process there, with a security context and a simulated SNP device whose HOST_DATA is the SHA-256 of that policy.
//!
//! **It imitates start-up and policy enforcement, not isolation.** The process runs on this kernel, with the cloud's user and network, and sees
//! the whole file system; layers are not verified again while it runs; memory is not encrypted. The device's reports chain to a forged root.
//! A policy in another form than our tool's is refused, since it could not be enforced. The pause container is judged by the policy and
//! accepted by its known layer hash, without a process. A container that is started again keeps its folder; the service gives it a fresh one.
//!
//! Processes get the image's and the body's variables and `UVM_SECURITY_CONTEXT_DIR`, nothing else; they die with the cloud, however it ends.

pub mod command;
pub mod enclave;
mod group;
mod logs;
mod prepare;
mod process;
mod run;
mod slot;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image::oci::{Digest, MeasuredImage};
use uuid::Uuid;

use self::prepare::Unfit;
use self::slot::Slot;
use crate::core::Cloud;

pub use self::group::{Container, Group, RegistryCredential, Restart, Security};
pub use self::logs::Timestamps;
pub use self::view::{Provisioning, View};

/// Running groups and enclaves: processes, not state.
#[derive(Debug, Default)]
pub struct Runtime {
    groups: Mutex<BTreeMap<String, Arc<Slot>>>,
    enclaves: Mutex<BTreeMap<Uuid, enclave::Enclave>>,
    /// Hashes of images by manifest digest: what a digest names does not change.
    measured: Mutex<BTreeMap<String, Arc<MeasuredImage>>>,
}

impl Runtime {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: &str) -> Option<Arc<Slot>> {
        self.groups().get(key).cloned()
    }

    fn measured(
        &self,
        digest: Digest,
        measure: impl FnOnce() -> Result<MeasuredImage, Unfit>,
    ) -> Result<Arc<MeasuredImage>, Unfit> {
        let key = digest.to_string();
        let known = self.measured.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = Arc::new(measure()?);
        self.measured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, Arc::clone(&found));
        Ok(found)
    }
}

/// Start a group; one of the same id that runs is stopped first.
pub fn start(cloud: &Arc<Cloud>, group: Group) {
    let slot = Arc::new(Slot::new(&group));
    let before = cloud.aci.groups().insert(group.key.clone(), Arc::clone(&slot));
    if let Some(before) = &before {
        before.stop();
    }
    tokio::spawn(run::run(Arc::clone(cloud), group, slot, before));
}

/// Stop a group's processes; its record stays.
pub fn stop(cloud: &Cloud, key: &str) {
    if let Some(slot) = cloud.aci.slot(key) {
        slot.stop();
    }
}

/// Stop a group that is deleted. Its place is kept, so that a new group of its name waits until its processes are gone.
pub fn remove(cloud: &Cloud, key: &str) {
    stop(cloud, key);
}

/// What is shown of a group. One that was not started since the cloud was is stopped.
pub fn view(cloud: &Cloud, key: &str) -> View {
    cloud.aci.slot(key).map_or_else(
        || View {
            provisioning: Provisioning::Succeeded,
            state: "Stopped",
            events: Vec::new(),
            containers: BTreeMap::new(),
        },
        |slot| slot.look(view::Status::view),
    )
}

/// What a container wrote.
pub fn logs(
    cloud: &Cloud,
    key: &str,
    container: &str,
    tail: Option<usize>,
    times: Timestamps,
) -> Option<String> {
    let slot = cloud.aci.slot(key)?;
    slot.look(|status| status.containers.get(container).map(|record| record.log.text(tail, times)))
}

/// Called once after the listeners are up: starts again what ran before the cloud was stopped.
pub async fn resume(cloud: &Arc<Cloud>) {
    for group in crate::arm::container_groups::running(cloud) {
        start(cloud, group);
    }
}

/// Called at shutdown: ends every process that a group started.
pub async fn stop_all(cloud: &Arc<Cloud>) {
    let slots: Vec<Arc<Slot>> = cloud.aci.groups().values().cloned().collect();
    slots.iter().for_each(|slot| slot.stop());
    let ended = futures::future::join_all(slots.iter().map(|slot| slot.ended()));
    if tokio::time::timeout(PATIENCE, ended).await.is_err() {
        tracing::warn!("some container groups did not end in time; they die with this process");
    }
    enclave::remove_all(cloud);
}

/// Ends every process that a group of this cloud started, as a crash would: nobody is told, and
/// restart policies apply. How many there were.
pub fn crash_all() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    // proc(5): /proc/PID/task/TID/children lists the children that this thread started.
    let children: Vec<u32> = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect();
    children.iter().for_each(|child| process::signal(*child, process::Signal::Kill));
    children.len()
}

const PATIENCE: Duration = Duration::from_secs(15);
