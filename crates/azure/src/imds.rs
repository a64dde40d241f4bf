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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Auth;
    use crate::testing::{FarEnd, Hosts, Reply};

    fn token() -> Reply {
        // The numbers are strings, as the service has them.
        Reply::new(
            200,
            r#"{"access_token":"secret-token","expires_on":"4102444800","resource":"r","token_type":"Bearer"}"#,
        )
    }

    #[tokio::test]
    async fn gets_a_token_over_plain_http_and_keeps_it() {
        let far =
            FarEnd::start(Hosts(&["unused.example"]), vec![Reply::new(404, ""), token(), token()])
                .await;
        let identity = ManagedIdentity::ClientId("c-1".to_owned());
        let credential = Auth::ManagedIdentity(identity).credential(&far.endpoints).unwrap();
        for _ in 0..2 {
            let token =
                credential.get_token(&["https://vault.azure.net/.default"], None).await.unwrap();
            assert_eq!(token.token.secret(), "secret-token");
        }
        credential.get_token(&["https://storage.azure.com/.default"], None).await.unwrap();
        let seen = far.seen();
        assert_eq!(seen.len(), 3);
        assert!(seen[1].line.ends_with(
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=c-1"
        ));
        assert_eq!(seen[1].header("metadata"), Some("true"));
    }

    #[tokio::test]
    async fn says_why_there_is_no_token() {
        let body = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
        let far = FarEnd::start(
            Hosts(&["unused.example"]),
            vec![
                Reply::new(400, body),
                Reply::new(200, r#"{"access_token":"secret-token","expires_on":"x"}"#),
            ],
        )
        .await;
        let credential =
            Auth::ManagedIdentity(ManagedIdentity::Only).credential(&far.endpoints).unwrap();
        let error = credential.get_token(&["s"], None).await.unwrap_err();
        assert!(error.to_string().contains("Identity not found"), "{error}");
        let error = credential.get_token(&["s"], None).await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret-token"));
    }
}
