//! Azure Resource Manager: reads and writes resources as JSON, and waits for what takes long.
//!
//! Bodies are the caller's business; this module knows how a call goes: long-running operations (`Azure-AsyncOperation`,
//! else `Location`, else `provisioningState`), paging, and the sorting of refusals. Every call here may be repeated: a PUT
//! says how the resource shall be, a DELETE of what is gone is done, and the actions used are reads, starts and stops.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::call::{Call, Fault, Malformed};
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Bearer, Got, Wire};

mod error;
mod lro;

pub use error::ArmError;

use lro::Then;

/// Azure Resource Manager of the public cloud, or what the local cloud has in its place.
#[derive(Debug, Clone)]
pub struct Client {
    wire: Wire,
    address: Url,
    patience: Duration,
}

/// The path of a resource or of a collection of resources: `/subscriptions/…`. Ids compare without case.
#[derive(Debug, Clone)]
pub struct ResourceId(String);

/// The API version of a resource provider, for example `2025-05-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiVersion(pub &'static str);

/// A text is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a resource id is a path that begins with a slash, without empty or dotted segments and without a query"
)]
pub struct InvalidResourceId;

/// A key of a storage account.
#[derive(Debug)]
pub struct StorageKey {
    /// `key1` or `key2`.
    pub name: String,
    /// The key, in base64.
    pub value: SecretString,
}

impl ResourceId {
    /// Takes a path.
    pub fn parse(text: &str) -> Result<Self, InvalidResourceId> {
        let fits = text.strip_prefix('/').is_some_and(|path| {
            path.split('/').all(|segment| {
                !segment.is_empty()
                    && segment.bytes().any(|b| b != b'.')
                    && segment.bytes().all(|b| b.is_ascii_graphic() && !b"?#%\\\"<>".contains(&b))
            })
        });
        fits.then(|| Self(text.to_owned())).ok_or(InvalidResourceId)
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path below this one.
    pub fn child(&self, path: &str) -> Result<Self, InvalidResourceId> {
        Self::parse(&format!("{}/{path}", self.0))
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Client {
    /// A client with which `credential` acts.
    pub fn new(
        endpoints: &Endpoints,
        credential: Arc<dyn TokenCredential>,
    ) -> Result<Self, ArmError> {
        let call = Call::new("set up", ADDRESS);
        Ok(Self {
            wire: Wire::new(endpoints, Retries::Patient, Some(Bearer { credential, scope: SCOPE })),
            address: ADDRESS
                .parse()
                .map_err(|_| Fault::Malformed(Malformed::new(&call, "an address")))?,
            patience: PATIENCE,
        })
    }

    /// Reads a resource.
    pub async fn get(&self, id: &ResourceId, version: ApiVersion) -> Result<Value, ArmError> {
        let call = Call::new("get", id.as_str());
        let asked = Asked::new(Method::Get, self.url(id, version));
        Ok(self.wire.send(&call, asked).await?.json(&call, "JSON")?)
    }

    /// Reads all resources of a collection.
    pub async fn list(
        &self,
        collection: &ResourceId,
        version: ApiVersion,
    ) -> Result<Vec<Value>, ArmError> {
        self.list_filtered(collection, version, None).await
    }

    /// Reads the resources of a collection that meet an OData filter, for example `principalId eq '…'`.
    pub async fn list_filtered(
        &self,
        collection: &ResourceId,
        version: ApiVersion,
        filter: Option<&str>,
    ) -> Result<Vec<Value>, ArmError> {
        let call = Call::new("list", collection.as_str());
        let mut url = self.url(collection, version);
        if let Some(filter) = filter {
            url.query_pairs_mut().append_pair("$filter", filter);
        }
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let asked = Asked::new(Method::Get, url);
            let page: RawPage =
                self.wire.send(&call, asked).await?.json(&call, "a list of resources")?;
            items.extend(page.value);
            match page.next_link.filter(|link| !link.is_empty()) {
                Some(link) => url = self.own(&call, &link)?,
                None => return Ok(items),
            }
        }
        Err(Fault::Malformed(Malformed::new(&call, "an end of its pages")).into())
    }

    /// Creates a resource or replaces it, waits until that is done, and reads it back.
    pub async fn put(
        &self,
        id: &ResourceId,
        version: ApiVersion,
        body: &Value,
    ) -> Result<Value, ArmError> {
        let call = Call::new("put", id.as_str());
        let url = self.url(id, version);
        let asked = Asked::new(Method::Put, url.clone()).json(body);
        let got = self.wire.send(&call, asked).await?;
        self.finish(&call, got, Then::Read(url)).await
    }

    /// Changes some properties of a resource, waits until that is done, and reads it back.
    pub async fn patch(
        &self,
        id: &ResourceId,
        version: ApiVersion,
        body: &Value,
    ) -> Result<Value, ArmError> {
        let call = Call::new("patch", id.as_str());
        let url = self.url(id, version);
        let asked = Asked::new(Method::Patch, url.clone()).json(body);
        let got = self.wire.send(&call, asked).await?;
        self.finish(&call, got, Then::Read(url)).await
    }

    /// Deletes a resource and waits until it is gone. One that is not there is gone.
    pub async fn delete(&self, id: &ResourceId, version: ApiVersion) -> Result<(), ArmError> {
        let call = Call::new("delete", id.as_str());
        let asked = Asked::new(Method::Delete, self.url(id, version));
        let got = self.wire.exchange(&call, asked).await?;
        match got.status {
            404 => Ok(()),
            200..300 => self.finish(&call, got, Then::Nothing).await.map(drop),
            _ => Err(got.refusal(&call).into()),
        }
    }

    /// Performs an action of a resource, for example `start`, and waits until it is done. The answer is null if the action
    /// gives none.
    pub async fn post(
        &self,
        id: &ResourceId,
        action: &str,
        version: ApiVersion,
        body: Option<&Value>,
    ) -> Result<Value, ArmError> {
        let (call, got) = self.act(id, action, version, body).await?;
        self.finish(&call, got, Then::Answer).await
    }

    /// The keys of a storage account, typed because they are secret.
    pub async fn storage_keys(
        &self,
        account: &ResourceId,
        version: ApiVersion,
    ) -> Result<Vec<StorageKey>, ArmError> {
        self.keys(account, "listKeys", version, None).await
    }

    /// Makes one key of a storage account anew, and returns them all.
    pub async fn regenerate_storage_key(
        &self,
        account: &ResourceId,
        version: ApiVersion,
        name: &str,
    ) -> Result<Vec<StorageKey>, ArmError> {
        let body = serde_json::json!({ "keyName": name });
        self.keys(account, "regenerateKey", version, Some(&body)).await
    }

    async fn keys(
        &self,
        account: &ResourceId,
        action: &str,
        version: ApiVersion,
        body: Option<&Value>,
    ) -> Result<Vec<StorageKey>, ArmError> {
        let (call, got) = self.act(account, action, version, body).await?;
        let raw: RawKeys = got.json(&call, "storage keys")?;
        Ok(raw
            .keys
            .into_iter()
            .map(|key| StorageKey { name: key.name, value: key.value.into() })
            .collect())
    }

    async fn act(
        &self,
        id: &ResourceId,
        action: &str,
        version: ApiVersion,
        body: Option<&Value>,
    ) -> Result<(Call, Got), ArmError> {
        let call = Call::new("post", format!("{id}/{action}"));
        let mut url = self.url(id, version);
        url.set_path(&format!("{id}/{action}"));
        let mut asked = Asked::new(Method::Post, url);
        if let Some(body) = body {
            asked = asked.json(body);
        }
        let got = self.wire.send(&call, asked).await?;
        Ok((call, got))
    }

    fn url(&self, id: &ResourceId, version: ApiVersion) -> Url {
        let mut url = self.address.clone();
        url.set_path(id.as_str());
        url.query_pairs_mut().append_pair("api-version", version.0);
        url
    }

    /// An address that the service sent, if it is one of the service's own: the token goes nowhere else.
    fn own(&self, call: &Call, link: &str) -> Result<Url, Fault> {
        self.address
            .join(link)
            .ok()
            .filter(|url| url.origin() == self.address.origin())
            .ok_or_else(|| Fault::Malformed(Malformed::new(call, "a link to the same service")))
    }
}

#[derive(Deserialize)]
struct RawPage {
    value: Vec<Value>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

#[derive(Deserialize)]
struct RawKeys {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    #[serde(rename = "keyName")]
    name: String,
    value: String,
}

const ADDRESS: &str = "https://management.azure.com";
const SCOPE: &str = "https://management.azure.com/.default";
const PAGES: usize = 1_000;
/// The longest that an operation may take; a storage account or vault takes a minute, a container group a few.
const PATIENCE: Duration = Duration::from_secs(45 * 60);

#[cfg(test)]
mod tests;
