//! What was asked, and what came back instead of an answer: the parts that every operation's error is made of.
//!
//! An [`Answer`] keeps what Azure says about a refusal (status, code, message, request id) and nothing of what was sent.
//! The message comes from outside, so it is cut to a length that fits a terminal and stripped of control characters.

use std::fmt;

mod said;

use said::Said;

/// A call, for the reader of an error: the operation and the resource it was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    operation: &'static str,
    resource: String,
}

impl Call {
    pub(crate) fn new(operation: &'static str, resource: impl Into<String>) -> Self {
        Self { operation, resource: resource.into() }
    }

    /// What was asked, for example `release key`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it was asked of: an address or a resource id, without its query.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.resource)
    }
}

/// Azure's refusal of a call, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    call: Call,
    status: u16,
    code: String,
    inner_code: Option<String>,
    message: String,
    request: Option<String>,
}

impl Answer {
    /// The call that was refused.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.0.call
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Azure's code, for example `KeyNotFound`; empty if it gave none.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Azure's more specific code, for example `ObjectIsBeingDeleted`.
    #[must_use]
    pub fn inner_code(&self) -> Option<&str> {
        self.0.inner_code.as_deref()
    }

    /// Azure's message, cut and cleaned.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The id under which Azure's support finds the request.
    #[must_use]
    pub fn request(&self) -> Option<&str> {
        self.0.request.as_deref()
    }

    pub(crate) fn parse(
        call: Call,
        status: u16,
        code_header: Option<&str>,
        request: Option<&str>,
        body: &[u8],
    ) -> Self {
        let said = Said::parse(body);
        Self(Box::new(Parts {
            call,
            status,
            code: clean(
                &said.code.or_else(|| code_header.map(str::to_owned)).unwrap_or_default(),
                CODE,
            ),
            inner_code: said.inner.map(|code| clean(&code, CODE)),
            message: clean(&said.message.unwrap_or_default(), MESSAGE),
            request: request.map(|id| clean(id, CODE)),
        }))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = &self.0;
        write!(f, "{}: {}", said.call, said.status)?;
        if !said.code.is_empty() {
            write!(f, " {}", said.code)?;
        }
        if let Some(inner) = &said.inner_code {
            write!(f, " ({inner})")?;
        }
        if !said.message.is_empty() {
            write!(f, ": {}", said.message)?;
        }
        if let Some(request) = &said.request {
            write!(f, " [request {request}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Answer {}

/// No usable answer came, and trying again later may help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The service answered that it cannot answer now, every time it was asked.
    #[error("the service is failing")]
    Failing(#[source] Answer),
    /// The connection could not be made, broke, or stayed silent. Whether the call took effect is not known.
    #[error("{call}: no answer")]
    Unreachable {
        /// The call.
        call: Call,
        /// What the transport says.
        #[source]
        cause: Box<azure_core::Error>,
    },
    /// The credential gave no token.
    #[error("{call}: no access token")]
    NoToken {
        /// The call.
        call: Call,
        /// What the credential says.
        #[source]
        cause: Box<azure_core::Error>,
    },
}

/// Azure answered with something that this crate does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: the answer lacks {expected}")]
pub struct Malformed {
    call: Call,
    expected: &'static str,
}

impl Malformed {
    pub(crate) fn new(call: &Call, expected: &'static str) -> Self {
        Self { call: call.clone(), expected }
    }

    /// What was expected and not found.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

/// Every way in which a call can end without what was asked for; each group of operations sorts it into its own enum.
#[derive(Debug)]
pub(crate) enum Fault {
    Answered(Answer),
    Unavailable(Unavailable),
    Malformed(Malformed),
}

impl Fault {
    /// Sorts an error of the SDK's pipeline.
    pub(crate) fn from_sdk(call: &Call, cause: azure_core::Error) -> Self {
        use azure_core::error::ErrorKind;
        let call = call.clone();
        let answer =
            if let ErrorKind::HttpResponse { status, error_code, raw_response } = cause.kind() {
                let (request, body) = raw_response.as_ref().map_or((None, &[][..]), |raw| {
                    (raw.headers().get_optional_str(&crate::wire::REQUEST_ID), raw.body().as_ref())
                });
                Some(Answer::parse(
                    call.clone(),
                    u16::from(*status),
                    error_code.as_deref(),
                    request,
                    body,
                ))
            } else {
                None
            };
        match answer {
            Some(answer) => Self::from_answer(answer),
            None if matches!(cause.kind(), ErrorKind::Credential) => {
                let cause = Box::new(cause);
                Self::Unavailable(Unavailable::NoToken { call, cause })
            }
            None if matches!(cause.kind(), ErrorKind::DataConversion) => {
                Self::Malformed(Malformed::new(&call, "the documented form"))
            }
            None => {
                let cause = Box::new(cause);
                Self::Unavailable(Unavailable::Unreachable { call, cause })
            }
        }
    }

    /// A refusal is an answer; a server error, after the retries, is an unavailability.
    pub(crate) fn from_answer(answer: Answer) -> Self {
        if answer.status() >= 500 {
            Self::Unavailable(Unavailable::Failing(answer))
        } else {
            Self::Answered(answer)
        }
    }
}

fn clean(text: &str, length: usize) -> String {
    let mut cleaned: String = text
        .split(|c: char| c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((cut, _)) = cleaned.char_indices().nth(length) {
        cleaned.truncate(cut);
        cleaned.push('…');
    }
    cleaned
}

const CODE: usize = 120;
const MESSAGE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, header: Option<&str>, body: &str) -> String {
        Answer::parse(
            Call::new("get key", "https://v.vault.azure.net/keys/k"),
            status,
            header,
            Some("req-1"),
            body.as_bytes(),
        )
        .to_string()
    }

    #[test]
    fn reads_every_form_of_error_body() {
        let cases = [
            (
                r#"{"error":{"code":"Conflict","message":"busy","innererror":{"code":"ObjectIsBeingDeleted"}}}"#,
                "409 Conflict (ObjectIsBeingDeleted): busy",
            ),
            (
                r#"{"Error":{"Code":"InvalidOperation","Message":"no","innererror":{"code":"InvalidOperation","message":"no"}}}"#,
                "409 InvalidOperation: no",
            ),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: wrong"}"#,
                "409 invalid_client: AADSTS7000215: wrong",
            ),
            (
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}"#,
                "409 UNAUTHORIZED: authentication required",
            ),
            (
                r#"<?xml version="1.0"?><Error><Code>LeaseAlreadyPresent</Code><Message>There is already a lease.</Message></Error>"#,
                "409 LeaseAlreadyPresent: There is already a lease.",
            ),
            (r#"{"code":"BadRequest","message":"old"}"#, "409 BadRequest: old"),
            ("not\u{1b}[31m json\r\n", "409: not [31m json"),
            ("", "409"),
        ];
        for (body, said) in cases {
            assert_eq!(
                check(409, None, body),
                format!("get key: https://v.vault.azure.net/keys/k: {said} [request req-1]")
            );
        }
    }

    #[test]
    fn takes_the_code_of_the_header_when_the_body_has_none() {
        assert!(check(404, Some("ContainerNotFound"), "").contains("404 ContainerNotFound"));
    }

    #[test]
    fn cuts_a_message_that_is_too_long() {
        let long = check(400, None, &"é".repeat(5_000));
        assert!(long.chars().count() < 1_200);
        assert!(long.contains('…'));
    }

    #[test]
    fn names_the_details_of_an_arm_error() {
        let body = r#"{"error":{"code":"InvalidTemplate","message":"bad","details":[{"code":"X","message":"y"}]}}"#;
        assert!(check(400, None, body).contains("InvalidTemplate: bad; X; y"));
    }
}
