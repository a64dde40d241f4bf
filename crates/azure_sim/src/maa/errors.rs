//! Error bodies of the attestation service (azure.md A.8).

use hyper::StatusCode;
use serde_json::json;

use crate::core::Response;

/// `{"error":{"code","message","innererror":{"code","message"}}}`, the inner pair repeating the outer one. Recorded.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"error": {"code": code, "message": message, "innererror": {"code": code, "message": message}}});
    Response::json(status, &body)
}

/// 400 with a code.
pub(super) fn bad(code: &str, message: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, code, message)
}

/// 500; ours.
pub(super) fn internal(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "simulated attestation");
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "the simulated service cannot do this",
    )
}
