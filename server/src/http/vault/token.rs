//! `auth/token`: looking up, renewing and revoking tokens.

use jiff::SignedDuration;
use manifest::Action;
use protocol::grant::SecretText;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::describe::{AuthBlock, TokenBlock};
use crate::audit::Draft;
use crate::grant::decide;
use crate::http::caller::own_token;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::http::request::{Request, Verb};
use crate::http::route::Context;
use crate::tokens::{self, Accessor, Authenticated, TokenError, TokenText};

/// The bodies of these calls; some clients send more of them than a call needs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token: Option<SecretText>,
    accessor: Option<String>,
    increment: Option<Increment>,
}

/// Seconds, as a number or as a text such as `90` or `15m`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Increment(serde_json::Value);

pub(super) async fn answer(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    caller: Authenticated,
    path: &[&str],
) -> Result<Reply, Refusal> {
    let manifest = &context.in_force.manifest;
    match (request.head.verb(), path) {
        (Verb::Read | Verb::Write, ["lookup-self"]) => {
            draft.operation = "token-lookup";
            let own = own_text(request)?;
            describe(context, draft, own, &caller).await
        }
        (Verb::Write, ["renew-self"]) => renew(context, draft, request, caller).await,
        (Verb::Write, ["revoke-self"]) => revoke(context, draft, caller).await,
        (Verb::Write, ["lookup"]) => {
            draft.operation = "token-lookup";
            let asked: Asked = request.json()?;
            decide::everywhere(manifest, &caller, Action::List)?;
            let (other, text) = other(context, draft, asked.token)?;
            describe(context, draft, text, &other).await
        }
        (Verb::Write, ["lookup-accessor"]) => {
            draft.operation = "token-lookup";
            let asked: Asked = request.json()?;
            decide::everywhere(manifest, &caller, Action::List)?;
            let other = by_accessor(context, draft, asked.accessor)?;
            describe(context, draft, SecretText::new(Zeroizing::default()), &other).await
        }
        (Verb::Write, ["revoke"]) => {
            draft.operation = "token-revoke";
            let asked: Asked = request.json()?;
            decide::everywhere(manifest, &caller, Action::Delete)?;
            let (other, _) = other(context, draft, asked.token)?;
            revoke(context, draft, other).await
        }
        (Verb::Write, ["revoke-accessor"]) => {
            draft.operation = "token-revoke";
            let asked: Asked = request.json()?;
            decide::everywhere(manifest, &caller, Action::Delete)?;
            let other = by_accessor(context, draft, asked.accessor)?;
            revoke(context, draft, other).await
        }
        (Verb::Write, ["renew"]) => Err(Refusal::not_supported(
            "a token is renewed by its holder: use auth/token/renew-self",
        )),
        (
            _,
            [
                "create" | "create-orphan" | "renew-accessor" | "revoke-orphan" | "roles"
                | "accessors" | "tidy",
                ..,
            ],
        ) => Err(Refusal::not_supported("tokens come from a login only, and are not listed")),
        (
            _,
            [
                "lookup-self" | "renew-self" | "revoke-self" | "lookup" | "renew" | "revoke"
                | "lookup-accessor" | "revoke-accessor",
            ],
        ) => Err(Refusal::not_supported("unsupported operation")),
        _ => Err(Refusal::unsupported_path()),
    }
}

/// The accessors and holders of tokens leave on record too.
async fn describe(
    context: &Context,
    draft: &Draft,
    text: SecretText,
    token: &Authenticated,
) -> Result<Reply, Refusal> {
    let now = draft.time();
    context.core.store.append_audit(now, draft.granted()?).await?;
    Reply::data(context.id, &TokenBlock::new(text, token, now))
}

async fn renew(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    caller: Authenticated,
) -> Result<Reply, Refusal> {
    draft.operation = "token-renew";
    let asked: Asked = request.json()?;
    let increment = asked.increment.map(|increment| increment.seconds()).transpose()?;
    let (about, transaction) = caller.renew(increment, draft.time())?;
    context.core.store.commit(transaction.audit(draft.granted()?)).await?;
    let block = AuthBlock::new(Some(own_text(request)?), &about, draft.time());
    Reply::auth(context.id, &block)
}

async fn revoke(
    context: &Context,
    draft: &mut Draft,
    token: Authenticated,
) -> Result<Reply, Refusal> {
    draft.operation = "token-revoke";
    let transaction = token.revoke(draft.time())?;
    context.core.store.commit(transaction.audit(draft.granted()?)).await?;
    Ok(Reply::nothing())
}

fn other(
    context: &Context,
    draft: &Draft,
    text: Option<SecretText>,
) -> Result<(Authenticated, SecretText), Refusal> {
    let text = text.ok_or_else(|| Refusal::malformed("missing token"))?;
    let parsed = TokenText::parse(text.expose_secret()).map_err(no_such)?;
    let Context { core, in_force, .. } = context;
    let token = tokens::authenticate(&core.store, &in_force.manifest, &parsed, draft.time());
    Ok((token.map_err(no_such)?, parsed.into_secret()))
}

fn by_accessor(
    context: &Context,
    draft: &Draft,
    accessor: Option<String>,
) -> Result<Authenticated, Refusal> {
    let accessor = accessor.ok_or_else(|| Refusal::malformed("missing accessor"))?;
    let accessor: Accessor = accessor.parse().map_err(no_such)?;
    let Context { core, in_force, .. } = context;
    tokens::by_accessor(&core.store, &in_force.manifest, &accessor, draft.time()).map_err(no_such)
}

/// The caller is known here, so a token that does not hold is a thing that is not there.
fn no_such(error: TokenError) -> Refusal {
    match error {
        TokenError::Malformed
        | TokenError::Unknown
        | TokenError::Expired
        | TokenError::NoHolder
        | TokenError::RulesChanged => Refusal::malformed("bad token"),
        TokenError::NotRenewable | TokenError::Record | TokenError::Randomness => error.into(),
    }
}

fn own_text(request: &Request) -> Result<SecretText, Refusal> {
    Ok(own_token(&request.head)?.into_secret())
}

impl Increment {
    fn seconds(&self) -> Result<SignedDuration, Refusal> {
        let malformed =
            || Refusal::malformed("increment is a number of seconds, or such as 90s, 15m, 1h");
        let seconds = match &self.0 {
            serde_json::Value::Number(number) => number.as_i64().ok_or_else(malformed)?,
            serde_json::Value::String(text) if text.is_empty() => 0,
            serde_json::Value::String(text) => {
                let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
                    Some(digits) if text.ends_with('m') => (digits, 60),
                    Some(digits) if text.ends_with('h') => (digits, 3600),
                    Some(digits) => (digits, 1),
                    None => (text.as_str(), 1),
                };
                let number: i64 = digits.parse().map_err(|_| malformed())?;
                number.checked_mul(unit).ok_or_else(malformed)?
            }
            serde_json::Value::Null => 0,
            serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => return Err(malformed()),
        };
        if (0..=i64::from(u32::MAX)).contains(&seconds) {
            Ok(SignedDuration::from_secs(seconds))
        } else {
            Err(malformed())
        }
    }
}
