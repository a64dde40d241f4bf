//! What refers to an image: manifests that name it as their subject (OCI Distribution Specification 1.1, "Listing
//! Referrers" and "Pushing Manifests with Subject").
//!
//! A registry that keeps the list itself says so when such a manifest is pushed. For any other the list is an index
//! under a tag that is made of the image's digest, kept by the pushers.

use azure_core::http::Method;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Client, Digest, Manifest, RegistryError, Repository, Target, success};
use crate::call::{Fault, Malformed};
use crate::wire::Asked;

/// A manifest that refers to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// What it says it is; empty if it does not.
    pub artifact_type: String,
}

/// An index as it is read and written again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawIndex {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Value>,
}

impl Client {
    /// Pushes a manifest that names `subject`, with its blobs, and makes the registry's list of referrers show it.
    pub async fn attach(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: &str,
        blobs: &[Bytes],
        manifest: &Manifest,
    ) -> Result<Digest, RegistryError> {
        for blob in blobs {
            self.push_blob(repository, blob).await?;
        }
        let digest = Digest::of(&manifest.bytes);
        let got = self.put_manifest(repository, &digest.to_string(), manifest).await?;
        if got.header("oci-subject").is_none() {
            self.list_under_tag(repository, subject, artifact_type, manifest).await?;
        }
        Ok(digest)
    }

    /// The manifests that name an image as their subject. Nothing is believed of them before they are pulled.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let (call, url) =
            self.call("list referrers", &format!("/v2/{repository}/referrers/{subject}"));
        let ask = || Asked::new(Method::Get, url.clone()).header("accept", INDEX);
        let got = self.authorized(&call, repository, ask).await?;
        let index = if got.status == 404 {
            self.tagged_index(repository, subject).await?
        } else {
            Some(success(&call, got)?.json::<RawIndex>(&call, "an image index")?)
        };
        let malformed =
            || RegistryError::from(Fault::Malformed(Malformed::new(&call, "descriptors")));
        let read = |descriptor: &Value| {
            let text = |key: &str| descriptor.get(key).and_then(Value::as_str);
            let digest = text("digest").and_then(|digest| digest.parse().ok());
            let artifact_type = text("artifactType").unwrap_or_default().to_owned();
            Ok(Referrer { digest: digest.ok_or_else(malformed)?, artifact_type })
        };
        index.iter().flat_map(|index| &index.manifests).map(read).collect()
    }

    async fn tagged_index(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<RawIndex>, RegistryError> {
        let target = Target::Tag(tag(subject));
        let found = match self.pull(repository, &target).await {
            Ok(found) => found,
            Err(RegistryError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (call, _) = self.call("list referrers", &format!("/v2/{repository}"));
        let index = serde_json::from_slice(&found.bytes)
            .map_err(|_| Fault::Malformed(Malformed::new(&call, "an image index")))?;
        Ok(Some(index))
    }

    async fn list_under_tag(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: &str,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        let empty =
            RawIndex { schema_version: 2, media_type: INDEX.to_owned(), manifests: Vec::new() };
        let mut index = self.tagged_index(repository, subject).await?.unwrap_or(empty);
        let digest = Digest::of(&manifest.bytes).to_string();
        let is_it = |other: &Value| other.get("digest").and_then(Value::as_str) == Some(&digest);
        if index.manifests.iter().any(is_it) {
            return Ok(());
        }
        index.manifests.push(serde_json::json!({
            "mediaType": manifest.media_type, "artifactType": artifact_type,
            "digest": digest, "size": manifest.bytes.len(),
        }));
        let bytes = serde_json::to_vec(&index).unwrap_or_default().into();
        let index = Manifest { media_type: INDEX.to_owned(), bytes };
        self.put_manifest(repository, &tag(subject), &index).await.map(drop)
    }
}

/// "Referrers Tag Schema".
fn tag(subject: &Digest) -> String {
    subject.to_string().replace(':', "-")
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
