//! The store's keys, for operators who may `rotate`: a new barrier key in Vault's form, a new root key in ours.

use http::StatusCode;
use manifest::Action;
use serde::Deserialize;
use serde_json::json;

use super::caller::authenticate;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::route::Context;
use crate::audit::{self, Draft};
use crate::grant::decide;
use crate::renew::{self, RenewError};
use crate::tokens::Authenticated;

/// `sys/rotate`.
pub(super) async fn rotate(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    token: &Authenticated,
) -> Result<Reply, Refusal> {
    draft.operation = "rotate";
    permitted(context, draft, token).await?;
    nothing(request)?;
    renew::rotate(&context.core).await.map_err(|fault| unavailable(&fault))?;
    Ok(Reply::nothing())
}

/// `/vouchsafe/v1/rotate`: the same, and says which key is in force.
pub(super) async fn rotate_native(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Reply, Refusal> {
    let token = authenticate(context, draft, request)?;
    rotate(context, draft, request, &token).await?;
    Reply::json(StatusCode::OK, &renew::installed(&context.core))
}

/// Which barrier key is in force.
pub(super) fn status(context: &Context, token: &Authenticated) -> Result<Reply, Refusal> {
    let _permitted = decide::everywhere(&context.in_force.manifest, token, Action::Rotate)?;
    let installed = renew::installed(&context.core);
    Reply::data(context.id, &json!({ "term": installed.term, "install_time": installed.at }))
}

/// `/vouchsafe/v1/rekey`.
pub(super) async fn rekey(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Reply, Refusal> {
    let token = authenticate(context, draft, request)?;
    permitted(context, draft, &token).await?;
    nothing(request)?;
    let in_force = std::sync::Arc::clone(&context.in_force);
    let rekeyed = renew::rekey(&context.core, in_force).await;
    Reply::json(StatusCode::OK, &rekeyed.map_err(|fault| unavailable(&fault))?)
}

/// Who may, and that it is on record before anything is done.
async fn permitted(context: &Context, draft: &Draft, token: &Authenticated) -> Result<(), Refusal> {
    let _permitted = decide::everywhere(&context.in_force.manifest, token, Action::Rotate)?;
    context.core.store.append_audit(draft.time(), draft.granted()?).await?;
    Ok(())
}

/// Vault's clients send no body, or an empty object.
fn nothing(request: &Request) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    request.json().map(|Nothing {}| ())
}

fn unavailable(fault: &RenewError) -> Refusal {
    Refusal::unavailable(audit::chain(fault))
}
