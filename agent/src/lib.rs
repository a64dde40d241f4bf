//! Beside the application: proves the server, proves itself, and hands the secrets over.
//!
//! An agent trusts its configuration and its own machine's silicon, nothing else. It believes a
//! server only after [`Trusted::meet`]; it sends evidence only to such a server, on the connection
//! on which the server proved itself; and it starts the application only with all the secrets that
//! the configuration names. Whatever fails, the application is not started, and the caller gets a
//! reason for what the agent judged, or the server's code and request id for what the server judged.
//!
//! Secrets are kept in memory that is wiped, go to files and variables that the configuration
//! names, and appear in no argument, log or error.

use std::future::Future;
use std::time::Duration;

use aws_lc_rs::rand::SecureRandom;
use jiff::Timestamp;

pub mod audit;
pub mod config;
pub mod evidence_file;
pub mod fault;
mod files;
#[cfg(test)]
mod flow_tests;
pub mod hand_over;
mod memory;
pub mod recovery;
mod release;
pub mod revocation;

pub use config::Config;
pub use fault::{ExitStatus, Fault};
pub use files::FileError;
pub use memory::{MemoryError, Rollback};
pub use release::{AskError, Machine, MeetingError, Outlook, Released, Trusted};
pub use revocation::Lists;

/// What an agent is given by its surroundings.
#[derive(Clone, Copy)]
pub struct Surroundings<'s> {
    /// Tells the time.
    pub clock: &'s dyn Fn() -> Timestamp,
    /// Makes nonces.
    pub rng: &'s dyn SecureRandom,
    /// Has AMD's revocation lists.
    pub lists: &'s Lists,
}

/// Meets the server, waiting for one that is only unavailable as long as the configuration says.
///
/// # Errors
/// The last attempt's.
pub async fn check(config: &Config, around: Surroundings<'_>) -> Result<Trusted, Fault> {
    patiently(config.wait(), || async { Ok(Trusted::meet(config, around).await?) }).await
}

/// Meets the server and asks it for the configured secrets, waiting in the same way.
///
/// # Errors
/// The last attempt's.
pub async fn fetch(
    config: &Config,
    machine: Machine<'_>,
    around: Surroundings<'_>,
) -> Result<Released, Fault> {
    patiently(config.wait(), || async {
        let trusted = Trusted::meet(config, around).await?;
        Ok(trusted.ask(config, machine).await?)
    })
    .await
}

/// Tries again while that may help and `wait` is not over; each attempt starts from nothing.
async fn patiently<T, F>(wait: Duration, attempt: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let end = tokio::time::Instant::now() + wait;
    let mut pause = FIRST_PAUSE;
    loop {
        let fault = match attempt().await {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        let next = tokio::time::Instant::now() + pause;
        if fault.outlook() == Outlook::Lasting || next > end {
            return Err(fault);
        }
        tracing::info!(reason = %fault::chain(&fault), "trying again in {} ms", pause.as_millis());
        tokio::time::sleep_until(next).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
