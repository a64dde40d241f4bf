//! Keys from outside (azure.md C.2).

use std::collections::BTreeMap;

use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use serde::Deserialize;

use super::access::{Access, granted};
use super::create::{RawAttributes, RawReleasePolicy, Wanted, put};
use super::errors::bad;
use super::hsm::{Curve, KeyPair, KeyType};
use super::rules::{check_name, curve, key_type};
use crate::core::Response;
use crate::core::encoding::from_b64url;

/// Body of `PUT /keys/{n}`.
#[derive(Deserialize)]
struct RawImport {
    key: RawJwk,
    #[serde(rename = "Hsm", alias = "hsm")]
    hsm: Option<bool>,
    #[serde(default)]
    attributes: RawAttributes,
    tags: Option<BTreeMap<String, String>>,
    release_policy: Option<RawReleasePolicy>,
}

#[derive(Deserialize)]
struct RawJwk {
    kty: String,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

/// `PUT /keys/{n}`: a key from outside; an HSM key unless `Hsm` is false. Imported keys show no sign of it, as the real ones do not.
pub(super) fn import(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/import/action", Some(&format!("keys/{name}")))?;
    check_name(name)?;
    let raw: RawImport = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    let jwk = raw.key;
    let kty = match (key_type(&jwk.kty)?, raw.hsm) {
        (KeyType::Ec, Some(true)) => KeyType::EcHsm,
        (KeyType::Rsa, Some(true)) => KeyType::RsaHsm,
        (kty, _) => kty,
    };
    let pair = match kty {
        KeyType::Ec | KeyType::EcHsm => {
            let curve = curve(jwk.crv.as_deref())?;
            let (d, x, y) = (member(&jwk.d)?, member(&jwk.x)?, member(&jwk.y)?);
            let point = [&[4][..], &widen(&x, curve), &widen(&y, curve)].concat();
            KeyPair::from_ec(curve, &widen(&d, curve), &point)
        }
        KeyType::Rsa | KeyType::RsaHsm => {
            let parts = [
                member(&jwk.n)?,
                member(&jwk.e)?,
                member(&jwk.d)?,
                member(&jwk.p)?,
                member(&jwk.q)?,
                member(&jwk.dp)?,
                member(&jwk.dq)?,
                member(&jwk.qi)?,
            ];
            let [n, e, d, p, q, dp, dq, qi] = &parts;
            KeyPair::from_rsa(&KeyPairComponents {
                public_key: PublicKeyComponents { n: n.as_slice(), e: e.as_slice() },
                d: d.as_slice(),
                p: p.as_slice(),
                q: q.as_slice(),
                dP: dp.as_slice(),
                dQ: dq.as_slice(),
                qInv: qi.as_slice(),
            })
        }
    };
    // The text is ours.
    let pair = pair.ok_or_else(|| bad("The parts of the key do not belong together."))?;
    let wanted = Wanted {
        kty,
        operations: jwk.key_ops,
        attributes: raw.attributes,
        tags: raw.tags,
        release_policy: raw.release_policy,
    };
    let response = put(access, name, wanted, || Ok(pair))?;
    Ok(granted(response, &assignment).operation("keyvault.keys.import"))
}

fn member(text: &Option<String>) -> Result<Vec<u8>, Response> {
    text.as_deref()
        .and_then(from_b64url)
        .ok_or_else(|| bad("A member of the key is missing or not base64url."))
}

/// A coordinate or scalar in full width.
fn widen(bytes: &[u8], curve: Curve) -> Vec<u8> {
    let mut wide = vec![0; curve.width().saturating_sub(bytes.len())];
    wide.extend(bytes);
    wide
}
