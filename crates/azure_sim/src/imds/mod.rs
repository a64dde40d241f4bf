//! Instance metadata service: tokens of the managed identities of running container groups (azure.md E).
//!
//! `GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=URL[&client_id|object_id|msi_res_id]` with `Metadata: true`.
//! All groups of the local cloud share one endpoint, so it serves the identities of all that run; with several, one must be named, as on a
//! machine with several identities. Texts of the first three errors are of the service, the rest are ours.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::core::inventory::Identity;
use crate::core::{Cloud, Request, Response};
use crate::entra;

/// Answers a request.
///
/// # Errors
/// An error answer.
pub async fn handle(cloud: &Arc<Cloud>, request: Request) -> Result<Response, Response> {
    if request.path.trim_end_matches('/') != "/metadata/identity/oauth2/token" {
        return Err(refusal(
            StatusCode::NOT_FOUND,
            "not_found",
            "the local cloud serves identity tokens only",
        ));
    }
    if request.method != Method::GET {
        return Err(refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "bad_request_104",
            "Method not allowed",
        ));
    }
    if !request.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Required metadata header not specified",
        ));
    }
    if request.query.value("api-version").is_none() {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "bad_request_102",
            "Required api-version parameter not specified",
        ));
    }
    let resource =
        request.query.value("resource").filter(|resource| !resource.is_empty()).ok_or_else(
            || {
                refusal(
                    StatusCode::BAD_REQUEST,
                    "invalid_resource",
                    "Required resource parameter not specified",
                )
            },
        )?;
    let identity = chosen(cloud, &request)?;
    let token = entra::issue_for_identity(cloud, &identity, resource).map_err(|_| {
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "unknown", "the token cannot be signed")
    })?;
    Ok(Response::json(
        StatusCode::OK,
        &json!({
            "access_token": token.text,
            "client_id": identity.client_id.to_string(),
            "expires_in": token.lifetime.to_string(),
            "expires_on": token.expires.to_string(),
            "ext_expires_in": token.lifetime.to_string(),
            "not_before": token.not_before.to_string(),
            "resource": resource,
            "token_type": "Bearer",
        }),
    )
    .operation("imds.token"))
}

fn chosen(cloud: &Cloud, request: &Request) -> Result<Identity, Response> {
    let query =
        |names: &[&str]| names.iter().find_map(|name| request.query.value(name)).map(str::to_owned);
    let (client, object, resource) = (
        query(&["client_id"]),
        query(&["object_id", "principal_id"]),
        query(&["msi_res_id", "mi_res_id"]),
    );
    let named = client.is_some() || object.is_some() || resource.is_some();
    let mut fitting = cloud.inventory.read(|inventory| {
        let fits = |wanted: &Option<String>, have: String| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&have))
        };
        inventory
            .running_identities()
            .into_iter()
            .filter(|identity| {
                fits(&client, identity.client_id.to_string())
                    && fits(&object, identity.principal_id.to_string())
                    && fits(&resource, identity.id.clone())
            })
            .cloned()
            .collect::<Vec<_>>()
    });
    match (fitting.pop(), fitting.is_empty()) {
        (Some(identity), true) => Ok(identity),
        (Some(_), false) if !named => Err(refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
        )),
        (Some(_) | None, _) => {
            Err(refusal(StatusCode::BAD_REQUEST, "invalid_request", "Identity not found"))
        }
    }
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    Response::json(status, &json!({"error": error, "error_description": description}))
        .operation("imds.token")
}
