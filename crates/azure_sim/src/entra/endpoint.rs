//! Token endpoint, discovery, keys.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::applications::{Application, hash_secret};
use super::assertion;
use super::issue::{issue_for_application, kid};
use crate::core::encoding::b64url;
use crate::core::{Cloud, Query, Request, Response};

/// Answers a request.
///
/// # Errors
/// An error answer.
pub async fn handle(cloud: &Arc<Cloud>, request: Request) -> Result<Response, Response> {
    let segments = request.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (&request.method, path.as_slice()) {
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => {
            check_tenant(cloud, &request, tenant)?;
            token(cloud, &request, Dialect::Scope)
        }
        (&Method::POST, [tenant, "oauth2", "token"]) => {
            check_tenant(cloud, &request, tenant)?;
            token(cloud, &request, Dialect::Resource)
        }
        (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            check_tenant(cloud, &request, tenant)?;
            Ok(Response::json(StatusCode::OK, &configuration(cloud)).operation("entra.openid"))
        }
        (&Method::GET, [tenant, "discovery", "v2.0" | "keys", ..]) => {
            check_tenant(cloud, &request, tenant)?;
            Ok(Response::json(StatusCode::OK, &keys(cloud)).operation("entra.keys"))
        }
        // Instance discovery, which Microsoft's clients ask first.
        (&Method::GET, ["common", "discovery", "instance"]) => {
            let tenant = cloud.settings.tenant;
            Ok(Response::json(
                StatusCode::OK,
                &json!({
                    "tenant_discovery_endpoint": format!("{HOST}/{tenant}/v2.0/.well-known/openid-configuration"),
                    "api-version": "1.1",
                    "metadata": [{
                        "preferred_network": "login.microsoftonline.com",
                        "preferred_cache": "login.windows.net",
                        "aliases": ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
                    }],
                }),
            ))
        }
        _ => Err(refusal(
            cloud,
            &request,
            StatusCode::NOT_FOUND,
            "invalid_request",
            900_144,
            "the local cloud does not serve this path.",
        )),
    }
}

/// How the request names what the token is for.
#[derive(Clone, Copy)]
enum Dialect {
    /// v2: `scope=RESOURCE/.default`.
    Scope,
    /// v1: `resource=RESOURCE`.
    Resource,
}

/// azure.md E: client credentials by secret or assertion. 1. grant; 2. application; 3. credential; 4. resource.
fn token(cloud: &Arc<Cloud>, request: &Request, dialect: Dialect) -> Result<Response, Response> {
    let refuse =
        |status, error: &str, code, text: &str| refusal(cloud, request, status, error, code, text);
    let body = std::str::from_utf8(&request.body).unwrap_or_default();
    let form = Query::parse(body);
    match form.value("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                70_003,
                "The app requested an unsupported grant type.",
            ));
        }
        None => {
            let text = "The request body must contain the following parameter: 'grant_type'.";
            return Err(refuse(StatusCode::BAD_REQUEST, "invalid_request", 900_144, text));
        }
    }
    let client = form.value("client_id").unwrap_or_default();
    let application = client
        .parse::<Uuid>()
        .ok()
        .and_then(|id| cloud.entra.read(|state| state.applications.get(&id).cloned()))
        .ok_or_else(|| {
            let text =
                format!("Application with identifier '{client}' was not found in the directory.");
            refuse(StatusCode::UNAUTHORIZED, "unauthorized_client", 700_016, &text)
        })?;
    authenticate(cloud, &application, &form).map_err(|fault| match fault {
        AuthenticationFault::Secret => {
            let text = format!("Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'.");
            refuse(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_215, &text)
        }
        AuthenticationFault::Missing => {
            let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            refuse(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_218, text)
        }
        AuthenticationFault::Assertion(fault) => {
            refuse(StatusCode::UNAUTHORIZED, "invalid_client", fault.code(), &fault.to_string())
        }
    })?;
    let resource = match dialect {
        Dialect::Scope => form
            .value("scope")
            .and_then(|scope| scope.split(' ').find_map(|one| one.strip_suffix("/.default"))),
        Dialect::Resource => form.value("resource"),
    };
    let resource = resource.filter(|resource| resource.contains("://") || resource.parse::<Uuid>().is_ok()).ok_or_else(|| {
        let text = "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.";
        refuse(StatusCode::BAD_REQUEST, "invalid_scope", 1_002_012, text)
    })?;
    let token = issue_for_application(cloud, &application, resource).map_err(|_| {
        refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            90_033,
            "the token cannot be signed.",
        )
    })?;
    let mut answer = json!({
        "token_type": "Bearer",
        "expires_in": token.lifetime,
        "ext_expires_in": token.lifetime,
        "access_token": token.text,
    });
    if let (Dialect::Resource, Some(answer)) = (dialect, answer.as_object_mut()) {
        // The v1 endpoint answers numbers as text.
        answer.insert("expires_in".to_owned(), json!(token.lifetime.to_string()));
        answer.insert("ext_expires_in".to_owned(), json!(token.lifetime.to_string()));
        answer.insert("expires_on".to_owned(), json!(token.expires.to_string()));
        answer.insert("not_before".to_owned(), json!(token.not_before.to_string()));
        answer.insert("resource".to_owned(), json!(resource));
    }
    Ok(Response::json(StatusCode::OK, &answer)
        .with("cache-control", "no-store, no-cache")
        .operation("entra.token"))
}

enum AuthenticationFault {
    Secret,
    Missing,
    Assertion(assertion::AssertionFault),
}

fn authenticate(
    cloud: &Cloud,
    application: &Application,
    form: &Query,
) -> Result<(), AuthenticationFault> {
    if let Some(secret) = form.value("client_secret") {
        return verify_slices_are_equal(
            hash_secret(secret).as_bytes(),
            application.secret_sha256.as_bytes(),
        )
        .map_err(|_| AuthenticationFault::Secret);
    }
    match (form.value("client_assertion"), form.value("client_assertion_type")) {
        (Some(assertion), Some(ASSERTION_TYPE)) => {
            assertion::verify(cloud, application, assertion).map_err(AuthenticationFault::Assertion)
        }
        _ => Err(AuthenticationFault::Missing),
    }
}

fn check_tenant(cloud: &Cloud, request: &Request, tenant: &str) -> Result<(), Response> {
    if tenant.parse::<Uuid>().is_ok_and(|tenant| tenant == cloud.settings.tenant) {
        return Ok(());
    }
    let text = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    Err(refusal(cloud, request, StatusCode::BAD_REQUEST, "invalid_request", 90_002, &text))
}

fn configuration(cloud: &Cloud) -> Value {
    let tenant = cloud.settings.tenant;
    json!({
        "token_endpoint": format!("{HOST}/{tenant}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{HOST}/{tenant}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{HOST}/{tenant}/v2.0"),
        "authorization_endpoint": format!("{HOST}/{tenant}/oauth2/v2.0/authorize"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    })
}

fn keys(cloud: &Cloud) -> Value {
    let kid = kid(&cloud.entra_key);
    json!({"keys": [{
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "x5t": kid,
        "n": b64url(cloud.entra_key.modulus()),
        "e": b64url(cloud.entra_key.exponent()),
        "issuer": format!("{HOST}/{}/v2.0", cloud.settings.tenant),
    }]})
}

fn refusal(
    cloud: &Cloud,
    request: &Request,
    status: StatusCode,
    error: &str,
    code: u32,
    text: &str,
) -> Response {
    let now = cloud.now();
    let correlation =
        request.header("client-request-id").map_or_else(|| request.id.to_string(), str::to_owned);
    Response::json(
        status,
        &json!({
            "error": error,
            "error_description": format!("AADSTS{code}: {text} Trace ID: {} Correlation ID: {correlation} Timestamp: {}", request.id, now.strftime("%Y-%m-%d %H:%M:%SZ")),
            "error_codes": [code],
            "timestamp": now.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            "trace_id": request.id.to_string(),
            "correlation_id": correlation,
        }),
    )
    .operation("entra.token")
}

const HOST: &str = "https://login.microsoftonline.com";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
