//! Whose token a request carries.

use super::refusal::Refusal;
use super::request::{Head, Request};
use super::route::Context;
use crate::audit::Draft;
use crate::tokens::{self, Authenticated, TokenError, TokenText};

/// Whose request this is.
pub(super) fn authenticate(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Authenticated, Refusal> {
    let token = find(context, draft, &request.head)?;
    draft.caller = Some(token.holder().caller());
    draft.accessor = Some(token.accessor().to_string());
    Ok(token)
}

/// Whether the request carries a token that holds, before its body is read.
pub(super) fn is_known(context: &Context, draft: &Draft, head: &Head) -> bool {
    find(context, draft, head).is_ok()
}

fn find(context: &Context, draft: &Draft, head: &Head) -> Result<Authenticated, TokenError> {
    let Context { core, in_force, .. } = context;
    tokens::authenticate(&core.store, &in_force.manifest, &own_token(head)?, draft.time())
}

/// The token that a request carries, in either of the two headers.
pub(super) fn own_token(head: &Head) -> Result<TokenText, TokenError> {
    let bearer = head.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
    TokenText::parse(head.header("x-vault-token").or(bearer).unwrap_or_default())
}
