//! From a request to an answer: the phase, the door, the record of a refusal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures::Stream;
use protocol::attest::RefusalCode;
use tokio::time::Instant;

use super::refusal::Refusal;
use super::reply::Reply;
use super::request::{Head, Request, Verb};
use super::{Services, caller, native, vault};
use crate::audit::{Door, Draft, Notice, RequestId};
use crate::core::{Core, InForce, Phase};

/// What one request works with, from start to end.
pub(crate) struct Context {
    pub(crate) core: Arc<Core>,
    /// The documents that the request started with.
    pub(crate) in_force: Arc<InForce>,
    pub(crate) services: Arc<Services>,
    pub(crate) id: RequestId,
    pub(crate) standing: Standing,
}

/// Whether a signer has confirmed the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Unconfirmed,
    Serving,
}

/// The core, in whichever phase.
pub(super) fn core_of(phase: &Phase) -> Arc<Core> {
    match phase {
        Phase::Unconfirmed(core) | Phase::Serving(core) => Arc::clone(core),
    }
}

/// Answers a request, whatever it is.
pub(super) async fn answer<B: Buf, E>(
    services: Arc<Services>,
    head: Head,
    body: impl Stream<Item = Result<B, E>>,
) -> Reply {
    let (core, standing) = match &*services.phase.borrow() {
        Phase::Unconfirmed(core) => (Arc::clone(core), Standing::Unconfirmed),
        Phase::Serving(core) => (Arc::clone(core), Standing::Serving),
    };
    let id = RequestId::fresh(core.rng());
    let door = match head.path.strip_prefix("/v1/") {
        Some(_) => Door::Vault,
        None => Door::Vouchsafe,
    };
    let mut draft = Draft::new(core.now(), id, door);
    let context = Context { in_force: core.in_force(), core, services, id, standing };
    match handle(&context, &mut draft, head, body).await {
        Ok(reply) => {
            tracing::debug!(request_id = %id, code = "ok");
            reply
        }
        Err(refusal) => {
            tracing::info!(request_id = %id, code = refusal.code().code());
            record(&context, &draft, &refusal).await;
            refusal.reply(door, id)
        }
    }
}

async fn handle<B: Buf, E>(
    context: &Context,
    draft: &mut Draft,
    head: Head,
    body: impl Stream<Item = Result<B, E>>,
) -> Result<Reply, Refusal> {
    let open_door = matches!(
        (head.verb(), head.segments().as_slice()),
        (Verb::Write, ["vouchsafe", "v1", "evidence"])
            | (Verb::Read, ["vouchsafe", "v1", "health"])
            | (Verb::Read, ["v1", "sys", "health" | "seal-status"])
    );
    if context.standing == Standing::Unconfirmed && !open_door {
        return Err(Refusal::sealed());
    }
    let known = caller::is_known(context, draft, &head);
    if costs_an_attempt(&head, known) {
        context.services.attempts.take(head.peer.address, Instant::now())?;
    }
    let most = match head.segments().as_slice() {
        ["v1", crate::kv::MOUNT, ..] if known => LONGEST_SECRET,
        _ => LONGEST,
    };
    let _room = context.services.bodies.acquire().await;
    let request = Request::read(head, body, most).await?;
    // Only now: whoever sends a body slowly shall keep nobody else from being answered.
    let _turn = context.services.turns.acquire().await;
    let segments = request.head.segments();
    match segments.as_slice() {
        ["vouchsafe", "v1", path @ ..] => native::answer(context, draft, &request, path).await,
        ["v1", path @ ..] => vault::answer(context, draft, &request, path).await,
        _ => Err(Refusal::unsupported_path()),
    }
}

/// Whether this is an attempt of a stranger: all that strangers may ask but what costs us nothing, and
/// what others ask without a token that holds.
fn costs_an_attempt(head: &Head, known: bool) -> bool {
    match (head.verb(), head.segments().as_slice()) {
        (Verb::Read, ["vouchsafe", "v1", "health"])
        | (Verb::Read, ["v1", "sys", "health" | "seal-status" | "leader" | "init"]) => false,
        (_, ["vouchsafe", "v1", "evidence" | "challenge" | "attest"])
        | (_, ["v1", "auth", "jwt" | "attest", ..]) => true,
        _ => !known,
    }
}

/// Puts a refusal on record; one of a caller that nobody knows perhaps only by number.
///
/// The caller is refused in any case, so a storage that does not answer delays it no longer than this.
async fn record(context: &Context, draft: &Draft, refusal: &Refusal) {
    if refusal.code() == RefusalCode::Sealed {
        return;
    }
    let most = context.in_force.manifest.audit().refusals_per_minute;
    let known = draft.caller.is_some() && draft.evidence.is_none();
    let write = async {
        let store = &context.core.store;
        let (notice, summary) = match known {
            true => (Notice::Recorded, None),
            false => context.services.refusals.notice(draft.time(), most, refusal.code()),
        };
        if let Some(summary) = summary {
            summary.append(store, draft.time()).await?;
        }
        match notice {
            Notice::Recorded => draft.refused(store, &refusal.reason()).await,
            Notice::Counted => Ok(()),
        }
    };
    if !matches!(tokio::time::timeout(PATIENCE, write).await, Ok(Ok(()))) {
        tracing::warn!(request_id = %context.id, "the refusal is not recorded");
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
/// Evidence takes about 40 KB.
const LONGEST: usize = 192 << 10;
/// The largest value that the store takes.
const LONGEST_SECRET: usize = 1 << 20;
