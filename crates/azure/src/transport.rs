//! The transport under the SDK's pipelines: the shared HTTP client, with a bound on what an answer may weigh.

use azure_core::error::{Error, ErrorKind};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::StreamExt;

/// An HTTP client that stops reading an answer at [`LIMIT`].
#[derive(Debug)]
pub(crate) struct Bounded(reqwest::Client);

impl Bounded {
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self(http)
    }
}

#[async_trait::async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.0.execute_request(request).await.map_err(lasting)?;
        let (status, headers, body) = answer.deconstruct();
        let mut left = LIMIT;
        let body = body.map(move |chunk| {
            let chunk = chunk?;
            left = left.checked_sub(chunk.len()).ok_or_else(|| {
                Error::with_message(ErrorKind::DataConversion, "the answer is too large")
            })?;
            Ok(chunk)
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(body)))
    }
}

/// A certificate that does not verify now will not verify in a second either; the pipeline retries other connection errors.
fn lasting(error: Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(link) = cause {
        // An io::Error shows its payload's causes, not the payload.
        let payload = link.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = payload
            .and_then(|payload| payload.downcast_ref::<rustls::Error>())
            .or_else(|| link.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(_)) = tls {
            return Error::with_error(ErrorKind::Other, error, "the server's certificate");
        }
        cause = match payload {
            Some(payload) => Some(payload),
            None => link.source(),
        };
    }
    error
}

/// The largest answer that is read through a pipeline; blobs and layers do not come this way.
const LIMIT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use crate::call::{Call, Fault, Unavailable};
    use crate::endpoints::Retries;
    use crate::testing::{FarEnd, Hosts};
    use crate::wire::{Asked, Wire};

    #[tokio::test]
    async fn does_not_retry_a_certificate_that_does_not_verify() {
        let far = FarEnd::start(Hosts(&["a.example"]), vec![]).await;
        let begun = tokio::time::Instant::now();
        let wire = Wire::new(&far.endpoints, Retries::Patient, None);
        let url = "https://b.example/".parse().unwrap();
        let fault =
            wire.send(&Call::new("get", "b"), Asked::new(Method::Get, url)).await.unwrap_err();
        assert!(matches!(fault, Fault::Unavailable(Unavailable::Unreachable { .. })));
        assert!(begun.elapsed() < std::time::Duration::from_millis(150));
    }
}
