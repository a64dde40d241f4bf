//! Why a request was refused: its record in the audit log, for operators.
//!
//! The caller who was refused has the request id and nothing else; whoever may list every secret may learn the reason.

use http::StatusCode;
use manifest::Action;
use serde::Serialize;
use serde_json::value::RawValue;
use store::AuditRecord;

use super::caller::authenticate;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::route::Context;
use crate::audit::{self, Draft};
use crate::grant::decide;

/// A record with its place in the log.
#[derive(Serialize)]
struct Explanation<'a> {
    version: u8,
    sequence: u64,
    commit: u64,
    commit_sha256: String,
    record: &'a RawValue,
}

pub(super) async fn answer(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    id: &str,
) -> Result<Reply, Refusal> {
    let token = authenticate(context, draft, request)?;
    let _permitted = decide::everywhere(&context.in_force.manifest, &token, Action::List)?;
    let id: uuid::Uuid = id.parse().map_err(|_| Refusal::malformed("not a request id"))?;
    let found = find(context, &id.to_string()).await?;
    let damaged = |_| Refusal::unavailable("the record is not readable");
    let record = serde_json::from_slice(found.record.expose_secret()).map_err(damaged)?;
    let commit_sha256 = found.commit.hash.to_string();
    let (sequence, commit) = (found.sequence, found.commit.n);
    let explanation = Explanation { version: 1, sequence, commit, commit_sha256, record };
    context.core.store.append_audit(draft.time(), draft.granted()?).await?;
    Reply::json(StatusCode::OK, &explanation)
}

/// Looks through the newest records, the newest first.
async fn find(context: &Context, id: &str) -> Result<AuditRecord, Refusal> {
    let store = &context.core.store;
    let newest = store.audited();
    let mut to = newest;
    while to > 0 && newest - to < FARTHEST {
        let from = to.saturating_sub(STEP - 1).max(1);
        let limit = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
        let records = store.audit(from, limit).await;
        let records = records.map_err(|fault| Refusal::unavailable(audit::chain(&fault)))?;
        let found = records.into_iter().find(|record| audit::is_of(&record.record, id));
        if let Some(found) = found {
            return Ok(found);
        }
        to = from - 1;
    }
    Err(Refusal::nothing_there("no such request among the newest records"))
}

const STEP: u64 = 200;
/// Older records are read with the tools for the log.
const FARTHEST: u64 = 10_000;
