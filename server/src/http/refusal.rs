//! The one place that decides what a refused caller sees: a code and a request id.
//!
//! Every error of the inner modules becomes a [`Refusal`] here and nowhere else. Its reason goes to the sealed audit
//! log in full; standard output, which the host reads, gets request id and code. The Vault-compatible door shows, in
//! place of the code, the few fixed texts that Vault's clients look for; none of them says why evidence, a token or a
//! login was not accepted.

use http::StatusCode;
use protocol::attest::{RefusalAnswer, RefusalCode};

use super::limit::TooMany;
use super::reply::Reply;
use crate::audit::{AuditError, Door, Reason, RequestId, chain};
use crate::auth::{LoginError, OidcError};
use crate::grant::{AttestError, ChallengeError, Denied, ReleaseError};
use crate::kv::KvError;
use crate::tokens::TokenError;
use store::CommitError;

/// A request that is not answered as asked.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: RefusalCode,
    /// What Vault's clients are told, where it is not the default of the code.
    text: Option<Text>,
    reason: String,
    step: Option<evidence::Refusal>,
}

#[derive(Debug)]
enum Text {
    /// In place of the code.
    Fixed(String),
    /// No text at all: an empty list, or nothing there.
    None,
}

impl Refusal {
    fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, text: None, reason: reason.into(), step: None }
    }

    fn of(code: RefusalCode, error: &dyn std::error::Error) -> Self {
        Self::new(code, chain(error))
    }

    fn saying(self, text: impl Into<String>) -> Self {
        Self { text: Some(Text::Fixed(text.into())), ..self }
    }

    /// The request has not the expected form. The text is shown, so it repeats nothing that was sent.
    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(RefusalCode::Malformed, text.clone()).saying(text)
    }

    /// There is nothing there; Vault's clients expect no text.
    pub(crate) fn nothing_there(reason: impl Into<String>) -> Self {
        Self { text: Some(Text::None), ..Self::new(RefusalCode::NotFound, reason) }
    }

    /// Not a path of this server.
    pub(crate) fn unsupported_path() -> Self {
        Self::new(RefusalCode::NotFound, "no such path").saying("unsupported path")
    }

    /// A thing that Vault does and we do not. The text is shown.
    pub(crate) fn not_supported(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(RefusalCode::NotSupported, text.clone()).saying(text)
    }

    /// Something that only the manifest changes.
    pub(crate) fn owned_by_manifest() -> Self {
        Self::not_supported("unsupported operation: the signed manifest owns this; change it there")
    }

    /// Known, and may not.
    pub(crate) fn denied(reason: impl Into<String>) -> Self {
        Self::new(RefusalCode::Denied, reason)
    }

    /// The server cannot do it now.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(RefusalCode::Unavailable, reason)
    }

    /// No signer has confirmed the store.
    pub(crate) fn sealed() -> Self {
        Self::new(RefusalCode::Sealed, "no signer has confirmed the store")
    }

    /// The code.
    pub(crate) const fn code(&self) -> RefusalCode {
        self.code
    }

    /// What the audit log says.
    pub(crate) fn reason(&self) -> Reason {
        let step = self.step.as_ref().map(|step| evidence::Refusal {
            step: step.step,
            expected: bounded(&step.expected),
            found: bounded(&step.found),
        });
        Reason { code: self.code.code(), text: bounded(&self.reason), step }
    }

    /// What the caller sees.
    pub(crate) fn reply(self, door: Door, id: RequestId) -> Reply {
        let text = match (door, self.text) {
            (Door::Vouchsafe, _) => Some(self.code.code().to_owned()),
            (Door::Vault, Some(Text::Fixed(text))) => Some(text),
            (Door::Vault, Some(Text::None)) => None,
            (Door::Vault, None) => Some(default_text(self.code).to_owned()),
        };
        let errors = text.into_iter().collect();
        let answer = RefusalAnswer { errors, request_id: id.to_string() };
        let status = StatusCode::from_u16(self.code.status());
        let body = serde_json::to_vec(&answer).unwrap_or_default().into();
        Reply { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body }
    }
}

/// A stranger may make evidence and tokens whose faults are long.
fn bounded(text: &str) -> String {
    text.chars().take(LONGEST_REASON).collect()
}

/// As Vault says it.
const fn default_text(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Malformed => "malformed request",
        RefusalCode::Rejected | RefusalCode::Denied => "permission denied",
        RefusalCode::NotFound => "not found",
        RefusalCode::NotSupported => "unsupported operation",
        RefusalCode::RateLimited => "request path: rate limit quota exceeded",
        RefusalCode::Unavailable => "the server cannot do it now",
        RefusalCode::Sealed => "Vault is sealed",
    }
}

impl From<TooMany> for Refusal {
    fn from(error: TooMany) -> Self {
        Self::of(RefusalCode::RateLimited, &error)
    }
}

impl From<ChallengeError> for Refusal {
    fn from(error: ChallengeError) -> Self {
        let code = match error {
            ChallengeError::Unknown | ChallengeError::Expired => RefusalCode::Rejected,
            ChallengeError::TooMany => RefusalCode::RateLimited,
            ChallengeError::Randomness => RefusalCode::Unavailable,
        };
        Self::of(code, &error)
    }
}

impl From<AttestError> for Refusal {
    fn from(error: AttestError) -> Self {
        let reason = chain(&error);
        let refusal = match error {
            AttestError::Malformed(_) | AttestError::Seal(_) => {
                Self::new(RefusalCode::Malformed, "")
            }
            AttestError::Challenge(error) => error.into(),
            AttestError::Evidence(step) => {
                Self { step: Some(step), ..Self::new(RefusalCode::Rejected, "") }
            }
            AttestError::Appraisal(_) => Self::new(RefusalCode::Rejected, ""),
            AttestError::Denied(error) => error.into(),
            AttestError::Token(error) => error.into(),
            AttestError::NoToken | AttestError::NotAField { .. } => {
                Self::new(RefusalCode::Unavailable, "")
            }
            AttestError::Release(error) => error.into(),
        };
        Self { reason, ..refusal }
    }
}

impl From<Denied> for Refusal {
    fn from(error: Denied) -> Self {
        Self::of(RefusalCode::Denied, &error)
    }
}

impl From<ReleaseError> for Refusal {
    fn from(error: ReleaseError) -> Self {
        let reason = chain(&error);
        let refusal = match error {
            ReleaseError::Absent { .. }
            | ReleaseError::Gone { .. }
            | ReleaseError::NoField { .. } => Self::nothing_there(""),
            ReleaseError::Kv(error) => error.into(),
            ReleaseError::Audit(error) => error.into(),
            ReleaseError::Token(error) => error.into(),
            ReleaseError::Store(error) => error.into(),
        };
        Self { reason, ..refusal }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed
            | TokenError::Unknown
            | TokenError::Expired
            | TokenError::NoHolder
            | TokenError::RulesChanged => Self::of(RefusalCode::Rejected, &error),
            TokenError::NotRenewable => {
                Self::of(RefusalCode::Malformed, &error).saying("lease is not renewable")
            }
            TokenError::Record | TokenError::Randomness => {
                Self::of(RefusalCode::Unavailable, &error)
            }
        }
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        let code = match &error {
            LoginError::Malformed(_) => RefusalCode::Malformed,
            LoginError::Role
            | LoginError::Algorithm
            | LoginError::Signature
            | LoginError::Expired
            | LoginError::NotYet
            | LoginError::Claim { .. }
            | LoginError::Keys(OidcError::UnknownKey) => RefusalCode::Rejected,
            LoginError::Keys(
                OidcError::OtherIssuer
                | OidcError::Malformed(_)
                | OidcError::Status(_)
                | OidcError::Paused
                | OidcError::Silent
                | OidcError::Unavailable(_),
            ) => RefusalCode::Unavailable,
        };
        Self::of(code, &error)
    }
}

impl From<KvError> for Refusal {
    fn from(error: KvError) -> Self {
        let reason = chain(&error);
        let refusal = match error {
            KvError::Malformed(_)
            | KvError::CheckAndSet
            | KvError::CheckAndSetRequired
            | KvError::TooLarge => Self::malformed(error.to_string()),
            KvError::NotFound => Self::nothing_there(""),
            KvError::Damaged | KvError::Busy => Self::unavailable(""),
            KvError::Audit(error) => error.into(),
            KvError::Store(error) => error.into(),
        };
        Self { reason, ..refusal }
    }
}

impl From<AuditError> for Refusal {
    fn from(error: AuditError) -> Self {
        Self::of(RefusalCode::Unavailable, &error)
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        let code = match error {
            CommitError::TooLarge { .. } => RefusalCode::Malformed,
            CommitError::Conflict { .. }
            | CommitError::Empty
            | CommitError::Seal(_)
            | CommitError::Unavailable(_)
            | CommitError::InDoubt(_)
            | CommitError::Uncovered { .. }
            | CommitError::Rekeyed { .. }
            | CommitError::Damaged(_)
            | CommitError::Closed => RefusalCode::Unavailable,
        };
        Self::of(code, &error)
    }
}

const LONGEST_REASON: usize = 2048;
