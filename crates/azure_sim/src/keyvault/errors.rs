//! Error bodies of Key Vault (azure.md C.5, C.6).

use hyper::StatusCode;
use serde_json::json;

use crate::core::Response;

/// `{"error":{"code","message"}}`.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    Response::json(status, &json!({"error": {"code": code, "message": message}}))
}

/// `{"error":{"code","message","innererror":{"code"}}}`.
pub(super) fn refusal_with(status: StatusCode, code: &str, message: &str, inner: &str) -> Response {
    Response::json(
        status,
        &json!({"error": {"code": code, "message": message, "innererror": {"code": inner}}}),
    )
}

/// 400 `BadParameter`.
pub(super) fn bad(message: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, "BadParameter", message)
}

/// 403 `Forbidden` with an inner code.
pub(super) fn forbidden(message: &str, inner: &str) -> Response {
    refusal_with(StatusCode::FORBIDDEN, "Forbidden", message, inner)
}

/// Keys and secrets answer alike, with another word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// A key.
    Key,
    /// A secret.
    Secret,
}

impl Thing {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Key => "Key",
            Self::Secret => "Secret",
        }
    }

    /// azure.md C.5: 404 of a name or id. Recorded.
    pub(super) fn not_found(self, name: &str) -> Response {
        let word = self.word();
        let message = format!(
            "A {} with (name/id) {name} was not found in this key vault. If you recently deleted this {} you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
            word.to_lowercase(),
            word.to_lowercase()
        );
        refusal(StatusCode::NOT_FOUND, &format!("{word}NotFound"), &message)
    }

    /// azure.md C.5: 404 of a deleted name. Recorded.
    pub(super) fn deleted_not_found(self, name: &str) -> Response {
        let word = self.word();
        refusal(
            StatusCode::NOT_FOUND,
            &format!("{word}NotFound"),
            &format!("Deleted {word} not found: {name}"),
        )
    }

    /// azure.md C.5: 409 while it is being deleted. Recorded.
    pub(super) fn being_deleted(self, name: &str) -> Response {
        let message = format!(
            "{} {name} is currently being deleted and cannot be re-created; retry later.",
            self.word()
        );
        refusal_with(StatusCode::CONFLICT, "Conflict", &message, "ObjectIsBeingDeleted")
    }

    /// azure.md C.5: 409 once it is deleted. Recorded.
    pub(super) fn deleted_but_recoverable(self, name: &str) -> Response {
        let message = format!(
            "{} {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.",
            self.word()
        );
        refusal_with(StatusCode::CONFLICT, "Conflict", &message, "ObjectIsDeletedButRecoverable")
    }

    /// 409 while it is being recovered; the text is ours.
    pub(super) fn being_recovered(self, name: &str) -> Response {
        let message = format!("{} {name} is currently being recovered; retry later.", self.word());
        refusal_with(StatusCode::CONFLICT, "Conflict", &message, "ObjectIsBeingRecovered")
    }
}
