//! `rotate` and `rekey`: the running server renews the store's keys, asked by an operator who may `rotate`.
//!
//! The server does it and nobody else could: this program asks on a connection on which the server has proved itself, and
//! sees no key and no share. A run that was cut off is run again; what the server had not put in force counts for nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Scene, env, print};
use crate::cli::Env;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// What the server answers to `/vouchsafe/v1/rotate`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotated {
    version: u8,
    term: u32,
    at: Timestamp,
}

/// What the server answers to `/vouchsafe/v1/rekey`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rekeyed {
    version: u8,
    generation: u32,
    automatic: Vec<String>,
    automatic_threshold: u8,
    recovery: Vec<String>,
    recovery_threshold: u8,
}

pub(super) async fn rotate(options: &Env, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let done: Rotated = ask(options, clock, "rotate", "make a new barrier key").await?;
    if options.target.json {
        print(&format!("{}\n", json!(done)))?;
    } else {
        print(&format!("barrier key {} is in force since {}\n", done.term, done.at))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn rekey(options: &Env, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let what = "make a new root key and its shares";
    let done: Rekeyed = ask(options, clock, "rekey", what).await?;
    if options.target.json {
        print(&format!("{}\n", json!(done)))?;
    } else {
        let Rekeyed { generation, automatic, automatic_threshold, .. } = &done;
        let holders = done.recovery.join(", ");
        print(&format!(
            "the root key of generation {generation} is in force\n\
             automatic shares   {automatic_threshold} of {} open the store, in the vault as {}\n\
             recovery shares    {} of {} open it, held by {holders}\n\
             Back up the store now: an older copy opens with the older shares only.\n",
            automatic.len(),
            automatic.join(", "),
            done.recovery_threshold,
            done.recovery.len(),
        ))?;
    }
    Ok(Exit::Done)
}

async fn ask<A: serde::de::DeserializeOwned>(
    options: &Env,
    clock: fn() -> Timestamp,
    verb: &str,
    what: &str,
) -> Result<A, Failure> {
    let scene = Scene::set(&options.target, clock).await?;
    let (mut proven, token) = env::log_in(options, &scene).await?;
    let step = Progress::new().step(what);
    let answer = proven.ask(&token, PATIENCE, &format!("/vouchsafe/v1/{verb}")).await;
    let answer = answer.map_err(|error| {
        Failure::of(
            what.to_owned(),
            error,
            "check that the operator may \"rotate\" with paths = [\"*\"]; the audit log has the reason; then run again",
        )
    })?;
    step.done();
    serde_json::from_value(answer).map_err(|error| {
        Failure::of(
            "reading the server's answer",
            error,
            "use the version of this program that fits the server",
        )
    })
}

/// A compacted store is stored twice under the new key.
const PATIENCE: Duration = Duration::from_secs(300);
