//! Secure key release (azure.md C.3, C.4).

use std::io;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm,
    OaepPublicEncryptingKey, PublicEncryptingKey,
};
use forged_root::certificate::{COMMON_NAME, Certificate, Extension, name};
use forged_root::der;
use forged_root::keys::TLS_CA;
use hyper::StatusCode;
use maa::release::{ReleasePolicy, evaluate};
use maa::token::{Jwks, VerifiedToken, verify};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::access::{Access, granted};
use super::bundle::{jwk, key_attributes, kid};
use super::create::internal;
use super::crypto::usable;
use super::errors::{Thing, bad, forbidden};
use super::hsm::KeyPair;
use super::lifecycle::random;
use crate::core::encoding::{b64, b64url, from_b64url};
use crate::core::keys::RsaSigner;
use crate::core::store::write_atomically;
use crate::core::{Cloud, Response};

#[derive(Deserialize)]
struct RawRelease {
    target: String,
    nonce: Option<String>,
    enc: Option<String>,
}

/// `POST /keys/{n}[/{v}]/release`.
///
/// 1. role; 2. the key exists; 3. it is enabled; 4. it is exportable; 5. the token is of an authority of the policy and verifies under that
///    authority's keys; 6. the policy permits it; 7. the token carries a key to wrap to.
pub(super) fn release(
    access: &Access<'_>,
    name: &str,
    version: &str,
) -> Result<Response, Response> {
    let assignment =
        access.authorize("keys/release/action", Some(&format!("keys/{name}"))).map_err(counted)?;
    let raw: RawRelease = access
        .request
        .json()
        .map_err(|error| counted(bad(&format!("The request body is not valid: {error}"))))?;
    let value = released(access, name, version, &raw).map_err(counted)?;
    Ok(granted(Response::json(StatusCode::OK, &json!({"value": value})), &assignment)
        .operation("keyvault.keys.release"))
}

fn counted(response: Response) -> Response {
    response.operation("keyvault.keys.release")
}

fn released(
    access: &Access<'_>,
    name: &str,
    version: &str,
    raw: &RawRelease,
) -> Result<String, Response> {
    let enc = Enc::parse(raw.enc.as_deref())?;
    let (key, id) = access
        .cloud
        .keyvault
        .read(|state| {
            let key = state.key(access.cloud, &access.key, name)?;
            let (id, _) = key.version(version)?;
            Some((key.clone(), id.to_owned()))
        })
        .ok_or_else(|| Thing::Key.not_found(name))?;
    let (_, found) = key.version(&id).ok_or_else(|| Thing::Key.not_found(name))?;
    usable(access, found, "release")?;
    // The text is ours.
    let policy = key
        .release_policy
        .as_ref()
        .filter(|_| found.exportable)
        .ok_or_else(|| bad("The key is not exportable."))?;
    let parsed = ReleasePolicy::from_data(&policy.data)
        .map_err(|error| internal(io::Error::other(error)))?;

    let token = verified(access.cloud, &parsed, &raw.target).ok_or_else(|| {
        forbidden("Target environment attestation statement cannot be verified.", "AccessDenied")
    })?;
    evaluate(&parsed, token.issuer(), token.claims()).map_err(|denied| {
        tracing::info!(key = name, "release policy not met:\n{}", denied.explain());
        forbidden(
            "Target environment attestation does not meet key release policy requirements.",
            "AccessDenied",
        )
    })?;
    let target = Target::of(token.claims()).ok_or_else(|| {
        // The text is ours.
        forbidden(
            "Target environment attestation statement has no key that is usable for encryption.",
            "AccessDenied",
        )
    })?;

    let pair = KeyPair::load(access.cloud, &id, &found.public).map_err(internal)?;
    let pkcs8 = pair.released_form().ok_or_else(|| internal(io::Error::other("encoding a key")))?;
    let key_hsm = json!({
        "schema_version": "1.0",
        "header": {"kid": target.kid, "alg": "dir", "enc": enc.name()},
        "ciphertext": b64url(wrap(&target, enc, &pkcs8)?),
    });
    let mut jwk = jwk(access, &key, &id, found);
    jwk.insert("key_hsm".to_owned(), json!(b64url(key_hsm.to_string())));
    let asked = if version.is_empty() {
        format!("{}/keys/{name}", access.base())
    } else {
        kid(access, &key, version)
    };
    let mut request =
        json!({"api-version": access.version.as_str(), "enc": enc.name(), "kid": asked});
    if let (Some(nonce), Some(request)) = (&raw.nonce, request.as_object_mut()) {
        request.insert("nonce".to_owned(), json!(nonce));
    }
    let mut inner = Map::new();
    inner.insert("key".to_owned(), Value::Object(jwk));
    inner.insert("attributes".to_owned(), key_attributes(access, found));
    inner.insert(
        "release_policy".to_owned(),
        json!({"data": policy.data, "immutable": policy.immutable}),
    );
    if !found.tags.is_empty() {
        inner.insert("tags".to_owned(), json!(found.tags));
    }
    let mut payload = Map::new();
    payload.insert("request".to_owned(), request);
    payload.insert("response".to_owned(), json!({"key": inner}));
    sign(access.cloud, &payload).map_err(internal)
}

/// The wrapping of azure.md C.3.
#[derive(Clone, Copy)]
enum Enc {
    Sha1,
    Sha256,
    Sha384,
}

impl Enc {
    fn parse(text: Option<&str>) -> Result<Self, Response> {
        match text {
            None | Some("CKM_RSA_AES_KEY_WRAP") => Ok(Self::Sha1),
            Some("RSA_AES_KEY_WRAP_256") => Ok(Self::Sha256),
            Some("RSA_AES_KEY_WRAP_384") => Ok(Self::Sha384),
            // The text is ours.
            Some(other) => Err(bad(&format!("The enc {other} is not supported."))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "CKM_RSA_AES_KEY_WRAP",
            Self::Sha256 => "RSA_AES_KEY_WRAP_256",
            Self::Sha384 => "RSA_AES_KEY_WRAP_384",
        }
    }

    /// Hash of OAEP and of MGF1.
    fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
        }
    }
}

/// The token, verified under the keys of the first authority of the policy that issued it. The real vault fetches
/// `AUTHORITY/.well-known/openid-configuration` and the `jwks_uri` in it; here every authority is a provider of this cloud, and any other
/// cannot be reached.
fn verified(cloud: &Cloud, policy: &ReleasePolicy, token: &str) -> Option<VerifiedToken> {
    policy.authorities().iter().find_map(|authority| {
        let issuer = authority.authority.trim_end_matches('/');
        let host = issuer.strip_prefix("https://")?.to_ascii_lowercase();
        let keys = crate::maa::key_set(cloud, &host)?;
        let keys = Jwks::parse(keys.to_string().as_bytes()).ok()?;
        verify(token, &keys, issuer, cloud.now())
            .inspect_err(|error| tracing::info!(%error, %issuer, "release: token refused"))
            .ok()
    })
}

/// The key that a released key is wrapped to.
struct Target {
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Target {
    /// Of the top-level `x-ms-runtime`, `keys[]`: the first RSA key usable for encryption (azure.md C.3).
    fn of(claims: &Map<String, Value>) -> Option<Self> {
        let keys = claims.get("x-ms-runtime")?.get("keys")?.as_array()?;
        keys.iter().find_map(|key| {
            let text = |name: &str| key.get(name).and_then(Value::as_str);
            let by_use = text("use") == Some("enc");
            let by_operation =
                key.get("key_ops").and_then(Value::as_array).is_some_and(|operations| {
                    operations.iter().any(|one| one.as_str() == Some("encrypt"))
                });
            if text("kty") != Some("RSA") || !(by_use || by_operation) {
                return None;
            }
            Some(Self {
                kid: text("kid").unwrap_or_default().to_owned(),
                modulus: from_b64url(text("n")?)?,
                exponent: from_b64url(text("e")?)?,
            })
        })
    }
}

/// RSA-OAEP of a fresh AES-256 key, then AES key wrap with padding (RFC 5649) of the private key.
fn wrap(target: &Target, enc: Enc, pkcs8: &[u8]) -> Result<Vec<u8>, Response> {
    // The text is ours.
    let unusable = || {
        forbidden(
            "The key of the target environment cannot be used for encryption.",
            "AccessDenied",
        )
    };
    // RFC 3279, section 2.3.1.
    let rsa = der::sequence(&[der::unsigned(&target.modulus), der::unsigned(&target.exponent)]);
    let algorithm = der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]);
    let spki = der::sequence(&[algorithm, der::bits(&rsa)]);
    let key = PublicEncryptingKey::from_der(&spki).map_err(|_| unusable())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| unusable())?;
    let aes = random::<32>()?;
    let mut wrapped = vec![0; key.ciphertext_size()];
    key.encrypt(enc.oaep(), &aes, &mut wrapped, None).map_err(|_| unusable())?;
    let mut inner = vec![0; pkcs8.len() + 15];
    let inner = AesKek::new(&AES_256, &aes)
        .and_then(|kek| kek.wrap_with_padding(pkcs8, &mut inner).map(|wrapped| wrapped.to_vec()))
        .map_err(|_| internal(io::Error::other("wrapping")))?;
    wrapped.extend(inner);
    Ok(wrapped)
}

/// The answer's JWS: header as recorded; the leaf `CN=vault.azure.net` is under the forged TLS CA, so the chain has two certificates, not three.
fn sign(cloud: &Cloud, payload: &Map<String, Value>) -> io::Result<String> {
    let key = RsaSigner::open(&cloud.directory().join("keys/vault.p8"))?;
    let leaf = leaf(cloud, &key)?;
    let thumbprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, &leaf);
    let header = json!({
        "alg": "RS256",
        "kid": hex::encode_upper(thumbprint),
        "x5t": b64url(thumbprint),
        "typ": "JWT",
        "x5t#S256": b64url(digest(&SHA256, &leaf)),
        "x5c": [b64(&leaf), b64(CA.as_slice())],
    });
    key.jws(&header, payload)
}

static CA: LazyLock<Vec<u8>> = LazyLock::new(|| TLS_CA.der());

/// The leaf is made once and kept: its signature is not deterministic.
fn leaf(cloud: &Cloud, key: &RsaSigner) -> io::Result<Vec<u8>> {
    let path = cloud.directory().join("keys/vault.cer");
    if path.exists() {
        return std::fs::read(&path);
    }
    let (_, authority) = X509Certificate::from_der(&CA).map_err(io::Error::other)?;
    let public = key.spki()?;
    let issuer = TLS_CA.p256();
    let certificate = Certificate {
        serial: 0x0076_6175_6c74,
        issuer: authority.subject().as_raw().to_vec(),
        subject: name(&[(COMMON_NAME, "vault.azure.net")]),
        not_before: forged_root::amd::NOT_BEFORE,
        not_after: forged_root::amd::NOT_AFTER,
        extensions: vec![
            Extension::server_names(["vault.azure.net"]),
            Extension::signs_data(),
            Extension::for_use(["1.3.6.1.5.5.7.3.1"]),
            Extension::subject_key(&public),
            Extension::authority_key(&issuer.public()),
            Extension::end_entity(),
        ],
        key: public,
    };
    let leaf = certificate.sign(&issuer);
    write_atomically(&path, &leaf)?;
    Ok(leaf)
}
