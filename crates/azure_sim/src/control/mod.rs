//! The control host `control.local` (ours): fault scripts, counters, principals, shutdown.
//!
//! | call | body → answer |
//! |---|---|
//! | `GET /faults` | → `[{"fault", "seen"}]` |
//! | `PUT /faults` | list of [`Fault`] → 204; replaces the script |
//! | `POST /faults` | one [`Fault`] → 204; adds to it |
//! | `GET /counts` | → `{operation: {"calls", "ok"}}` |
//! | `DELETE /counts` | → 204 |
//! | `PUT /kds` | [`kds::Lists`] → 204: what AMD's revocation lists say |
//! | `POST /principals` | [`entra::NewApplication`] → service-principal document |
//! | `POST /enclaves` | [`enclave::Wanted`] → 201 `{"id", "directory"}`: a device for a simulated workload |
//! | `DELETE /enclaves/ID` | → 204 |
//! | `POST /shutdown` | → 202 |
//!
//! Every call needs `Authorization: Bearer` with the text of `DIR/control-token` (mode 0600).

use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::aci::enclave;
use crate::core::encoding::b64url;
use crate::core::faults::Fault;
use crate::core::store::write_atomically;
use crate::core::{Cloud, Request, Response};
use crate::{entra, kds};

/// Reads the control token of the state directory, or makes one.
///
/// # Errors
/// The file system's.
pub fn token(directory: &Path) -> io::Result<String> {
    let path = directory.join("control-token");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
            let text = b64url(bytes);
            write_atomically(&path, text.as_bytes())?;
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

/// Answers a request.
///
/// # Errors
/// An error answer.
pub async fn handle(cloud: &Arc<Cloud>, request: Request) -> Result<Response, Response> {
    let bearer = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    verify_slices_are_equal(bearer.as_bytes(), cloud.control_token.as_bytes()).map_err(|_| {
        Response::arm_error(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            "the control token is required",
        )
    })?;
    match (&request.method, request.path.as_str()) {
        (&Method::GET, "/faults") => {
            let script: Vec<Value> = cloud
                .faults
                .script()
                .into_iter()
                .map(|(fault, seen)| json!({"fault": fault, "seen": seen}))
                .collect();
            Ok(Response::json(StatusCode::OK, &json!(script)))
        }
        (&Method::PUT, "/faults") => {
            cloud.faults.set(body::<Vec<Fault>>(&request)?);
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, "/faults") => {
            cloud.faults.add(body(&request)?);
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, "/counts") => {
            Ok(Response::json(StatusCode::OK, &json!(cloud.faults.counts())))
        }
        (&Method::DELETE, "/counts") => {
            cloud.faults.reset_counts();
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        (&Method::PUT, "/kds") => {
            cloud.kds.set(body::<kds::Lists>(&request)?);
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, "/principals") => {
            let principal = entra::add_application(cloud, body(&request)?).map_err(|fault| {
                Response::arm_error(StatusCode::BAD_REQUEST, "BadRequest", &fault.to_string())
            })?;
            Ok(Response::json(StatusCode::OK, &json!(principal)))
        }
        (&Method::POST, "/enclaves") => {
            let bad =
                |text: String| Response::arm_error(StatusCode::BAD_REQUEST, "BadRequest", &text);
            let machine = body::<enclave::Wanted>(&request)?.machine().map_err(bad)?;
            let (id, directory) = enclave::create(cloud, machine).map_err(|error| {
                let text = error.to_string();
                Response::arm_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &text)
            })?;
            Ok(Response::json(StatusCode::CREATED, &json!({"id": id, "directory": directory})))
        }
        (&Method::DELETE, path) if path.starts_with("/enclaves/") => {
            let unknown =
                || Response::arm_error(StatusCode::NOT_FOUND, "NotFound", "no such enclave");
            let id = path.trim_start_matches("/enclaves/").parse().map_err(|_| unknown())?;
            enclave::remove(cloud, id).map_err(|_| unknown())?;
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, "/shutdown") => {
            cloud.shut_down();
            Ok(Response::empty(StatusCode::ACCEPTED))
        }
        _ => Err(Response::arm_error(StatusCode::NOT_FOUND, "NotFound", "no such control call")),
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Response> {
    request.json().map_err(|error| {
        Response::arm_error(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string())
    })
}
