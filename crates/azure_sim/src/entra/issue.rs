//! Making access tokens.

use std::io;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Map, Value, json};

use super::applications::Application;
use crate::core::Cloud;
use crate::core::encoding::b64url;
use crate::core::inventory::Identity;
use crate::core::keys::RsaSigner;
use crate::core::token::issuer;

/// An access token and its times (seconds).
#[derive(Clone, Debug)]
pub struct Token {
    /// Compact JWT.
    pub text: String,
    /// Seconds it lives.
    pub lifetime: i64,
    /// `exp`.
    pub expires: i64,
    /// `nbf`.
    pub not_before: i64,
}

/// Key id of a signing key: base64url of the SHA-1 of its SubjectPublicKeyInfo (ours; the real one is a certificate's thumbprint).
pub fn kid(key: &RsaSigner) -> String {
    b64url(digest(&SHA1_FOR_LEGACY_USE_ONLY, &key.modulus()))
}

/// A token of an application for a resource.
pub(super) fn issue_for_application(
    cloud: &Cloud,
    application: &Application,
    resource: &str,
) -> io::Result<Token> {
    let own = resource.starts_with("api://");
    let mut claims = object(json!({
        "oid": application.oid.to_string(),
        "sub": application.oid.to_string(),
        "idtyp": "app",
    }));
    let client = application.client_id.to_string();
    let tenant = cloud.settings.tenant;
    if own {
        claims.insert("azp".to_owned(), json!(client));
        claims.insert("azpacr".to_owned(), json!("1"));
        claims.insert("ver".to_owned(), json!("2.0"));
        claims.insert(
            "iss".to_owned(),
            json!(format!("https://login.microsoftonline.com/{tenant}/v2.0")),
        );
    } else {
        claims.insert("appid".to_owned(), json!(client));
        claims.insert("appidacr".to_owned(), json!("1"));
        claims.insert("ver".to_owned(), json!("1.0"));
        claims.insert("iss".to_owned(), json!(issuer(tenant)));
        claims.insert("idp".to_owned(), json!(issuer(tenant)));
    }
    finish(cloud, claims, resource, 3599)
}

/// A token of a managed identity for a resource.
///
/// # Errors
/// The crypto library refuses to sign.
pub fn issue_for_identity(cloud: &Cloud, identity: &Identity, resource: &str) -> io::Result<Token> {
    let tenant = cloud.settings.tenant;
    let claims = object(json!({
        "appid": identity.client_id.to_string(),
        "appidacr": "2",
        "idp": issuer(tenant),
        "idtyp": "app",
        "iss": issuer(tenant),
        "oid": identity.principal_id.to_string(),
        "sub": identity.principal_id.to_string(),
        "ver": "1.0",
        "xms_mirid": identity.id,
    }));
    finish(cloud, claims, resource, 86399)
}

fn finish(
    cloud: &Cloud,
    mut claims: Map<String, Value>,
    resource: &str,
    lifetime: i64,
) -> io::Result<Token> {
    let not_before = cloud.now().as_second();
    let expires = not_before + lifetime;
    claims.insert("aud".to_owned(), json!(resource));
    claims.insert("iat".to_owned(), json!(not_before));
    claims.insert("nbf".to_owned(), json!(not_before));
    claims.insert("exp".to_owned(), json!(expires));
    claims.insert("tid".to_owned(), json!(cloud.settings.tenant.to_string()));
    claims.insert("uti".to_owned(), json!(b64url(uuid::Uuid::new_v4().as_bytes())));
    let kid = kid(&cloud.entra_key);
    let header = json!({"typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid});
    Ok(Token { text: cloud.entra_key.jws(&header, &claims)?, lifetime, expires, not_before })
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
