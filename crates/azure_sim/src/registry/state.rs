//! What is known of repositories; the bytes are files (see [`super::content`]).

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Registry;
use super::errors::{Answer, refused};
use super::reference::Digest;
use crate::core::{Cloud, Request, Response};

/// Persistent state: repositories by registry (lower case) and name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RegistryState {
    pub(super) registries: BTreeMap<String, BTreeMap<String, Repository>>,
}

/// One repository.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Repository {
    pub blobs: BTreeSet<Digest>,
    pub manifests: BTreeMap<Digest, ManifestFacts>,
    pub tags: BTreeMap<String, Digest>,
}

/// What is known of a manifest without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestFacts {
    pub media_type: String,
    pub size: u64,
    pub subject: Option<Digest>,
    pub artifact_type: Option<String>,
    pub annotations: Value,
}

impl RegistryState {
    pub(super) fn repository(&self, registry: &str, name: &str) -> Option<&Repository> {
        self.registries.get(registry)?.get(name)
    }

    pub(super) fn repository_mut(&mut self, registry: &str, name: &str) -> &mut Repository {
        self.registries.entry(registry.to_owned()).or_default().entry(name.to_owned()).or_default()
    }
}

impl Registry<'_> {
    /// Look at a repository; one that does not exist is unknown by name.
    pub(super) fn look<R>(
        &self,
        repository: &str,
        look: impl FnOnce(&Repository) -> R,
    ) -> Answer<R> {
        self.cloud
            .registry
            .read(|state| state.repository(self.name, repository).map(look))
            .ok_or_else(|| {
                refused(
                    StatusCode::NOT_FOUND,
                    "NAME_UNKNOWN",
                    "repository name not known to registry",
                )
            })
    }

    pub(super) fn change(&self, repository: &str, alter: impl FnOnce(&mut Repository)) {
        let done: Result<(), std::convert::Infallible> = self.cloud.registry.change(|state| {
            alter(state.repository_mut(self.name, repository));
            Ok(())
        });
        match done {
            Ok(()) => {}
        }
    }
}

pub(super) fn forget(cloud: &Cloud, registry: &str) {
    let done: Result<(), std::convert::Infallible> = cloud.registry.change(|state| {
        state.registries.remove(registry);
        Ok(())
    });
    match done {
        Ok(()) => {}
    }
}

/// `GET /v2/_catalog`.
pub(super) fn catalog(registry: &Registry<'_>, request: &Request) -> Answer {
    let names: Vec<String> = registry.cloud.registry.read(|state| {
        state.registries.get(registry.name).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    });
    let (shown, link) = page(request, names)?;
    Ok(linked(Response::json(StatusCode::OK, &json!({ "repositories": shown })), link)
        .operation("registry.catalog"))
}

/// `GET /v2/NAME/tags/list`.
pub(super) fn tags(registry: &Registry<'_>, repository: &str, request: &Request) -> Answer {
    let tags = registry.look(repository, |found| found.tags.keys().cloned().collect())?;
    let (shown, link) = page(request, tags)?;
    Ok(linked(Response::json(StatusCode::OK, &json!({ "name": repository, "tags": shown })), link)
        .operation("registry.tags"))
}

/// `?n=&last=`: the page, and where the next begins.
fn page(request: &Request, all: Vec<String>) -> Answer<(Vec<String>, Option<String>)> {
    let invalid = || {
        refused(
            StatusCode::BAD_REQUEST,
            "PAGINATION_NUMBER_INVALID",
            "invalid number of results requested",
        )
    };
    let most = request.query.value("n").map_or(Ok(MOST), str::parse).map_err(|_| invalid())?;
    let last = request.query.value("last").unwrap_or_default();
    let mut rest = all.into_iter().filter(|name| name.as_str() > last);
    let shown: Vec<String> = rest.by_ref().take(most).collect();
    let link = match (shown.last(), rest.next()) {
        (Some(last), Some(_)) => {
            Some(format!("<{}?last={last}&n={most}>; rel=\"next\"", request.path))
        }
        _ => None,
    };
    Ok((shown, link))
}

fn linked(response: Response, link: Option<String>) -> Response {
    match link {
        Some(link) => response.with("link", &link),
        None => response,
    }
}

const MOST: usize = 100;
