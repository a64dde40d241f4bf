//! Killed anywhere, run again: the same healthy deployment, with one master key and no lost share.
//!
//! One initial deployment is recorded: the states of cloud and provisioner after each of its requests. From a seeded sample
//! of them CI goes on, `cargo xtask ci --exhaustive` from all. In a second test only the provisioner dies.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use e2e::attacker::{Attacker, GROUP};
use e2e::cloud::Verb;
use e2e::deployment::Deployment;
use e2e::saved::{FIRST_COMMIT, Saved};
use serde_json::{Value, json};

/// Deploys, and kills the provisioner just after the `nth` request that the cloud answers.
/// Whether it was still alive then.
fn deploy_killed_after(deployment: &Deployment, nth: u64) -> anyhow::Result<bool> {
    // The shell tells its pid before it becomes the provisioner, so the fault can name it.
    let provisioner = e2e::programs::find("vouchsafe-provisioner")?;
    let command = deployment.command("vouchsafe-provisioner")?;
    let mut shell = std::process::Command::new("/bin/sh");
    shell
        .args(["-c", "read go; exec \"$0\" deploy \"$1\" --yes"])
        .arg(provisioner)
        .arg(deployment.manifest());
    shell
        .current_dir(deployment.folder())
        .env_clear()
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let mut child =
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let fault = json!({"nth": nth, "action": {"kind": "kill-client", "pid": child.id()}});
    deployment.cloud().control(Verb::Put, "/faults", &json!([fault]))?;
    child.stdin.take().context("stdin")?.write_all(b"go\n")?;
    let status = child.wait()?;
    deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;
    Ok(status.code().is_none())
}

/// What an undisturbed deployment leaves behind, by its names.
#[derive(Debug, PartialEq, Eq)]
struct Remains {
    resources: BTreeSet<String>,
    roles: usize,
    secrets: BTreeSet<String>,
    blobs: BTreeSet<String>,
}

/// Looks at all that is there. Names that hold a store's identity are told without it; what belongs to another store than
/// the deployment's is told as `stray`.
fn remains(deployment: &Deployment, attacker: &Attacker<'_>) -> anyhow::Result<Remains> {
    let lock = std::fs::read_to_string(deployment.state().join("lock.toml"))?;
    let identity = lock
        .split_once("identity = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(identity, _)| identity)
        .context("the lock names the store")?;
    let short = identity.get(..16).context("an identity")?;
    let told = |name: String| {
        let plain = name.replace(identity, "ID").replace(short, "ID");
        let own = plain != name;
        let of_a_store = ["unseal-", "anchor-", "recovery/"].iter().any(|p| name.starts_with(p));
        if of_a_store && !own { format!("stray {name}") } else { plain }
    };
    let texts = |value: &Value| -> BTreeSet<String> {
        let list = value.get("value").and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|item| Some(item.get("id")?.as_str()?.to_lowercase())).collect()
    };
    let none = &Value::Null;
    let listed = attacker.arm("GET", &format!("{GROUP}/resources"), "2021-04-01", none)?;
    let roles = format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments");
    let roles = texts(&attacker.arm("GET", &roles, "2022-04-01", none)?);
    let group = GROUP.to_lowercase();
    Ok(Remains {
        resources: texts(&listed),
        roles: roles.iter().filter(|id| id.starts_with(&group)).count(),
        secrets: attacker.names("secrets")?.into_iter().map(told).collect(),
        blobs: attacker.blobs()?.into_iter().map(told).filter(|name| !is_log(name)).collect(),
    })
}

/// How many commits there are depends on how often a server started.
fn is_log(name: &str) -> bool {
    name.starts_with("log/")
}

/// What must hold after any number of interrupted deploys and one that went through.
fn healthy(deployment: &Deployment) -> anyhow::Result<Remains> {
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    // A deploy that had nothing left to do does not wait for a server that starts again by itself.
    let attacker = Attacker::new(deployment.cloud())?;
    attacker.serves()?;
    deployment.provisioner("verify", &[])?.well()?;
    let (name, _) = attacker.master_key()?;
    let versions = attacker.list(&format!("keys/{name}/versions"))?;
    ensure!(versions.len() == 1, "one version of it: {versions:?}");
    ensure!(attacker.names("deletedkeys")?.is_empty(), "no deleted key");
    remains(deployment, &attacker)
}

/// The shares open the store: a server that starts anew serves, and what it serves is what was served.
fn opens_again(deployment: &Deployment) -> anyhow::Result<()> {
    Attacker::new(deployment.cloud())?.restart()?;
    Attacker::new(deployment.cloud())?.serves()?;
    deployment.provisioner("verify", &[])?.well().map(drop)
}

/// A few numbers below `all`, always the same for the same seed.
fn sample(seed: u64, count: usize, all: usize) -> Vec<usize> {
    let mut state = seed;
    let next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let all = u64::try_from(all).unwrap_or(u64::MAX).max(1);
        usize::try_from((z ^ (z >> 31)) % all).unwrap_or(0)
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn exhaustive() -> bool {
    std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some()
}

/// Other places than CI's are tried with another number in `VOUCHSAFE_SEED`.
fn seed() -> u64 {
    std::env::var("VOUCHSAFE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn everything_killed_after_any_request_is_finished_by_the_next_deploy() -> anyhow::Result<()> {
    let mut deployment = Deployment::new()?;
    let saved = deployment.deploy_saving()?;
    let undisturbed = healthy(&deployment)?;
    let odd = |set: &BTreeSet<String>| set.iter().any(|name| name.starts_with("stray"));
    ensure!(!odd(&undisturbed.secrets) && !odd(&undisturbed.blobs), "{undisturbed:?}");
    // Where it was hardest: the store's container without the role on it, the key without the bundle that names it, the
    // store without the bundle that names it.
    let hard = [
        "arm PUT */containers/vouchsafe ",
        "keyvault POST /keys/*/create 200",
        "blob PUT */log/*1 201",
    ];
    let fits = |call: &str, pattern: &str| {
        let mut rest = call;
        pattern.split('*').all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    };
    let places: Vec<Saved> = if exhaustive() {
        let from = std::env::var("VOUCHSAFE_FROM").ok().and_then(|text| text.parse().ok());
        saved.iter().skip(from.unwrap_or(0)).cloned().collect()
    } else {
        let named = hard.iter().filter_map(|pattern| saved.iter().find(|s| fits(&s.call, pattern)));
        let named: Vec<Saved> = named.cloned().collect();
        ensure!(named.len() == hard.len(), "not all of {hard:?} were called");
        let random = sample(seed(), 3, saved.len());
        named.into_iter().chain(random.iter().filter_map(|at| saved.get(*at).cloned())).collect()
    };
    let mut faults = Vec::new();
    for place in &places {
        let begun = std::time::Instant::now();
        let outcome = continued(&mut deployment, place, &undisturbed);
        let what = format!("after request {} of {}, {}", place.number, saved.len(), place.call);
        match outcome {
            Ok(()) => tell(&format!("healthy in {} ms {what}", begun.elapsed().as_millis()))?,
            Err(fault) => {
                tell(&format!("FAULT {what}: {fault:?}"))?;
                faults.push(what);
            }
        }
    }
    ensure!(faults.is_empty(), "{} of {} places: {faults:#?}", faults.len(), places.len());
    Ok(())
}

/// A long run shows where it is.
fn tell(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "{line}")
}

/// Goes on from a saved state to the same healthy deployment.
fn continued(
    deployment: &mut Deployment,
    place: &Saved,
    undisturbed: &Remains,
) -> anyhow::Result<()> {
    let born = place.first_commit()?;
    deployment.go_back(place)?;
    let mut ended = healthy(deployment)?;
    let attacker = Attacker::new(deployment.cloud())?;
    if let Some(born) = &born {
        ensure!(attacker.blob_bytes(FIRST_COMMIT)? == *born, "the store that was born is lost");
    } else {
        // Shares of a birth that was cut off count for nothing, and a server has no right to delete them.
        let (five, two) = (5, 2);
        let strays =
            |set: &BTreeSet<String>| set.iter().filter(|name| name.starts_with("stray")).count();
        ensure!(strays(&ended.secrets) <= five && strays(&ended.blobs) <= two, "{ended:?}");
        let own = |name: &String| !name.starts_with("stray");
        ended.secrets.retain(own);
        ended.blobs.retain(own);
    }
    ensure!(ended == *undisturbed, "left {ended:?}, expected {undisturbed:?}");
    drop(attacker);
    opens_again(deployment)
}

/// Here the server lives on, and what the cloud does in the background goes on.
#[test]
fn a_provisioner_killed_after_a_request_is_finished_by_the_next() -> anyhow::Result<()> {
    let count = if exhaustive() { 6 } else { 1 };
    // An undisturbed deployment makes at least so many.
    let all = 100;
    for nth in std::iter::once(40).chain(sample(seed(), count, all).into_iter().map(|n| n + 1)) {
        let deployment = Deployment::new()?;
        let killed = deploy_killed_after(&deployment, u64::try_from(nth)?)?;
        ensure!(killed, "not killed at request {nth}");
        healthy(&deployment).with_context(|| format!("killed after request {nth}"))?;
    }
    Ok(())
}

#[test]
fn a_server_killed_at_any_step_of_birth_leaves_nothing_or_a_store_that_opens() -> anyhow::Result<()>
{
    let steps = [
        ("keyvault", "PUT", "/secrets/unseal-*", 3),
        ("blob", "PUT", "*/log/*", 1),
        ("keyvault", "PUT", "/secrets/anchor-*", 1),
        ("keyvault", "POST", "/keys/*/release", 1),
        ("keyvault", "PUT", "/secrets/unseal-*", 1),
        ("keyvault", "PUT", "/secrets/unseal-*", 5),
        ("blob", "PUT", "*/recovery/*", 1),
        ("blob", "PUT", "*/recovery/*", 2),
        ("blob", "PUT", "*/log/*", 2),
        ("keyvault", "PATCH", "/secrets/anchor-*", 1),
    ];
    for (family, method, path, nth) in steps.into_iter().take(if exhaustive() { 10 } else { 3 }) {
        let place = format!("{method} {path}, call {nth}");
        let deployment = Deployment::new()?;
        let fault = json!({"family": family, "method": method, "path": path, "nth": nth, "action": {"kind": "kill-containers"}});
        deployment.cloud().control(Verb::Put, "/faults", &json!([fault]))?;
        // The platform starts the server again, so the same deploy may already succeed.
        deployment.deploy()?;
        let log = deployment.cloud().log()?;
        ensure!(log.contains("containers killed"), "not killed at {place}");
        deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;
        healthy(&deployment).with_context(|| place.clone())?;
        let vault = e2e::vault::Vault::new(&deployment.operator()?)?;
        vault.write("demo/db-password", "alive")?;
        ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "alive", "{place}");
    }
    Ok(())
}

#[test]
fn a_lost_answer_to_the_creation_of_the_master_key_makes_no_second_one() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let fault = json!({"family": "keyvault", "method": "POST", "path": "/keys/*/create", "nth": 2, "action": {"kind": "lose-response"}});
    deployment.cloud().control(Verb::Put, "/faults", &json!([fault]))?;
    deployment.deploy()?;
    healthy(&deployment).map(drop)
}

#[test]
fn throttling_and_failures_are_waited_out() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let faults = json!([
        {"family": "arm", "method": "PUT", "nth": 2, "action": {"kind": "throttle", "retry_after": 1}},
        {"family": "keyvault", "method": "GET", "nth": 2, "action": {"kind": "status", "status": 500}},
        {"family": "maa", "nth": 1, "action": {"kind": "status", "status": 503}},
        {"family": "blob", "nth": 2, "action": {"kind": "cut"}},
    ]);
    deployment.cloud().control(Verb::Put, "/faults", &faults)?;
    deployment.deploy()?.well()?;
    deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;
    healthy(&deployment).map(drop)
}
