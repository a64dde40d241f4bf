//! Refusals of the blob service in its own envelope.
//!
//! Codes, statuses and texts follow "Blob service error codes" and "Common REST API error codes" of the Storage reference; texts marked *ours* are not in it.

use http::StatusCode;

use super::xml;
use crate::core::Response;

/// One refusal: the status, the code in `x-ms-error-code` and the XML body, and what else the caller is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub(super) struct BlobError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The service's code.
    pub code: &'static str,
    /// The message without request id and time.
    pub message: String,
    /// `AuthenticationErrorDetail`, which the service adds to failed signatures.
    pub detail: Option<String>,
    /// `WWW-Authenticate`, on 401.
    pub challenge: Option<String>,
}

impl BlobError {
    /// A refusal with the service's text.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message: message.into(),
            detail: None,
            challenge: None,
        }
    }

    /// The answer: XML with a byte order mark as the service sends it; an empty body for HEAD and 304.
    pub(super) fn response(&self, request_id: &str, now: jiff::Timestamp, body: Body) -> Response {
        let mut response = match body {
            Body::Empty => Response::empty(self.status),
            Body::Xml => {
                let message = format!("{}\nRequestId:{request_id}\nTime:{now:.7}", self.message);
                let detail = self.detail.as_ref().map_or_else(String::new, |detail| {
                    xml::element("AuthenticationErrorDetail", detail)
                });
                let text = format!(
                    "{}<Error><Code>{}</Code><Message>{}</Message>{detail}</Error>",
                    xml::PROLOGUE,
                    self.code,
                    xml::escape(&message)
                );
                Response::bytes(self.status, "application/xml", text)
            }
        };
        if let Some(challenge) = &self.challenge {
            response = response.with("www-authenticate", challenge);
        }
        response.with("x-ms-error-code", self.code)
    }
}

/// Whether the refusal may carry a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// HEAD and 304.
    Empty,
    /// Everything else.
    Xml,
}

pub(super) fn condition_not_met() -> BlobError {
    BlobError::new(
        412,
        "ConditionNotMet",
        "The condition specified using HTTP conditional header(s) is not met.",
    )
}

pub(super) fn not_modified() -> BlobError {
    BlobError::new(
        304,
        "ConditionNotMet",
        "The condition specified using HTTP conditional header(s) is not met.",
    )
}

pub(super) fn blob_not_found() -> BlobError {
    BlobError::new(404, "BlobNotFound", "The specified blob does not exist.")
}

pub(super) fn blob_already_exists() -> BlobError {
    BlobError::new(409, "BlobAlreadyExists", "The specified blob already exists.")
}

pub(super) fn container_not_found() -> BlobError {
    BlobError::new(404, "ContainerNotFound", "The specified container does not exist.")
}

pub(super) fn container_already_exists() -> BlobError {
    BlobError::new(409, "ContainerAlreadyExists", "The specified container already exists.")
}

pub(super) fn invalid_header(name: &str) -> BlobError {
    BlobError::new(
        400,
        "InvalidHeaderValue",
        format!("The value for one of the HTTP headers is not in the correct format. ({name})"),
    )
}

pub(super) fn missing_header(name: &str) -> BlobError {
    BlobError::new(
        400,
        "MissingRequiredHeader",
        format!("An HTTP header that's mandatory for this request is not specified. ({name})"),
    )
}

pub(super) fn invalid_query(name: &str) -> BlobError {
    BlobError::new(
        400,
        "InvalidQueryParameterValue",
        format!(
            "Value for one of the query parameters specified in the request URI is invalid. ({name})"
        ),
    )
}

pub(super) fn invalid_xml() -> BlobError {
    BlobError::new(400, "InvalidXmlDocument", "XML specified is not syntactically valid.")
}

/// The local cloud's own failure to read or write its state; the text is ours.
pub(super) fn internal(cause: &std::io::Error) -> BlobError {
    BlobError::new(
        500,
        "InternalError",
        format!("The local cloud could not keep its state: {cause}"),
    )
}

/// What the real service may do and this one does not; the text is ours.
pub(super) fn unsupported(what: &str) -> BlobError {
    BlobError::new(501, "NotImplemented", format!("The local cloud does not implement {what}."))
}
