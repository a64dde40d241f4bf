//! Logging in: an Entra token is exchanged for a refresh token, that for an access token with scopes.
//!
//! Source: `POST /oauth2/exchange` and `/oauth2/token` as Azure's clients send them, and Docker's token specification for `GET`.
//! The tokens are JWTs (clients read `exp`), here signed with HMAC under a key of this cloud; nobody but the registry verifies them.
//! Roles are looked at when an access token is made, as the service does: it then holds for its time.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::errors::{Answer, refused};
use super::{Registry, permitted};
use crate::core::encoding::{b64url, from_b64url};
use crate::core::{Query, Request, Response, token};

/// What may be done to a repository or the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Right {
    Pull,
    Push,
    Delete,
    Catalog,
}

impl Right {
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Pull => "Microsoft.ContainerRegistry/registries/pull/read",
            Self::Push => "Microsoft.ContainerRegistry/registries/push/write",
            Self::Delete => "Microsoft.ContainerRegistry/registries/artifacts/delete",
            Self::Catalog => "Microsoft.ContainerRegistry/registries/catalog/read",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "*",
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    nbf: i64,
    exp: i64,
    grant_type: String,
    access: Vec<Access>,
}

/// Rights to one repository; the registry's own have the name `catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Access {
    r#type: String,
    name: String,
    actions: Vec<Right>,
}

/// `POST /oauth2/exchange`: `grant_type=access_token&service=HOST&tenant=T&access_token=TOKEN`.
pub(super) fn exchange(registry: &Registry<'_>, request: &Request) -> Answer {
    let form = form(request);
    if form.value("grant_type") != Some("access_token") {
        return Err(unauthorized("the grant type is not supported"));
    }
    service(registry, &form)?;
    let given = form.value("access_token").unwrap_or_default();
    let caller = token::verify(
        registry.cloud,
        given,
        &["https://management.azure.com", "https://containerregistry.azure.net"],
    )
    .map_err(|fault| unauthorized(&fault.to_string()))?;
    let known = [Right::Pull, Right::Push, Right::Delete, Right::Catalog]
        .into_iter()
        .any(|right| permitted(registry.cloud, caller.oid, right, &registry.id));
    if !known {
        return Err(unauthorized("the caller has no role at the registry"));
    }
    let refresh = sign(registry, caller.oid, REFRESH, Vec::new(), 3 * 3600);
    Ok(Response::json(StatusCode::OK, &json!({ "refresh_token": refresh }))
        .operation("registry.exchange"))
}

/// `POST /oauth2/token` with a refresh token in the form, or `GET` with it as a Basic password.
pub(super) fn token(registry: &Registry<'_>, request: &Request) -> Answer {
    let form = if request.method == Method::GET { request.query.clone() } else { form(request) };
    service(registry, &form)?;
    let basic = || {
        let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        pair.split_once(':').map(|(_, password)| password.to_owned())
    };
    let given = if request.method == Method::GET {
        basic()
    } else {
        form.value("refresh_token").map(str::to_owned)
    };
    let claims = verify(registry, &given.unwrap_or_default(), REFRESH)
        .ok_or_else(|| unauthorized("authentication required"))?;
    let mut access = Vec::new();
    for (_, scope) in form.iter().filter(|(name, _)| *name == "scope") {
        for one in scope.split(' ').filter(|one| !one.is_empty()) {
            access.push(
                grant(registry, claims.sub, one)
                    .ok_or_else(|| unauthorized("the scope is invalid"))?,
            );
        }
    }
    let token = sign(registry, claims.sub, ACCESS, access, 75 * 60);
    Ok(Response::json(StatusCode::OK, &json!({ "access_token": token }))
        .operation("registry.token"))
}

/// The request's token gives the right to the repository, or 401 with what is asked for.
pub(super) fn permit(
    registry: &Registry<'_>,
    request: &Request,
    repository: Option<&str>,
    right: Option<Right>,
) -> Answer<()> {
    let scope = match (repository, right) {
        (Some(repository), Some(right)) => {
            format!(",scope=\"repository:{repository}:{}\"", right.name())
        }
        (None, Some(right)) => format!(",scope=\"registry:catalog:{}\"", right.name()),
        (_, None) => String::new(),
    };
    let challenge = |error: &str| {
        let host = registry.host();
        let refusal = unauthorized(
            "authentication required, visit https://aka.ms/acr/authorization for more information.",
        );
        refusal.with(
            "www-authenticate",
            &format!(
                "Bearer realm=\"https://{host}/oauth2/token\",service=\"{host}\"{scope}{error}"
            ),
        )
    };
    let given = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(given) = given else { return Err(challenge("")) };
    let claims =
        verify(registry, given, ACCESS).ok_or_else(|| challenge(",error=\"invalid_token\""))?;
    let Some(right) = right else { return Ok(()) };
    let name = repository.unwrap_or("catalog");
    let granted =
        claims.access.iter().any(|access| access.name == name && access.actions.contains(&right));
    if granted { Ok(()) } else { Err(challenge(",error=\"insufficient_scope\"")) }
}

/// `repository:NAME:pull,push`: the part of it that the principal's roles give.
fn grant(registry: &Registry<'_>, principal: Uuid, scope: &str) -> Option<Access> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let wanted = |action: &str| -> Vec<Right> {
        match (kind, action) {
            ("registry", "*") => vec![Right::Catalog],
            ("repository", "*") => vec![Right::Pull, Right::Push, Right::Delete],
            ("repository", "pull" | "metadata_read") => vec![Right::Pull],
            ("repository", "push" | "metadata_write") => vec![Right::Push],
            ("repository", "delete") => vec![Right::Delete],
            _ => Vec::new(),
        }
    };
    let mut rights: Vec<Right> = actions.split(',').flat_map(wanted).collect();
    rights.sort();
    rights.dedup();
    rights.retain(|right| permitted(registry.cloud, principal, *right, &registry.id));
    let valid =
        if kind == "registry" { name == "catalog" } else { super::reference::repository(name) };
    valid.then(|| Access { r#type: kind.to_owned(), name: name.to_owned(), actions: rights })
}

fn service(registry: &Registry<'_>, form: &Query) -> Answer<()> {
    if form.value("service").is_some_and(|service| service.eq_ignore_ascii_case(&registry.host())) {
        return Ok(());
    }
    Err(unauthorized("the service is another one"))
}

fn form(request: &Request) -> Query {
    Query::parse(std::str::from_utf8(&request.body).unwrap_or_default())
}

fn unauthorized(message: &str) -> Response {
    refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
}

fn sign(
    registry: &Registry<'_>,
    sub: Uuid,
    grant_type: &str,
    access: Vec<Access>,
    seconds: i64,
) -> String {
    let now = registry.cloud.now().as_second();
    let claims = json!(Claims {
        iss: ISSUER.to_owned(),
        aud: registry.host(),
        sub,
        nbf: now,
        exp: now.saturating_add(seconds),
        grant_type: grant_type.to_owned(),
        access,
    });
    let signed = format!("{}.{}", b64url(HEADER), b64url(claims.to_string()));
    let signature = hmac::sign(&key(registry), signed.as_bytes());
    format!("{signed}.{}", b64url(signature))
}

/// 1. header; 2. signature; 3. issuer, audience and kind; 4. time.
fn verify(registry: &Registry<'_>, given: &str, grant_type: &str) -> Option<Claims> {
    let (signed, signature) = given.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    if header != b64url(HEADER) {
        return None;
    }
    hmac::verify(&key(registry), signed.as_bytes(), &from_b64url(signature)?).ok()?;
    let claims: Claims = serde_json::from_slice(&from_b64url(payload)?).ok()?;
    let ours =
        claims.iss == ISSUER && claims.aud == registry.host() && claims.grant_type == grant_type;
    let now = registry.cloud.now().as_second();
    (ours && claims.nbf <= now && now < claims.exp).then_some(claims)
}

/// A key of this cloud and for this use only.
fn key(registry: &Registry<'_>) -> hmac::Key {
    let root = hmac::Key::new(hmac::HMAC_SHA256, registry.cloud.control_token.as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"registry tokens").as_ref())
}

const ISSUER: &str = "Azure Container Registry";
const HEADER: &str = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
const REFRESH: &str = "refresh_token";
const ACCESS: &str = "access_token";
