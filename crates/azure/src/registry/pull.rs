//! Downloads of blobs, which may be large and which a registry redirects to its storage.

use aws_lc_rs::digest::{Context, SHA256};
use azure_core::http::Method;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use url::Url;

use super::{Client, Digest, RegistryError, Repository};
use crate::call::{Answer, Call, Fault, Malformed, Unavailable};
use crate::wire::Asked;

impl Client {
    /// Reads the blob with that digest, and checks it. A blob larger than `limit` is refused.
    pub async fn pull_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: usize,
    ) -> Result<Bytes, RegistryError> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let (call, url) = self.call("pull blob", &path);
        // HEAD settles the token, with the pipeline's retries, before the download.
        let ask = || Asked::new(Method::Head, url.clone());
        let got = self.authorized(&call, repository, ask).await?;
        if !(200..400).contains(&got.status) {
            return Err(got.refusal(&call).into());
        }
        let token = self.tokens.lock().await.access(repository);
        let mut last = None;
        for pause in PAUSES {
            match self.download(&call, url.clone(), token.as_deref(), digest, limit).await {
                Err(error @ RegistryError::Unavailable(_)) => {
                    last = Some(error);
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
        match last {
            Some(error) => Err(error),
            None => self.download(&call, url, token.as_deref(), digest, limit).await,
        }
    }

    /// Opens a blob of any size, to be read piece by piece; whoever reads it compares its digest.
    pub async fn open_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Download, RegistryError> {
        let (call, url) = self.call("pull blob", &format!("/v2/{repository}/blobs/{digest}"));
        let ask = || Asked::new(Method::Head, url.clone());
        let got = self.authorized(&call, repository, ask).await?;
        if !(200..400).contains(&got.status) {
            return Err(got.refusal(&call).into());
        }
        let token = self.tokens.lock().await.access(repository);
        let response = self.start(&call, url, token.as_deref()).await?;
        Ok(Download { call, response })
    }

    async fn download(
        &self,
        call: &Call,
        url: Url,
        token: Option<&str>,
        digest: &Digest,
        limit: usize,
    ) -> Result<Bytes, RegistryError> {
        let response = self.start(call, url, token).await?;
        let mut blob = BytesMut::new();
        let mut context = Context::new(&SHA256);
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| lost(call, error))?;
            if chunk.len() > limit.saturating_sub(blob.len()) {
                return Err(malformed(call, "a blob within the limit"));
            }
            context.update(&chunk);
            blob.extend_from_slice(&chunk);
        }
        if context.finish().as_ref() != digest.sha256() {
            return Err(malformed(call, "the digest asked for"));
        }
        Ok(blob.freeze())
    }

    /// Asks for a blob, and follows a redirection to the registry's storage.
    async fn start(
        &self,
        call: &Call,
        url: Url,
        token: Option<&str>,
    ) -> Result<reqwest::Response, RegistryError> {
        let mut request = self.http.get(url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(|error| lost(call, error))?;
        if response.status().is_redirection() {
            let storage = response
                .headers()
                .get("location")
                .and_then(|location| location.to_str().ok())
                .and_then(|location| url.join(location).ok())
                .filter(|storage| storage.scheme() == "https")
                .ok_or_else(|| malformed(call, "a redirection to https"))?;
            // The address carries its own permission; our token stays here.
            response = self.http.get(storage).send().await.map_err(|error| lost(call, error))?;
        }
        if !response.status().is_success() {
            let answer = Answer::parse(call.clone(), response.status().as_u16(), None, None, b"");
            return Err(Fault::from_answer(answer).into());
        }
        Ok(response)
    }
}

/// A blob that is being read.
#[derive(Debug)]
pub struct Download {
    call: Call,
    response: reqwest::Response,
}

impl Download {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        self.response.chunk().await.map_err(|error| lost(&self.call, error))
    }
}

/// The address of a redirection holds a permission, so it is taken out.
fn lost(call: &Call, error: reqwest::Error) -> RegistryError {
    RegistryError::Unavailable(Unavailable::Unreachable {
        call: call.clone(),
        cause: Box::new(azure_core::Error::new(
            azure_core::error::ErrorKind::Io,
            error.without_url(),
        )),
    })
}

fn malformed(call: &Call, expected: &'static str) -> RegistryError {
    Fault::Malformed(Malformed::new(call, expected)).into()
}

const PAUSES: [std::time::Duration; 3] = [
    std::time::Duration::from_millis(200),
    std::time::Duration::from_secs(1),
    std::time::Duration::from_secs(4),
];
