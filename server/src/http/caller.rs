//! Whose token a request carries.

use super::refusal::Refusal;
use super::request::Request;
use super::route::Context;
use crate::audit::Draft;
use crate::tokens::{self, Authenticated, TokenError, TokenText};

/// Whose request this is. A token that does not hold costs an attempt.
pub(super) fn authenticate(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Authenticated, Refusal> {
    let found = own_token(request).and_then(|text| {
        let Context { core, in_force, .. } = context;
        tokens::authenticate(&core.store, &in_force.manifest, &text, draft.time())
    });
    match found {
        Ok(token) => {
            draft.caller = Some(token.holder().caller());
            draft.accessor = Some(token.accessor().to_string());
            Ok(token)
        }
        Err(error) => {
            let _attempt = context.attempt(request)?;
            Err(error.into())
        }
    }
}

/// The token that a request carries, in either of the two headers.
pub(super) fn own_token(request: &Request) -> Result<TokenText, TokenError> {
    let head = &request.head;
    let bearer = head.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
    TokenText::parse(head.header("x-vault-token").or(bearer).unwrap_or_default())
}
