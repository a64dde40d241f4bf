//! Signing keys: regional, not per instance; each instance shows its own self-signed certificate over the region's key (azure.md §0 surprise 1, A.5).

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, SerialNumber};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Map, Value, json};

use crate::core::Cloud;
use crate::core::encoding::b64;
use crate::core::keys::RsaSigner;

/// The key set of a provider of this cloud (by host), as `/certs` shows it; `None` if there is no such provider.
pub(crate) fn key_set(cloud: &Cloud, host: &str) -> Option<Value> {
    cloud.inventory.read(|inventory| inventory.providers.contains_key(host)).then_some(())?;
    let key = region_key(cloud, host).ok()?;
    let certificate = certificate(&key, host).ok()?;
    Some(json!({"keys": [{"x5c": [b64(certificate)], "kid": kid(&key), "kty": "RSA"}]}))
}

/// A token of the instance: header exactly as A.5, payload sorted and compact.
pub(super) fn sign(cloud: &Cloud, host: &str, claims: &Map<String, Value>) -> io::Result<String> {
    let key = region_key(cloud, host)?;
    key.jws(&header(host, &key, "RS256"), claims)
}

/// The unsigned token of a draft policy: `alg` none, but `kid` and `jku` as ever (azure.md §0, surprise 4).
pub(super) fn unsigned(
    cloud: &Cloud,
    host: &str,
    claims: &Map<String, Value>,
) -> io::Result<String> {
    use crate::core::encoding::b64url;
    let key = region_key(cloud, host)?;
    let payload = serde_json::to_vec(claims).map_err(io::Error::other)?;
    Ok(format!("{}.{}.", b64url(header(host, &key, "none").to_string()), b64url(payload)))
}

fn header(host: &str, key: &RsaSigner, algorithm: &str) -> Value {
    json!({"alg": algorithm, "jku": format!("https://{host}/certs"), "kid": kid(key), "typ": "JWT"})
}

/// Opaque: standard base64 of 32 bytes, here the SHA-256 of the modulus.
fn kid(key: &RsaSigner) -> String {
    b64(digest(&SHA256, &key.modulus()))
}

fn region_key(cloud: &Cloud, host: &str) -> io::Result<RsaSigner> {
    let region = host
        .split('.')
        .nth(1)
        .filter(|region| region.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let region = region.ok_or_else(|| io::Error::other("not a provider's host"))?;
    RsaSigner::open(&cloud.directory().join(format!("keys/maa-{region}.p8")))
}

/// CN `https://INSTANCE`, 2019-05-01 to 2050-12-31 (azure.md A.5). Deterministic, as PKCS#1 signatures are.
fn certificate(key: &RsaSigner, host: &str) -> Result<Vec<u8>, rcgen::Error> {
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(key.pkcs8()),
        &PKCS_RSA_SHA256,
    )?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("https://{host}"));
    params.serial_number = Some(SerialNumber::from(1_u64));
    params.not_before = rcgen::date_time_ymd(2019, 5, 1);
    params.not_after = rcgen::date_time_ymd(2050, 12, 31);
    Ok(params.self_signed(&pair)?.der().to_vec())
}
