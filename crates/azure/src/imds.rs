//! Managed identity: tokens from the instance metadata service.
//!
//! The SDK has a credential for this, and it is not used: it picks the service by environment variables, which belong to
//! the container's host, and it forces its own retries.
//!
//! `GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=…` with `Metadata: true`; the answer's numbers are
//! strings. Errors are `{"error","error_description"}`: 400 for an identity that is not assigned, 404 and 410 while the
//! service restarts, 429 and 5xx.

use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::Method;
use azure_core::time::OffsetDateTime;
use serde::Deserialize;
use url::Url;

use crate::call::{Call, Fault, Malformed};
use crate::credentials::ManagedIdentity;
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Got, Wire, place};

/// Asks the metadata service for tokens of one identity.
#[derive(Debug)]
pub(crate) struct Imds {
    wire: Wire,
    address: Url,
    identity: ManagedIdentity,
}

impl Imds {
    pub(crate) fn new(endpoints: &Endpoints, identity: ManagedIdentity) -> Self {
        let mut address = endpoints.imds().clone();
        address.set_path("/metadata/identity/oauth2/token");
        Self { wire: Wire::new(endpoints, Retries::Patient, None), address, identity }
    }

    async fn token(&self, resource: &str) -> Result<AccessToken, Fault> {
        let call = Call::new("get token", place(&self.address));
        let mut url = self.address.clone();
        url.query_pairs_mut()
            .append_pair("api-version", "2018-02-01")
            .append_pair("resource", resource);
        if let ManagedIdentity::ClientId(id) = &self.identity {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        let got = self.ask(&call, &url).await?;
        let token: RawToken = got.json(&call, "an access token")?;
        let expires = token
            .expires_on
            .parse()
            .ok()
            .and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok())
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "expires_on")))?;
        Ok(AccessToken::new(token.access_token, expires))
    }

    /// 404 and 410 mean that the service is being replaced; it is back within seconds.
    async fn ask(&self, call: &Call, url: &Url) -> Result<Got, Fault> {
        for pause in PAUSES {
            let asked = Asked::new(Method::Get, url.clone()).header("metadata", "true");
            let got = self.wire.exchange(call, asked).await?;
            match got.status {
                404 | 410 => tokio::time::sleep(pause).await,
                200 => return Ok(got),
                _ => return Err(got.refusal(call)),
            }
        }
        let asked = Asked::new(Method::Get, url.clone()).header("metadata", "true");
        self.wire.send(call, asked).await
    }
}

#[async_trait::async_trait]
impl TokenCredential for Imds {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let [scope] = scopes else {
            return Err(Error::with_message(ErrorKind::Credential, "one scope at a time"));
        };
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        self.token(resource).await.map_err(|fault| match fault {
            Fault::Answered(answer) => Error::new(ErrorKind::Credential, answer),
            Fault::Unavailable(cause) => Error::new(ErrorKind::Credential, cause),
            Fault::Malformed(cause) => Error::new(ErrorKind::Credential, cause),
        })
    }
}

#[derive(Deserialize)]
struct RawToken {
    access_token: Secret,
    expires_on: String,
}

const PAUSES: [std::time::Duration; 4] = [
    std::time::Duration::from_millis(500),
    std::time::Duration::from_secs(1),
    std::time::Duration::from_secs(2),
    std::time::Duration::from_secs(4),
];
