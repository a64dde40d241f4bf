//! Not yet served: container groups cannot run.

mod group;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::core::Cloud;

pub use self::group::{Container, Group, RegistryCredential, Restart};

/// Running groups.
#[derive(Debug, Default)]
pub struct Runtime {}

/// How far a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provisioning {
    /// Accepted.
    Pending,
    /// Being made.
    Creating,
    /// Made.
    Succeeded,
    /// Not made.
    Failed {
        /// Code.
        code: String,
        /// Text.
        message: String,
    },
}

/// What is shown of a group.
#[derive(Debug, Clone)]
pub struct View {
    /// How far it is.
    pub provisioning: Provisioning,
    /// `Running`, `Stopped`, …
    pub state: &'static str,
    /// Events of the group.
    pub events: Vec<Value>,
    /// Instance views by container.
    pub containers: BTreeMap<String, Value>,
}

/// Whether lines of a log carry their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// Yes.
    Shown,
    /// No.
    Hidden,
}

/// Start.
pub fn start(_cloud: &Arc<Cloud>, _group: Group) {}
/// Stop.
pub fn stop(_cloud: &Cloud, _key: &str) {}
/// Remove.
pub fn remove(_cloud: &Cloud, _key: &str) {}
/// View.
pub fn view(_cloud: &Cloud, _key: &str) -> View {
    View {
        provisioning: Provisioning::Failed {
            code: "NotImplemented".into(),
            message: "container groups are not simulated yet".into(),
        },
        state: "Failed",
        events: Vec::new(),
        containers: BTreeMap::new(),
    }
}
/// Logs.
pub fn logs(
    _cloud: &Cloud,
    _key: &str,
    _container: &str,
    _tail: Option<usize>,
    _times: Timestamps,
) -> Option<String> {
    None
}

/// Called once after the listeners are up: starts again what ran before the cloud was stopped.
pub async fn resume(cloud: &Arc<Cloud>) {
    for group in crate::arm::container_groups::running(cloud) {
        start(cloud, group);
    }
}

/// Called at shutdown: ends every process that a group started.
pub async fn stop_all(_cloud: &Arc<Cloud>) {}
