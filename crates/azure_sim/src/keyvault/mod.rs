//! Not yet served: every call is refused.

use std::sync::Arc;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::core::{Cloud, Request, Response};

/// Persistent state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeyVaultState {}

/// Answers a request to a vault.
///
/// # Errors
/// An error answer.
pub async fn handle(
    _cloud: &Arc<Cloud>,
    _vault: &str,
    _request: Request,
) -> Result<Response, Response> {
    Err(Response::arm_error(
        StatusCode::NOT_IMPLEMENTED,
        "NotImplemented",
        "this service is not simulated yet",
    ))
}

/// Drops every key and secret of a vault (lower-case name) for good. Resource management calls it when a deleted vault is purged.
pub fn purge_vault(_cloud: &Cloud, _vault: &str) {}
