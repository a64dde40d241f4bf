//! The container registry: pushes the image that was measured, and reads back what a digest names.
//!
//! OCI Distribution Specification 1.1, with the token exchange of Azure Container Registry in front: an Entra token buys a
//! refresh token (`/oauth2/exchange`), which buys an access token for one repository (`/oauth2/token`).
//!
//! Content is addressed by digest and checked against it here, so the registry is trusted with nothing. Tokens go to the
//! registry's own host and nowhere else; a download that it redirects to its storage goes there without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::Method;
use bytes::Bytes;
use tokio::sync::Mutex;
use url::Url;

use crate::call::{Call, Fault, Malformed};
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Got, Wire, place};

mod challenge;
mod error;
mod pull;
mod refer;
mod reference;
mod token;

pub use error::RegistryError;
pub use pull::Download;
pub use refer::Referrer;
pub use reference::{Digest, ImageName, InvalidReference, Repository, Target};

use token::Tokens;

/// A registry, for example `https://vouchsafe.azurecr.io`.
#[derive(Debug, Clone)]
pub struct Client {
    address: Url,
    wire: Wire,
    http: reqwest::Client,
    tokens: Arc<Mutex<Tokens>>,
}

/// A manifest and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// For example `application/vnd.oci.image.manifest.v1+json`.
    pub media_type: String,
    /// The bytes, whose SHA-256 is the digest.
    pub bytes: Bytes,
}

/// Whether the registry has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has it.
    Present,
    /// It does not.
    Absent,
}

impl Client {
    /// A client of the registry at `address`.
    #[must_use]
    pub fn new(endpoints: &Endpoints, address: &Url, credential: Arc<dyn TokenCredential>) -> Self {
        Self {
            address: address.clone(),
            wire: Wire::new(endpoints, Retries::Patient, None),
            http: endpoints.http().clone(),
            tokens: Arc::new(Mutex::new(Tokens::new(Some(credential)))),
        }
    }

    /// A client that shows nobody's credential, for what everybody may read.
    #[must_use]
    pub fn anonymous(endpoints: &Endpoints, address: &Url) -> Self {
        Self {
            address: address.clone(),
            wire: Wire::new(endpoints, Retries::Patient, None),
            http: endpoints.http().clone(),
            tokens: Arc::new(Mutex::new(Tokens::new(None))),
        }
    }

    /// Whether the registry has the manifest with that digest.
    pub async fn manifest_presence(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Presence, RegistryError> {
        let path = format!("/v2/{repository}/manifests/{digest}");
        self.presence("find manifest", repository, &path).await
    }

    /// Reads the manifest with that digest, and checks it.
    pub async fn pull_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Manifest, RegistryError> {
        self.pull(repository, &Target::Digest(*digest)).await
    }

    /// Reads a manifest or an index; one that is asked for by digest must have it.
    pub async fn pull(
        &self,
        repository: &Repository,
        target: &Target,
    ) -> Result<Manifest, RegistryError> {
        let path = format!("/v2/{repository}/manifests/{target}");
        let (call, url) = self.call("pull manifest", &path);
        let ask = || Asked::new(Method::Get, url.clone()).header("accept", MANIFESTS);
        let got = self.authorized(&call, repository, ask).await?;
        let got = success(&call, got)?;
        if let Target::Digest(digest) = target
            && Digest::of(&got.body) != *digest
        {
            return Err(Fault::Malformed(Malformed::new(&call, "the digest asked for")).into());
        }
        Ok(Manifest {
            media_type: got.header("content-type").unwrap_or_default().to_owned(),
            bytes: Bytes::copy_from_slice(&got.body),
        })
    }

    /// Pushes an image: the blobs that the registry does not have, then the manifest, also under a tag if one is given.
    pub async fn push(
        &self,
        repository: &Repository,
        blobs: &[Bytes],
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Result<Digest, RegistryError> {
        for blob in blobs {
            self.push_blob(repository, blob).await?;
        }
        let digest = Digest::of(&manifest.bytes);
        self.put_manifest(repository, &digest.to_string(), manifest).await?;
        if let Some(tag) = tag {
            self.put_manifest(repository, tag, manifest).await?;
        }
        Ok(digest)
    }

    async fn put_manifest(
        &self,
        repository: &Repository,
        reference: &str,
        manifest: &Manifest,
    ) -> Result<Got, RegistryError> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let (call, url) = self.call("push manifest", &path);
        let ask = || {
            let mut asked = Asked::new(Method::Put, url.clone());
            asked = asked.header("content-type", manifest.media_type.clone());
            asked.bytes(manifest.bytes.clone())
        };
        let got = success(&call, self.authorized(&call, repository, ask).await?)?;
        let stored = got.header("docker-content-digest");
        if stored.is_some_and(|stored| stored != Digest::of(&manifest.bytes).to_string()) {
            return Err(Fault::Malformed(Malformed::new(&call, "the digest pushed")).into());
        }
        Ok(got)
    }

    /// Pushes a blob in chunks, unless the registry has it.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        blob: &Bytes,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(blob);
        let path = format!("/v2/{repository}/blobs/{digest}");
        for _ in 0..UPLOADS {
            if let Presence::Present = self.presence("find blob", repository, &path).await? {
                return Ok(digest);
            }
            match self.upload_blob(repository, blob, &digest).await {
                // An answer was lost and its request repeated: the upload is over, or further than the registry was told.
                Err(RegistryError::NotFound(_) | RegistryError::Rejected(_)) => {}
                done => return done.map(|()| digest),
            }
        }
        self.upload_blob(repository, blob, &digest).await.map(|()| digest)
    }

    async fn upload_blob(
        &self,
        repository: &Repository,
        blob: &Bytes,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let (call, url) = self.call("push blob", &format!("/v2/{repository}/blobs/uploads/"));
        let ask = || Asked::new(Method::Post, url.clone()).bytes(Bytes::new());
        let got = success(&call, self.authorized(&call, repository, ask).await?)?;
        let mut upload = self.upload(&call, &got)?;
        let mut start = 0;
        while start < blob.len() {
            let end = start.saturating_add(CHUNK).min(blob.len());
            let range = format!("{start}-{}", end.saturating_sub(1));
            let ask = || {
                Asked::new(Method::Patch, upload.clone())
                    .header("content-range", range.clone())
                    .header("content-type", "application/octet-stream")
                    .bytes(blob.slice(start..end))
            };
            let got = success(&call, self.authorized(&call, repository, ask).await?)?;
            upload = self.upload(&call, &got)?;
            start = end;
        }
        upload.query_pairs_mut().append_pair("digest", &digest.to_string());
        let ask = || Asked::new(Method::Put, upload.clone()).bytes(Bytes::new());
        success(&call, self.authorized(&call, repository, ask).await?).map(drop)
    }

    async fn presence(
        &self,
        operation: &'static str,
        repository: &Repository,
        path: &str,
    ) -> Result<Presence, RegistryError> {
        let (call, url) = self.call(operation, path);
        let ask = || Asked::new(Method::Head, url.clone()).header("accept", MANIFESTS);
        let got = self.authorized(&call, repository, ask).await?;
        match got.status {
            200 => Ok(Presence::Present),
            404 => Ok(Presence::Absent),
            _ => Err(got.refusal(&call).into()),
        }
    }

    /// Asks with the token at hand; a challenge buys another one, and the request is asked once more.
    async fn authorized(
        &self,
        call: &Call,
        repository: &Repository,
        ask: impl Fn() -> Asked,
    ) -> Result<Got, RegistryError> {
        let mut tokens = self.tokens.lock().await;
        let with = |token: Option<String>| match token {
            Some(token) => ask().header("authorization", format!("Bearer {token}")),
            None => ask(),
        };
        let got = self.wire.exchange(call, with(tokens.access(repository))).await?;
        if got.status != 401 {
            return Ok(got);
        }
        let said = got.header("www-authenticate").unwrap_or_default();
        let challenge = challenge::parse(said).ok_or_else(|| got.refusal(call))?;
        let token = tokens.buy(&self.wire, &self.address, repository, &challenge).await?;
        Ok(self.wire.exchange(call, with(Some(token))).await?)
    }

    fn call(&self, operation: &'static str, path: &str) -> (Call, Url) {
        let mut url = self.address.clone();
        url.set_path(path);
        (Call::new(operation, place(&url)), url)
    }

    /// Where an upload goes on; on the registry's own host, for the token goes along.
    fn upload(&self, call: &Call, got: &Got) -> Result<Url, RegistryError> {
        got.header("location")
            .and_then(|location| self.address.join(location).ok())
            .filter(|url| url.origin() == self.address.origin())
            .ok_or_else(|| {
                Fault::Malformed(Malformed::new(call, "an upload on the same host")).into()
            })
    }
}

fn success(call: &Call, got: Got) -> Result<Got, RegistryError> {
    if (200..300).contains(&got.status) { Ok(got) } else { Err(got.refusal(call).into()) }
}

/// The repositories' access tokens at hand.
type AccessTokens = BTreeMap<String, secrecy::SecretString>;

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// Small enough for a slow line to send before silence counts as a lost connection.
const CHUNK: usize = 4 << 20;
/// How often an upload is begun anew.
const UPLOADS: usize = 3;

#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod tests;
