//! AMD's key distribution service `kdsintf.amd.com`: the forged roots and their revocation lists.
//!
//! `GET /vcek/v1/{Milan,Genoa,Turin}/cert_chain` → authority and root in PEM; `…/crl` → the list in DER, in force for a week
//! from an hour ago. What it revokes, and whether it
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
    /// Whether the last bit of each is another one than the root signed.
    #[serde(default)]
    pub spoilt: bool,
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
    let refuse = |status| Response::empty(status).operation("kds");
    let (name, what) = request
        .path
        .strip_prefix("/vcek/v1/")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| refuse(StatusCode::NOT_FOUND))?;
    let product = Product::ALL
        .into_iter()
        .find(|product| product.amd_name() == name)
        .ok_or_else(|| refuse(StatusCode::NOT_FOUND))?;
    if request.method != Method::GET {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED));
    }
    match what {
        "crl" => Ok(crl(cloud, product)),
        "cert_chain" => {
            let chain = forged_root::amd_cert_chain(product).into_bytes();
            Ok(Response::bytes(StatusCode::OK, "application/x-pem-file", chain)
                .operation("kds.cert_chain"))
        }
        _ => Err(refuse(StatusCode::NOT_FOUND)),
    }
}

fn crl(cloud: &Cloud, product: Product) -> Response {
    let lists = cloud.kds.get();
    let now = cloud.now();
    let hours = |hours| now + SignedDuration::from_hours(hours);
    let (from, until) = if lists.outdated { (-240, -24) } else { (-1, 168) };
    let revoked = lists.revoked.get(&product.to_string()).cloned().unwrap_or_default();
    let mut list = forged_root::amd_crl(product, &revoked, hours(from), hours(until));
    if let Some(last) = list.last_mut().filter(|_| lists.spoilt) {
        *last ^= 1;
    }
    Response::bytes(StatusCode::OK, "application/pkix-crl", list).operation("kds.crl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_named_as_in_manifests() {
        assert_eq!(Product::ALL.map(|product| product.to_string()), ["milan", "genoa", "turin"]);
    }
}
