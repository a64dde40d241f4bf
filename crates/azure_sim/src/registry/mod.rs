//! Not yet served: every call is refused.

use std::sync::Arc;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::core::{Cloud, Request, Response};

/// Persistent state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RegistryState {}

/// Answers a request.
///
/// # Errors
/// An error answer.
pub async fn handle(
    _cloud: &Arc<Cloud>,
    _name: &str,
    _request: Request,
) -> Result<Response, Response> {
    Err(Response::arm_error(
        StatusCode::NOT_IMPLEMENTED,
        "NotImplemented",
        "this service is not simulated yet",
    ))
}

/// Drop a registry's images.
///
/// # Errors
/// The file system's.
pub fn remove(_cloud: &Cloud, _name: &str) -> std::io::Result<()> {
    Ok(())
}
