//! The audit log for operators, in documents that are verified offline.

use http::StatusCode;
use manifest::Action;
use serde_json::value::RawValue;
use store::ExportError;

use super::caller::authenticate;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::route::Context;
use crate::audit::{self, Draft};
use crate::grant::decide;

/// Exports records from the query's `from` on, with a proof of growth since the checkpoint of `since` records if that is given.
pub(super) async fn answer(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Reply, Refusal> {
    let token = authenticate(context, draft, request)?;
    let _permitted = decide::everywhere(&context.in_force.manifest, &token, Action::List)?;
    let number = |name: &str| {
        let text = request.head.parameter(name);
        let number = text.map(|text| text.parse::<u64>()).transpose();
        number.map_err(|_| Refusal::malformed("a number that is none"))
    };
    let (from, since) = (number("from")?.unwrap_or(1), number("since")?);
    let store = &context.core.store;
    let document = store.export_audit(from, MOST, since).await.map_err(|fault| match fault {
        ExportError::NotKept { .. } | ExportError::Beyond { .. } => {
            Refusal::malformed("no such part of the log")
        }
        ExportError::Read(_) | ExportError::Randomness(_) | ExportError::Unwritable => {
            Refusal::unavailable(audit::chain(&fault))
        }
    })?;
    let document = RawValue::from_string(document)
        .map_err(|_| Refusal::unavailable("the log is not writable"))?;
    store.append_audit(draft.time(), draft.granted()?).await?;
    Reply::json(StatusCode::OK, &document)
}

/// How many records one document has.
const MOST: usize = 500;
