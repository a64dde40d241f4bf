//! The doors: TLS on the wire, one service behind it, three dialects.
//!
//! Every connection is ours from accept to drain, so that time, number and size of everything that a stranger may send
//! is bounded here. A request becomes a [`request::Request`] and goes through [`route`]; whatever comes back as a
//! refusal goes through [`refusal`], which alone decides what the caller sees.

mod audit_log;
mod caller;
mod connection;
mod explain;
mod keys;
mod limit;
mod native;
mod refusal;
mod reply;
mod request;
mod route;
mod vault;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use warp::Filter as _;

use crate::audit::Refusals;
use crate::auth::OidcKeys;
use crate::core::Phase;
use crate::grant::Challenges;
use crate::tokens;
use connection::Peer;
use limit::{Attempts, Shares};

/// What requests share beside the core.
pub(crate) struct Services {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) challenges: Challenges,
    pub(crate) attempts: Attempts,
    pub(crate) refusals: Refusals,
    pub(crate) oidc: OidcKeys,
    /// Bounds how many requests one address has under way.
    pub(crate) shares: Shares,
    /// Bounds what request bodies take of the memory.
    pub(crate) bodies: Semaphore,
    /// Bounds how many requests are worked on, once their bodies are read.
    pub(crate) turns: Semaphore,
}

/// Answers on `listener` until `shutdown`, then drains: requests under way are answered, no new one is taken.
///
/// Only the evidence door and the health pages answer while the phase is [`Phase::Unconfirmed`].
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    phase: watch::Receiver<Phase>,
    oidc: OidcKeys,
    shutdown: impl Future<Output = ()>,
) {
    let services = Arc::new(Services {
        phase,
        challenges: Challenges::default(),
        attempts: Attempts::default(),
        refusals: Refusals::default(),
        oidc,
        shares: Shares::new(MOST_OF_ONE),
        bodies: Semaphore::new(MOST_BODIES),
        turns: Semaphore::new(MOST_REQUESTS),
    });
    let service = warp::service(routes(Arc::clone(&services)));
    let acceptor = TlsAcceptor::from(connection::spoken(&tls));
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let shares = Shares::new(MOST_CONNECTIONS_OF_ONE);
    let graceful = GracefulShutdown::new();
    let chores = tokio::spawn(chores(Arc::clone(&services)));

    tokio::pin!(shutdown);
    loop {
        // The slot comes first: beyond the cap connections wait in the kernel.
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            (slot, accepted) = accept => match accepted {
                Ok((socket, address)) => {
                    // Closed at once, or those of one address would keep all others waiting.
                    let Ok(share) = shares.of(address).try_acquire_owned() else { continue };
                    let (acceptor, service) = (acceptor.clone(), service.clone());
                    let watcher = graceful.watcher();
                    drop(tokio::spawn(async move {
                        connection::serve(socket, address, acceptor, service, watcher).await;
                        drop((share, slot));
                    }));
                }
                // Out of file handles, most likely: the next one would fail at once too.
                Err(_) => tokio::time::sleep(BREATHER).await,
            },
        }
    }
    drop(listener);
    drop(tokio::time::timeout(DRAIN, graceful.shutdown()).await);
    chores.abort();
    let core = route::core_of(&services.phase.borrow());
    if let Some(summary) = services.refusals.rest()
        && summary.append(&core.store, core.now()).await.is_err()
    {
        tracing::warn!("the last summary of refusals is not recorded");
    }
}

fn routes(
    services: Arc<Services>,
) -> impl warp::Filter<Extract = (reply::Response,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || Arc::clone(&services))
        .and(warp::ext::get::<Peer>())
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            |services: Arc<Services>,
             peer,
             method,
             path: warp::path::FullPath,
             query,
             headers,
             body| async move {
                let head =
                    request::Head { peer, method, path: path.as_str().to_owned(), query, headers };
                let share = services.shares.of(head.peer.address).acquire_owned().await;
                // A caller who hangs up must not escape the audit log, so the rest is done without it too.
                let answer = tokio::spawn(async move {
                    route::answer(services, head, body).await.into_response(share)
                });
                answer.await.unwrap_or_else(|_| reply::broken())
            },
        )
        .recover(|_| async { Ok::<_, Infallible>(reply::not_a_request()) })
        .unify()
}

/// What is done once a minute: summaries of refusals, and the removal of expired tokens.
async fn chores(services: Arc<Services>) {
    let mut ticks = tokio::time::interval(CHORES);
    loop {
        ticks.tick().await;
        let core = route::core_of(&services.phase.borrow());
        let now = core.now();
        if let Some(summary) = services.refusals.due(now)
            && summary.append(&core.store, now).await.is_err()
        {
            tracing::warn!("a summary of refusals is not recorded");
        }
        if tokens::sweep(&core.store, now).await.is_err() {
            tracing::warn!("expired tokens are not removed");
        }
    }
}

const MOST_CONNECTIONS: usize = 1024;
const MOST_CONNECTIONS_OF_ONE: usize = 64;
/// Requests under way of one address; more wait for these.
const MOST_OF_ONE: usize = 16;
/// Those of strangers have at most 192 KiB.
const MOST_BODIES: usize = 512;
const MOST_REQUESTS: usize = 64;
const BREATHER: Duration = Duration::from_millis(50);
const DRAIN: Duration = Duration::from_secs(15);
const CHORES: Duration = Duration::from_secs(60);
