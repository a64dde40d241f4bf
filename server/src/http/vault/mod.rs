//! `/v1/`: what Vault's clients speak. What is not implemented is refused, never ignored.

mod describe;
mod kv;
mod login;
mod sys;
mod token;

use manifest::SecretPath;

use super::caller::authenticate;
use super::keys;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::{Head, Request, Verb};
use super::route::Context;
use crate::audit::Draft;
use crate::kv::MOUNT;

pub(super) async fn answer(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    path: &[&str],
) -> Result<Reply, Refusal> {
    refuse_what_is_not_done(&request.head)?;
    let verb = request.head.verb();
    match (verb, path) {
        (Verb::Read, ["sys", "health"]) => sys::health(context, &request.head),
        (Verb::Read, ["sys", "seal-status"]) => sys::seal_status(context),
        (Verb::Read, ["sys", "leader"]) => sys::leader(),
        (Verb::Read, ["sys", "init"]) => sys::init(),
        (Verb::Write, ["auth", "jwt", "login"]) => login::jwt(context, draft, request).await,
        (Verb::Write, ["auth", "attest", "challenge"]) => login::challenge(context, draft, request),
        (Verb::Write, ["auth", "attest", "login"]) => login::attest(context, draft, request).await,
        (_, ["auth", "cert", ..]) => Err(Refusal::not_supported(
            "login by certificate is not supported; use auth/jwt, or auth/attest for workloads",
        )),
        (_, ["sys", "wrapping", ..]) => {
            Err(Refusal::not_supported("response wrapping is not supported"))
        }
        (_, ["sys", "rekey" | "rekey-recovery-key" | "generate-root", ..]) => {
            Err(Refusal::not_supported(
                "nobody hands in shares: an operator who may rotate asks POST /vouchsafe/v1/rekey, as `cargo xtask rekey` does",
            ))
        }
        (Verb::Write, ["sys", "init" | "unseal" | "seal"]) => Err(Refusal::not_supported(
            "the server unseals itself by its evidence; no request seals or unseals it",
        )),
        (_, ["auth", "token", ..] | ["sys", ..] | [MOUNT, ..]) => {
            known(context, draft, request, path).await
        }
        (Verb::Read | Verb::List, ["auth", ..]) => Err(Refusal::unsupported_path()),
        (_, ["auth", _, ..]) => Err(Refusal::owned_by_manifest()),
        _ => Err(Refusal::unsupported_path()),
    }
}

/// What only a holder of a token may ask.
async fn known(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    path: &[&str],
) -> Result<Reply, Refusal> {
    let token = authenticate(context, draft, request)?;
    let verb = request.head.verb();
    match path {
        ["auth", "token", path @ ..] => token::answer(context, draft, request, token, path).await,
        ["sys", "rotate"] if verb == Verb::Write => {
            keys::rotate(context, draft, request, &token).await
        }
        ["sys", "key-status"] if verb == Verb::Read => keys::status(context, &token),
        ["sys", path @ ..] => sys::answer(context, request, &token, path),
        [_, path @ ..] => kv::answer(context, draft, request, &token, path).await,
        [] => Err(Refusal::unsupported_path()),
    }
}

fn refuse_what_is_not_done(head: &Head) -> Result<(), Refusal> {
    if head.headers.contains_key("x-vault-wrap-ttl") {
        return Err(Refusal::not_supported("response wrapping is not supported"));
    }
    match head.headers.get("x-vault-namespace").map(http::HeaderValue::as_bytes) {
        None | Some(b"" | b"/" | b"root" | b"root/") => Ok(()),
        Some(_) => Err(Refusal::not_supported("there are no namespaces but the root")),
    }
}

/// A path of the key-value store, of what is left of a request's path.
fn secret_path(path: &[&str]) -> Result<SecretPath, Refusal> {
    path.join("/").parse().map_err(|_| {
        Refusal::malformed("a secret's path has letters, digits and . _ - parted by single slashes")
    })
}
