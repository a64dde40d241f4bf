//! The container registry: `https://NAME.azurecr.io` (OCI distribution specification 1.1, with ACR's way of logging in).
//!
//! Source: the specification's endpoints end-1 to end-13, and "Authenticate with an Azure container registry" with the
//! `oauth2/exchange` and `oauth2/token` calls of Azure's own clients.
//! Every digest is recomputed; every call needs a token whose rights come from the caller's roles at the registry.
//! Anonymous pulls, the admin user and scope maps are refused. Blobs are served directly; the real service redirects to storage.

mod content;
mod errors;
mod manifest;
mod oauth;
mod reference;
mod state;
#[cfg(test)]
mod tests;
mod uploads;

use std::io;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use self::errors::{Answer, refused};
use self::oauth::Right;
use self::reference::{Route, route};
use crate::core::{Cloud, Request, Response};
use crate::rbac;

pub use self::content::{PullError, Pulled, pull};
pub use self::reference::Digest;
pub use self::state::RegistryState;

/// A registry that exists.
#[derive(Debug)]
struct Registry<'a> {
    cloud: &'a Cloud,
    /// In lower case.
    name: &'a str,
    /// Its resource id.
    id: String,
}

impl Registry<'_> {
    fn host(&self) -> String {
        format!("{}.azurecr.io", self.name)
    }
}

/// Answers a request.
///
/// # Errors
/// An error answer.
pub async fn handle(
    cloud: &Arc<Cloud>,
    name: &str,
    request: Request,
) -> Result<Response, Response> {
    let Some(id) = crate::arm::registry_named(cloud, name) else {
        // A name without a registry does not resolve in the real cloud; the text is ours.
        return Err(refused(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "the local cloud has no registry of this name",
        ));
    };
    let registry = Registry { cloud, name, id };
    answer(&registry, &request)
        .map(|response| response.with("docker-distribution-api-version", "registry/2.0"))
}

/// Drop a registry's images; resource management calls it when the registry is deleted.
///
/// # Errors
/// The file system's.
pub fn remove(cloud: &Cloud, name: &str) -> io::Result<()> {
    state::forget(cloud, name);
    match std::fs::remove_dir_all(content::folder(cloud, name)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

fn answer(registry: &Registry<'_>, request: &Request) -> Answer {
    match (&request.method, request.path.as_str()) {
        (&Method::POST, "/oauth2/exchange") => return oauth::exchange(registry, request),
        (&Method::POST | &Method::GET, "/oauth2/token") => return oauth::token(registry, request),
        _ => {}
    }
    // Microsoft's clients escape the slashes of a repository's name.
    let path = format!("/{}", request.segments().join("/"));
    let route = route(&path).ok_or_else(|| {
        refused(StatusCode::NOT_FOUND, "NAME_INVALID", "invalid repository name or path")
    })?;
    let read = request.method == Method::GET || request.method == Method::HEAD;
    let right = match &route {
        Route::Base => None,
        Route::Catalog => Some(Right::Catalog),
        Route::Uploads { .. } | Route::Upload { .. } => Some(Right::Push),
        _ if read => Some(Right::Pull),
        _ if request.method == Method::DELETE => Some(Right::Delete),
        Route::Tags { .. }
        | Route::Blob { .. }
        | Route::Manifest { .. }
        | Route::Referrers { .. } => Some(Right::Push),
    };
    oauth::permit(registry, request, route.repository(), right)?;
    let method = &request.method;
    match route {
        Route::Base if read => {
            Ok(Response::json(StatusCode::OK, &json!({})).operation("registry.base"))
        }
        Route::Catalog if read => state::catalog(registry, request),
        Route::Tags { repository } if read => state::tags(registry, &repository, request),
        Route::Blob { repository, digest } if read => {
            content::blob(registry, &repository, &digest, request)
        }
        Route::Blob { repository, digest } if method == Method::DELETE => {
            content::delete_blob(registry, &repository, &digest)
        }
        Route::Uploads { repository } if method == Method::POST => {
            uploads::begin(registry, &repository, request)
        }
        Route::Upload { repository, id } => match *method {
            Method::GET => uploads::status(registry, &repository, id),
            Method::PATCH => uploads::append(registry, &repository, id, request),
            Method::PUT => uploads::finish(registry, &repository, id, request),
            Method::DELETE => uploads::cancel(registry, id),
            _ => Err(errors::unsupported()),
        },
        Route::Manifest { repository, reference } => match *method {
            Method::GET | Method::HEAD => {
                manifest::get(registry, &repository, &reference, method == Method::HEAD)
            }
            Method::PUT => manifest::put(registry, &repository, &reference, request),
            Method::DELETE => manifest::delete(registry, &repository, &reference),
            _ => Err(errors::unsupported()),
        },
        Route::Referrers { repository, digest } if read => {
            manifest::referrers(registry, &repository, &digest, request)
        }
        Route::Base
        | Route::Catalog
        | Route::Tags { .. }
        | Route::Blob { .. }
        | Route::Uploads { .. }
        | Route::Referrers { .. } => Err(errors::unsupported()),
    }
}

/// Whether a principal's roles give it a right at a registry.
fn permitted(cloud: &Cloud, principal: uuid::Uuid, right: Right, id: &str) -> bool {
    rbac::authorize(cloud, principal, rbac::Operation::Action(right.action()), id).is_ok()
}
