//! `verify`: a running deployment, end to end. Azure is as the plan wants it, and the server proves what the lock says.

use evidence::Sha256;
use jiff::Timestamp;
use serde_json::json;

use super::{Scene, print};
use crate::apply::{address, expectation, prove};
use crate::cli::Target;
use crate::failure::{Exit, Failure};
use crate::plan::Outcome;
use crate::server::{Health, Proven};
use crate::show;
use crate::verify::{Check, checks};

pub(super) async fn verify(target: &Target, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(target, clock).await?;
    let local = scene.local()?;
    let (_, plan) = scene.look(&local).await?;
    let mut results = vec![match plan.outcome() {
        Outcome::NoChanges => Check::good("Azure is as the manifest says"),
        Outcome::Changes | Outcome::Refused => {
            Check::bad("Azure is as the manifest says", show::text(&plan))
        }
    }];
    let serial = local.lock.as_ref().map_or(0, |lock| lock.serial);
    let expect = expectation(&scene.deployment, &scene.rendered, serial);
    let address = address(&scene.deployment, &scene.cloud, &scene.rendered).await?;
    let proven = match address {
        Some(address) => {
            prove(address, &expect, &scene.cloud.lists, clock()).await.map_err(|error| said(&error))
        }
        None => Err("the container group has no address".to_owned()),
    };
    match proven {
        Err(why) => results.push(Check::bad("the server proves itself", why)),
        Ok(proven) => {
            results.push(Check::good("the server proves itself"));
            results.push(Check::good(match proven.unknown_revocation() {
                None => "its processor's authorities are not revoked".to_owned(),
                Some(why) => format!("the manifest permits that revocations are unknown: {why}"),
            }));
            results.extend(server(proven, &scene, &local.lock).await);
        }
    }
    let faults = results.iter().filter(|check| check.fault.is_some()).count();
    if target.json {
        let list: Vec<_> = results
            .iter()
            .map(|check| json!({ "check": check.what, "fault": check.fault }))
            .collect();
        print(&format!(
            "{}\n",
            json!({ "version": 1, "type": "verification", "faults": faults, "checks": list })
        ))?;
    } else {
        for check in &results {
            print(&check.text())?;
        }
    }
    Ok(if faults == 0 { Exit::Done } else { Exit::Drift })
}

async fn server(mut proven: Proven, scene: &Scene, lock: &Option<crate::lock::Lock>) -> Vec<Check> {
    let health = match proven.health().await {
        Ok(Health::Serving) => Check::good("the server serves"),
        Ok(Health::Not { status }) => {
            Check::bad("the server serves", format!("its health is {status}"))
        }
        Err(error) => Check::bad("the server serves", said(&error)),
    };
    let certificate = proven.chain().first().map(|der| Sha256::of(der));
    let mut results = vec![health];
    results.extend(checks(
        &proven.server,
        certificate,
        &scene.rendered,
        &scene.deployment,
        lock.as_ref(),
    ));
    results
}

fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
