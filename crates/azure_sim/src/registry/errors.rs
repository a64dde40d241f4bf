//! Refusals in the envelope of the distribution specification: `{"errors":[{"code","message","detail"}]}`.

use http::StatusCode;
use serde_json::json;

use crate::core::Response;

/// What handlers of this service return.
pub(super) type Answer<T = Response> = Result<T, Response>;

pub(super) fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    Response::json(
        status,
        &json!({ "errors": [{ "code": code, "message": message, "detail": {} }] }),
    )
}

pub(super) fn unsupported() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported")
}

pub(super) fn blob_unknown() -> Response {
    refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
}

pub(super) fn manifest_unknown(reference: &str) -> Response {
    refused(
        StatusCode::NOT_FOUND,
        "MANIFEST_UNKNOWN",
        &format!("manifest tagged by \"{reference}\" is not found"),
    )
}

pub(super) fn upload_unknown() -> Response {
    refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

pub(super) fn digest_invalid() -> Response {
    refused(
        StatusCode::BAD_REQUEST,
        "DIGEST_INVALID",
        "provided digest did not match uploaded content",
    )
}

pub(super) fn manifest_invalid(detail: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", &format!("manifest invalid: {detail}"))
}

/// The local cloud's own failure; the text is ours.
pub(super) fn internal(cause: &std::io::Error) -> Response {
    refused(
        StatusCode::INTERNAL_SERVER_ERROR,
        "UNKNOWN",
        &format!("the local cloud could not keep its state: {cause}"),
    )
}
