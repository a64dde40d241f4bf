//! Refusals of resource management in the envelope `{"error":{"code","message"}}` (azure.md F.1).

use http::StatusCode;
use serde_json::json;

use crate::core::Response;

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ArmError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The service's code.
    pub code: String,
    /// The message.
    pub message: String,
    /// `WWW-Authenticate`, on 401.
    pub challenge: Option<String>,
}

/// What handlers of this service return.
pub(super) type Answer<T = Response> = Result<T, ArmError>;

impl ArmError {
    /// A refusal.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: code.into(),
            message: message.into(),
            challenge: None,
        }
    }

    /// The envelope's content, which long-running operations carry too.
    pub fn body(&self) -> serde_json::Value {
        json!({ "code": self.code, "message": self.message })
    }
}

impl From<ArmError> for Response {
    fn from(refused: ArmError) -> Self {
        let response = Self::json(refused.status, &json!({ "error": refused.body() }));
        match refused.challenge {
            Some(challenge) => response.with("www-authenticate", &challenge),
            None => response,
        }
    }
}

/// 400 for a body that is not what the resource wants; the detail after the service's first sentence is ours.
pub(super) fn invalid_content(detail: impl std::fmt::Display) -> ArmError {
    ArmError::new(
        400,
        "InvalidRequestContent",
        format!("The request content was invalid and could not be deserialized: '{detail}'."),
    )
}

/// 400 with the plain code that several providers use.
pub(super) fn bad_request(message: impl Into<String>) -> ArmError {
    ArmError::new(400, "BadRequest", message)
}

pub(super) fn group_not_found(group: &str) -> ArmError {
    ArmError::new(
        404,
        "ResourceGroupNotFound",
        format!("Resource group '{group}' could not be found."),
    )
}

pub(super) fn method_not_allowed() -> ArmError {
    ArmError::new(
        405,
        "MethodNotAllowed",
        "The requested resource does not support this http method.",
    )
}

pub(super) fn not_found(kind: &str, name: &str, group: &str) -> ArmError {
    ArmError::new(
        404,
        "ResourceNotFound",
        format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        ),
    )
}
