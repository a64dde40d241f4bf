//! `/vouchsafe/v1/`: the server's evidence, and one-shot attest and fetch, and why a request was refused.

use http::StatusCode;
use protocol::attest::{AttestRequest, ChallengeAnswer};
use protocol::grant::Sealed;
use protocol::server_evidence::EvidenceRequest;
use serde::{Deserialize, Serialize};

use super::audit_log;
use super::explain;
use super::keys;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::{Request, Verb};
use super::route::{Context, Standing};
use crate::audit::Draft;
use crate::grant::{self, LIFETIME};
use crate::tokens::seconds;

pub(super) async fn answer(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    path: &[&str],
) -> Result<Reply, Refusal> {
    match (request.head.verb(), path) {
        (Verb::Read, ["health"]) => health(context),
        (Verb::Write, ["evidence"]) => {
            draft.operation = "server-evidence";
            evidence(context, request)
        }
        (Verb::Write, ["challenge"]) => {
            draft.operation = "challenge";
            Reply::json(StatusCode::OK, &challenge(context, request)?)
        }
        (Verb::Write, ["attest"]) => {
            draft.operation = "attest";
            Reply::json(StatusCode::OK, &attest(context, draft, request).await?)
        }
        (Verb::Read, ["refusals", id]) => {
            draft.operation = "explain";
            explain::answer(context, draft, request, id).await
        }
        (Verb::Read, ["audit"]) => {
            draft.operation = "audit";
            audit_log::answer(context, draft, request).await
        }
        (Verb::Write, ["rotate"]) => keys::rotate_native(context, draft, request).await,
        (Verb::Write, ["rekey"]) => {
            draft.operation = "rekey";
            keys::rekey(context, draft, request).await
        }
        (
            _,
            ["health" | "evidence" | "challenge" | "attest" | "audit" | "rotate" | "rekey"]
            | ["refusals", _],
        ) => Err(Refusal::not_supported("another method")),
        _ => Err(Refusal::unsupported_path()),
    }
}

fn health(context: &Context) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Health {
        version: u8,
        state: &'static str,
    }
    let state = match context.standing {
        Standing::Unconfirmed => "unconfirmed",
        Standing::Serving => "serving",
    };
    Reply::json(StatusCode::OK, &Health { version: 1, state })
}

fn evidence(context: &Context, request: &Request) -> Result<Reply, Refusal> {
    let asked: EvidenceRequest = request.json()?;
    if asked.version != 1 {
        return Err(Refusal::malformed("version"));
    }
    let proof = context.core.prove(asked.nonce, request.head.peer.exporter);
    let proof = proof.map_err(|fault| Refusal::unavailable(crate::audit::chain(&fault)))?;
    Reply::json(StatusCode::OK, &proof)
}

/// The core of both doors' challenge.
pub(super) fn challenge(context: &Context, request: &Request) -> Result<ChallengeAnswer, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let Nothing {} = request.json()?;
    let core = &context.core;
    let challenge = context.services.challenges.issue(core.rng(), core.now())?;
    Ok(ChallengeAnswer { version: 1, challenge, expires_in: seconds(LIFETIME) })
}

/// The core of both doors' login by evidence.
pub(super) async fn attest(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
) -> Result<Sealed, Refusal> {
    let asked: AttestRequest = request.json()?;
    let Context { core, in_force, services, .. } = context;
    Ok(grant::attest(core, in_force, &services.challenges, &asked, draft).await?)
}
