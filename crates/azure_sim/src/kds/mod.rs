//! AMD's key distribution service `kdsintf.amd.com`: revocation lists of the forged roots.
//!
//! `GET /vcek/v1/{Milan,Genoa,Turin}/crl` → the list in DER, in force for a week from an hour ago. What it revokes, and whether it
//! has run out, is the control host's to say; it is forgotten when the cloud ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use forged_root::Product;
use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use serde::Deserialize;

use crate::core::{Cloud, Request, Response};

/// What the lists say.
#[derive(Debug, Default)]
pub struct Kds(Mutex<Lists>);

/// What the control host may set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// Serial numbers of revoked authorities by product (`milan`, `genoa`, `turin`); see [`forged_root::amd_crl`].
    #[serde(default)]
    pub revoked: BTreeMap<String, Vec<u64>>,
    /// Whether the lists ran out yesterday.
    #[serde(default)]
    pub outdated: bool,
}

impl Kds {
    /// Has the lists say something else from now on.
    pub fn set(&self, lists: Lists) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lists;
    }

    fn get(&self) -> Lists {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers a request.
///
/// # Errors
/// An error answer.
pub fn handle(cloud: &Cloud, request: &Request) -> Result<Response, Response> {
    let refuse = |status| Response::empty(status).operation("kds.crl");
    let product = match request.path.as_str() {
        "/vcek/v1/Milan/crl" => Product::Milan,
        "/vcek/v1/Genoa/crl" => Product::Genoa,
        "/vcek/v1/Turin/crl" => Product::Turin,
        _ => return Err(refuse(StatusCode::NOT_FOUND)),
    };
    if request.method != Method::GET {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED));
    }
    let lists = cloud.kds.get();
    let now = cloud.now();
    let hours = |hours| now + SignedDuration::from_hours(hours);
    let (from, until) = if lists.outdated { (-240, -24) } else { (-1, 168) };
    let revoked = lists.revoked.get(&product.to_string()).cloned().unwrap_or_default();
    let list = forged_root::amd_crl(product, &revoked, hours(from), hours(until));
    Ok(Response::bytes(StatusCode::OK, "application/pkix-crl", list).operation("kds.crl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_named_as_in_manifests() {
        assert_eq!(Product::ALL.map(|product| product.to_string()), ["milan", "genoa", "turin"]);
    }
}
