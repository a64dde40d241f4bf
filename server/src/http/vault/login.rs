//! `auth/jwt` for operators, `auth/attest` for workloads.

use protocol::grant::SecretText;
use serde::Deserialize;

use super::describe::AuthBlock;
use crate::audit::Draft;
use crate::auth::{self, Login};
use crate::grant::{decide, release};
use crate::http::native;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::http::request::Request;
use crate::http::route::Context;
use crate::tokens::{self, Holder, Lifetime};

pub(super) async fn jwt(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Reply, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        role: String,
        jwt: SecretText,
    }
    draft.operation = "login-jwt";
    let asked: Asked = request.json()?;
    let Context { core, in_force, services, .. } = context;
    let manifest = &in_force.manifest;
    let attempt = Login { role: &asked.role, jwt: &asked.jwt };
    let who = auth::login(manifest, &services.oidc, &attempt, core.now()).await?;

    let holder = Holder::Operator(who.name().as_str().to_owned());
    draft.caller = Some(holder.caller());
    let lifetime = Lifetime::operator(who.operator());
    let token = tokens::make(manifest, holder, lifetime, draft.time(), core.rng())?;
    draft.accessor = Some(token.accessor().to_string());
    let released = release(&core.store, decide::for_login(token), draft).await?;
    let (text, about) = released.token.ok_or_else(|| Refusal::unavailable("no token"))?;
    Reply::auth(context.id, &AuthBlock::new(Some(text), &about, draft.time()))
}

pub(super) fn challenge(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Reply, Refusal> {
    draft.operation = "challenge";
    Reply::data(context.id, &native::challenge(context, request)?)
}

/// The token is inside the sealed answer: who broke TLS still gets none.
pub(super) async fn attest(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Reply, Refusal> {
    draft.operation = "attest";
    Reply::data(context.id, &native::attest(context, draft, request).await?)
}
