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
        let (status, headers, body) = self.0.execute_request(request).await?.deconstruct();
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

/// The largest answer that is read through a pipeline; blobs and layers do not come this way.
const LIMIT: usize = 16 << 20;
