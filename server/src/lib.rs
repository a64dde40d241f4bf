//! The secret server: gets the master key with its own evidence, opens its store, and hands each
//! workload just what the manifest grants it.
//!
//! It trusts its own measured image, the trust root in its environment (which the CCE policy fixes
//! to the letter), AMD's hardware, and what the trust root's signers signed. It believes nothing
//! that Azure's control plane, Key Vault, storage or the network say until one of these has
//! vouched for it.

pub mod audit;
pub mod auth;
pub mod boot;
pub mod clock;
pub mod core;
pub mod environment;
pub mod follow;
pub mod grant;
pub mod http;
pub mod kv;
mod renew;
pub mod revocation;
pub mod shares;
pub mod tokens;
pub mod vault;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::auth::OidcKeys;
use crate::boot::Booted;
use crate::core::Phase;
use crate::environment::Environment;
use crate::follow::Follower;
use crate::revocation::Refresher;

/// Boots and serves until the process is told to end; what is acknowledged is anchored before it
/// does.
///
/// # Errors
/// Whatever keeps the server from serving.
pub async fn run() -> anyhow::Result<()> {
    let environment = Environment::of_process()?;
    let address = environment.listen;
    let endpoints = environment.endpoints.clone();
    let identity_providers = OidcKeys::new(environment.endpoints.http().clone());
    let Booted { phase, tls } = boot::boot(environment).await.context("boot")?;
    let core = match &phase {
        Phase::Unconfirmed(core) => {
            tracing::info!(step = "unconfirmed", "waiting for a bundle that names this store");
            core.clone()
        }
        Phase::Serving(core) => {
            tracing::info!(step = "serving", "the bundle names this store");
            core.clone()
        }
    };
    let (phase, doors) = watch::channel(phase);
    let (stop, stopped) = watch::channel(false);
    let mut refresher = Refresher::new(Arc::clone(&core), endpoints);
    refresher.first().await;
    let refresher = tokio::spawn(refresher.run(stopped.clone()));
    let (rekeyed, gone) = oneshot::channel();
    let follower = tokio::spawn(Follower::new(core, phase, rekeyed)?.run(stopped));

    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut generation = None;
    let ended = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Ok(current) = gone => generation = Some(current),
        }
    };
    http::serve(listener, tls, doors, identity_providers, ended).await;
    // The follower anchors last, when nothing can be acknowledged any more.
    stop.send_replace(true);
    follower.await.context("following the documents")?;
    refresher.await.context("renewing the revocation lists")?;
    // The container is started again, and the next process has the shares of that generation.
    if let Some(generation) = generation {
        anyhow::bail!("the store was rekeyed to generation {generation} by another server");
    }
    Ok(())
}
