//! A lease on a blob: at most one holder, for as long as it renews.
//!
//! Blob service REST API, "Lease Blob", version 2021-12-02. The holder proposes the lease's id, so that an acquisition
//! whose answer was lost can be asked again and gives the same lease.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::Method;
use azure_core::time::{OffsetDateTime, to_rfc7231};
use url::Url;
use uuid::Uuid;

use super::{SCOPE, StoreSetupError, account, check_container};
use crate::call::{Answer, Call, Fault, Malformed, Unavailable};
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Bearer, Got, Wire, place};

/// The leases on the blobs of one container.
#[derive(Debug, Clone)]
pub struct Leases {
    wire: Wire,
    container: Url,
}

/// A lease that was acquired. It ends when its time is over; dropping it does not end it.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    blob: String,
    id: Uuid,
}

/// How long a lease lasts unless it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseDuration {
    /// 15 to 60 seconds; Azure refuses others.
    Seconds(u8),
    /// Until it is released or broken.
    Infinite,
}

/// Why a call about a lease failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody else holds the lease.
    #[error("somebody else holds the lease")]
    Held(#[source] Answer),
    /// This lease is no longer ours: it ended, was broken, or somebody else has one.
    #[error("the lease is no longer ours")]
    Lost(#[source] Answer),
    /// There is no such container or account.
    #[error("the container does not exist")]
    NotFound(#[source] Answer),
    /// A role is missing.
    #[error("not authorized")]
    Denied(#[source] Answer),
    /// Too many requests, even after waiting.
    #[error("throttled")]
    Throttled(#[source] Answer),
    /// Any other refusal.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer.
    #[error("the storage account is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl LeaseError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Held(_) => "another deployment is running; wait until it is done",
            Self::Lost(_) => "run again; another deployment may be running",
            Self::NotFound(_) => "check [storage] in the manifest",
            Self::Denied(_) => {
                "assign Storage Blob Data Contributor on the container; a new role takes minutes to act"
            }
            Self::Throttled(_) => "wait a minute and run again",
            Self::Rejected(_) => "read Azure's message",
            Self::Malformed(_) => "check that the address is that of a storage account",
            Self::Unavailable(_) => "check the network and Azure's status, then run again",
        }
    }
}

impl From<Fault> for LeaseError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => match (answer.status(), answer.code()) {
                (409, "LeaseAlreadyPresent" | "LeaseIsBreakingAndCannotBeAcquired") => {
                    Self::Held(answer)
                }
                (409 | 412, _) => Self::Lost(answer),
                (404, _) => Self::NotFound(answer),
                (401 | 403, _) => Self::Denied(answer),
                (429, _) => Self::Throttled(answer),
                _ => Self::Rejected(answer),
            },
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}

impl Leases {
    /// The leases of a container at `address`, for example `https://vouchsafe.blob.core.windows.net`.
    pub fn new(
        endpoints: &Endpoints,
        address: &Url,
        container: &str,
        credential: Arc<dyn TokenCredential>,
    ) -> Result<Self, StoreSetupError> {
        account(address).ok_or(StoreSetupError::Address)?;
        check_container(container)?;
        let mut url = address.clone();
        url.set_path(container);
        let bearer = Bearer { credential, scope: SCOPE };
        Ok(Self { wire: Wire::new(endpoints, Retries::Patient, Some(bearer)), container: url })
    }

    /// Acquires the lease on a blob under the id that is proposed, making an empty blob if there is none.
    pub async fn acquire(
        &self,
        blob: &str,
        proposed: Uuid,
        duration: LeaseDuration,
    ) -> Result<Lease, LeaseError> {
        self.create_blob(blob).await?;
        let seconds = match duration {
            LeaseDuration::Seconds(seconds) => seconds.to_string(),
            LeaseDuration::Infinite => "-1".to_owned(),
        };
        let headers = vec![
            ("x-ms-proposed-lease-id", proposed.to_string()),
            ("x-ms-lease-duration", seconds),
        ];
        let got = self.act(blob, "acquire", headers).await?;
        let call = Call::new("acquire lease", place(&self.url(blob)));
        let id = got
            .header("x-ms-lease-id")
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "x-ms-lease-id")))?;
        Ok(Lease { leases: self.clone(), blob: blob.to_owned(), id })
    }

    /// Ends whoever's lease at once.
    pub async fn break_now(&self, blob: &str) -> Result<(), LeaseError> {
        let headers = vec![("x-ms-lease-break-period", "0".to_owned())];
        self.act(blob, "break", headers).await.map(drop)
    }

    async fn create_blob(&self, blob: &str) -> Result<(), LeaseError> {
        let call = Call::new("create blob", place(&self.url(blob)));
        let asked = dated(Asked::new(Method::Put, self.url(blob)))
            .header("x-ms-blob-type", "BlockBlob")
            .header("if-none-match", "*")
            .body("application/octet-stream", "");
        let got = self.wire.exchange(&call, asked).await?;
        match (got.status, got.header("x-ms-error-code")) {
            (201, _) | (409, Some("BlobAlreadyExists")) => Ok(()),
            // A leased blob answers before the condition is looked at.
            (412, Some("LeaseIdMissing" | "ConditionNotMet")) => Ok(()),
            _ => Err(got.refusal(&call).into()),
        }
    }

    async fn act(
        &self,
        blob: &str,
        action: &'static str,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Got, LeaseError> {
        let operation = match action {
            "acquire" => "acquire lease",
            "renew" => "renew lease",
            "release" => "release lease",
            _ => "break lease",
        };
        let call = Call::new(operation, place(&self.url(blob)));
        let mut url = self.url(blob);
        url.query_pairs_mut().append_pair("comp", "lease");
        let mut asked = dated(Asked::new(Method::Put, url)).header("x-ms-lease-action", action);
        for (name, value) in headers {
            asked = asked.header(name, value);
        }
        Ok(self.wire.send(&call, asked).await?)
    }

    fn url(&self, blob: &str) -> Url {
        let mut url = self.container.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(blob.split('/'));
        }
        url
    }
}

impl Lease {
    /// The lease's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Begins the lease's time anew. [`LeaseError::Lost`] means that somebody else may have it.
    pub async fn renew(&self) -> Result<(), LeaseError> {
        self.act("renew").await
    }

    /// Ends the lease.
    pub async fn release(self) -> Result<(), LeaseError> {
        self.act("release").await
    }

    async fn act(&self, action: &'static str) -> Result<(), LeaseError> {
        let headers = vec![("x-ms-lease-id", self.id.to_string())];
        self.leases.act(&self.blob, action, headers).await.map(drop)
    }
}

fn dated(asked: Asked) -> Asked {
    asked
        .header("x-ms-version", "2021-12-02")
        .header("x-ms-date", to_rfc7231(&OffsetDateTime::now_utc()))
}
