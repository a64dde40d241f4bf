//! Killed anywhere, run again: the same healthy deployment, with one master key and no lost share.
//!
//! CI tries a sample of the places; `cargo xtask ci --exhaustive` tries every request of the
//! initial deployment.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use e2e::cloud::Verb;
use e2e::deployment::Deployment;
use e2e::owner::{self, VAULT_ADMINISTRATOR};
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

/// What must hold after any number of interrupted deploys and one that went through.
fn healthy(deployment: &Deployment) -> anyhow::Result<()> {
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    deployment.provisioner("verify", &[])?.well()?;
    owner::grant(deployment.cloud(), VAULT_ADMINISTRATOR)?;
    let token = owner::token(deployment.cloud(), "https://vault.azure.net")?;
    let ask = |path: &str| {
        let url = format!("https://vouchsafe-dev.vault.azure.net/{path}?api-version=7.4");
        owner::call(deployment.cloud(), &token, "GET", &url, &Value::Null)
    };
    let keys = ask("keys")?;
    let keys = keys.get("value").and_then(Value::as_array).context("keys")?;
    ensure!(keys.len() == 1, "one master key: {keys:?}");
    let name = keys
        .first()
        .and_then(|key| key.get("kid")?.as_str()?.rsplit('/').next())
        .context("name")?;
    let versions = ask(&format!("keys/{name}/versions"))?;
    let versions = versions.get("value").and_then(Value::as_array).context("versions")?;
    ensure!(versions.len() == 1, "one version of it: {versions:?}");
    Ok(())
}

/// How many requests an undisturbed initial deployment makes.
fn requests() -> anyhow::Result<u64> {
    let deployment = Deployment::new()?;
    deployment.cloud().control(Verb::Delete, "/counts", &Value::Null)?;
    deployment.deploy()?.well()?;
    let counts = deployment.cloud().control(Verb::Get, "/counts", &Value::Null)?;
    let counts = counts.as_object().context("counts")?;
    Ok(counts.values().filter_map(|count| count.get("calls")?.as_u64()).sum())
}

#[test]
fn a_provisioner_killed_after_any_request_is_finished_by_the_next() -> anyhow::Result<()> {
    let all = requests()?;
    let exhaustive = std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some();
    // The first lies between the making of the store's container and of the role on it.
    let sample = [40, all / 2, all * 4 / 5];
    let places: Vec<u64> = if exhaustive { (1..=all).collect() } else { sample.to_vec() };
    for nth in places {
        let deployment = Deployment::new()?;
        let killed = deploy_killed_after(&deployment, nth)?;
        // The last requests of a deployment may be the server's, after the provisioner is done.
        ensure!(killed || nth + 20 > all, "not killed at request {nth} of {all}");
        healthy(&deployment).with_context(|| format!("killed after request {nth} of {all}"))?;
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
    let exhaustive = std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some();
    for (family, method, path, nth) in steps.into_iter().take(if exhaustive { 10 } else { 3 }) {
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
    healthy(&deployment)
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
    healthy(&deployment)
}
