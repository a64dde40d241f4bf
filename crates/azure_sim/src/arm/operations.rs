//! Long-running operations (azure.md F.1): 201 or 202, then `Azure-AsyncOperation` or `Location` to poll.
//!
//! The work is done when the request is answered, or by the container-instances service meanwhile; the operation only tells when it counts as ended.
//! Besides `Retry-After` (whole seconds) answers carry `retry-after-ms`, which Azure's clients honour, so that tests need not wait.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::{Answer, ArmError};
use super::state::ArmState;
use crate::core::{Cloud, Response};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Operation {
    /// The provider whose path it is polled under.
    pub provider: String,
    pub location: String,
    pub started: Timestamp,
    /// When it ends at the earliest.
    pub ends: Timestamp,
    /// The resource whose progress decides, in lower case: a container group that is being started.
    pub follows: Option<String>,
    /// What `Location` answers at the end.
    pub ending: Ending,
}

/// How a poll of `Location` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// 204.
    NoContent,
    /// 200 with the resource.
    Resource,
    /// 200 without a body.
    Ok,
}

/// Which header the answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    AsyncOperation,
    Location,
}

/// How long a simulated operation takes.
pub(super) const LATENCY: SignedDuration = SignedDuration::from_millis(120);

/// Put an operation on record; old ones go.
pub(super) fn begin(state: &mut ArmState, operation: Operation) -> Uuid {
    let id = Uuid::new_v4();
    let old =
        operation.started.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    state.operations.retain(|_, kept| kept.started > old);
    state.operations.insert(id, operation);
    id
}

/// The headers by which the caller finds the operation.
pub(super) fn announce(
    cloud: &Cloud,
    response: Response,
    id: Uuid,
    operation: &Operation,
    poll: Poll,
    version: &str,
) -> Response {
    let subscription = cloud.settings.subscription;
    let (header, folder) = match poll {
        Poll::AsyncOperation => ("azure-asyncoperation", "operationStatuses"),
        Poll::Location => ("location", "operationResults"),
    };
    let url = format!(
        "https://management.azure.com/subscriptions/{subscription}/providers/{}/locations/{}/{folder}/{id}?api-version={version}",
        operation.provider, operation.location
    );
    paced(response.with(header, &url))
}

/// Answer a poll of `operationStatuses/ID` or `operationResults/ID`.
pub(super) fn poll(cloud: &Cloud, folder: Poll, id: &str, url: &str, now: Timestamp) -> Answer {
    let unknown = || ArmError::new(404, "NotFound", format!("The operation '{id}' was not found."));
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let operation =
        cloud.arm.read(|state| state.operations.get(&id).cloned()).ok_or_else(unknown)?;
    let progress = progress(cloud, &operation, now);
    match folder {
        Poll::AsyncOperation => {
            let mut body = json!({
                "id": url,
                "name": id.to_string(),
                "status": progress.status(),
                "startTime": operation.started.to_string(),
            });
            if let (Progress::Failed(refused), Some(body)) = (&progress, body.as_object_mut()) {
                body.insert("error".to_owned(), refused.body());
            }
            if let (true, Some(body)) = (progress != Progress::Running, body.as_object_mut()) {
                body.insert("endTime".to_owned(), Value::String(operation.ends.to_string()));
            }
            let response = Response::json(StatusCode::OK, &body);
            Ok(if progress == Progress::Running { paced(response) } else { response })
        }
        Poll::Location => match progress {
            Progress::Running => {
                Ok(paced(Response::empty(StatusCode::ACCEPTED).with("location", url)))
            }
            Progress::Failed(refused) => Err(refused),
            Progress::Succeeded => match (operation.ending, &operation.follows) {
                (Ending::NoContent, _) => Ok(Response::empty(StatusCode::NO_CONTENT)),
                (Ending::Resource, Some(id)) => super::resources::shown(cloud, id, now)
                    .map(|body| Response::json(StatusCode::OK, &body))
                    .ok_or_else(unknown),
                (Ending::Resource | Ending::Ok, _) => Ok(Response::empty(StatusCode::OK)),
            },
        },
    }
}

/// Where an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Running,
    Succeeded,
    Failed(ArmError),
}

impl Progress {
    fn status(&self) -> &'static str {
        match self {
            Self::Running => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed(_) => "Failed",
        }
    }
}

fn progress(cloud: &Cloud, operation: &Operation, now: Timestamp) -> Progress {
    if now < operation.ends {
        return Progress::Running;
    }
    match &operation.follows {
        Some(id) => super::container_groups::progress(cloud, id),
        None => Progress::Succeeded,
    }
}

/// The pace at which to poll.
fn paced(response: Response) -> Response {
    response.with("retry-after", "1").with("retry-after-ms", "60")
}
