//! Not yet served: container groups cannot run.

use std::sync::Arc;

use crate::core::Cloud;

/// Running groups.
#[derive(Debug, Default)]
pub struct Runtime {}

/// Called once after the listeners are up: starts again what ran before the cloud was stopped.
pub async fn resume(_cloud: &Arc<Cloud>) {}

/// Called at shutdown: ends every process that a group started.
pub async fn stop_all(_cloud: &Arc<Cloud>) {}
