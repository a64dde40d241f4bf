//! New keys of a running deployment, copies of its store, and what its holders and auditors do with them: each with the real
//! programs, from the command line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use e2e::attacker::Attacker;
use e2e::cloud::Verb;
use e2e::deployment::{Deployment, Ended};
use e2e::vault::Vault;
use serde_json::{Value, json};

fn told(ended: Ended) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(ended.well()?.stdout.trim())?)
}

fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value.get(name).and_then(Value::as_u64).with_context(|| format!("{name} in {value}"))
}

/// Boots the server again, which has only what the vault and the container hold.
fn boots_again(deployment: &Deployment, value: &str) -> anyhow::Result<Vault> {
    let attacker = Attacker::new(deployment.cloud())?;
    attacker.restart()?;
    attacker.serves()?;
    let vault = Vault::new(&deployment.operator()?)?;
    let read = vault.read("demo/db-password")?;
    ensure!(read == value, "read {read}, expected {value}");
    Ok(vault)
}

#[test]
fn keys_are_renewed_while_the_server_runs_and_open_it_at_the_next_boot() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "before")?;

    // As `vault operator rotate` does it.
    let answer = vault.call("PUT", "sys/rotate", &Value::Null)?;
    ensure!(answer.status == 204, "{answer:?}");
    let answer = vault.call("GET", "sys/key-status", &Value::Null)?;
    ensure!(answer.body.pointer("/data/term") == Some(&json!(2)), "{answer:?}");
    let installed = answer.body.pointer("/data/install_time").and_then(Value::as_str);
    ensure!(installed.is_some_and(|at| at.starts_with("20")), "{answer:?}");

    let rotated = told(deployment.provisioner("rotate", &["--json"])?)?;
    ensure!(number(&rotated, "term")? == 3, "{rotated}");
    boots_again(&deployment, "before")?;

    let rekeyed = told(deployment.provisioner("rekey", &["--json"])?)?;
    ensure!(number(&rekeyed, "generation")? == 2, "{rekeyed}");
    ensure!(rekeyed.get("recovery") == Some(&json!(["alice", "bob"])), "{rekeyed}");
    let names = rekeyed.get("automatic").and_then(Value::as_array).context("shares")?;
    let named = |name: &Value| name.as_str().is_some_and(|name| name.contains("-2-"));
    ensure!(names.len() == 5 && names.iter().all(named), "{rekeyed}");
    vault.write("demo/db-password", "after")?;
    deployment.provisioner("stop", &[])?.well()?;
    deployment.deploy()?.well()?;
    boots_again(&deployment, "after")?;
    deployment.provisioner("verify", &[])?.well()?;

    // Whoever the manifest does not let rotate is told so, and has the number of the record.
    deployment.change(", \"rotate\"]", "]")?;
    deployment.change("revision = 1", "revision = 2")?;
    deployment.deploy()?.well()?;
    let refused = deployment.provisioner("rotate", &[])?.with(1)?;
    ensure!(refused.text().contains("may \"rotate\""), "{}", refused.text());
    Ok(())
}

#[test]
fn a_server_killed_at_any_step_of_a_rekey_loses_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", "kept")?;
    let all = [
        ("keyvault", "PUT", "/secrets/unseal-*", 3),
        ("blob", "PUT", "*/keyring/*", 1),
        // The record of who asked, and then the commit that names the new header.
        ("blob", "PUT", "*/log/*", 2),
        ("keyvault", "PUT", "/secrets/unseal-*", 1),
        ("keyvault", "PUT", "/secrets/unseal-*", 5),
        ("blob", "PUT", "*/recovery/*", 1),
        ("blob", "PUT", "*/recovery/*", 2),
        ("keyvault", "PATCH", "/secrets/anchor-*", 1),
    ];
    let most = if std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some() { all.len() } else { 3 };
    for (family, method, path, nth) in all.into_iter().take(most) {
        let place = format!("{method} {path}, call {nth}");
        let fault = json!({"family": family, "method": method, "path": path, "nth": nth, "action": {"kind": "kill-containers"}});
        deployment.cloud().control(Verb::Put, "/faults", &json!([fault]))?;
        let died = deployment.provisioner("rekey", &[])?;
        deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;
        ensure!(died.code != Some(0), "not killed at {place}");
        Attacker::new(deployment.cloud())?.serves().with_context(|| place.clone())?;
        boots_again(&deployment, "kept").with_context(|| place.clone())?;
        deployment.provisioner("rekey", &[])?.well().with_context(|| place.clone())?;
        boots_again(&deployment, "kept").with_context(|| place.clone())?;
    }
    Ok(())
}

/// The storage account lost its store.
fn lose(deployment: &Deployment) -> anyhow::Result<()> {
    deployment.provisioner("stop", &[])?.well()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let folders = ["log/", "snapshot/", "keyring/", "recovery/"];
    for blob in attacker.blobs()? {
        if folders.iter().any(|folder| blob.starts_with(folder)) {
            attacker.blob("DELETE", &format!("/{blob}"), "")?;
        }
    }
    Ok(())
}

#[test]
fn a_lost_store_is_restored_from_a_copy() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let (old, new) = (deployment.folder().join("old"), deployment.folder().join("new"));
    for folder in [&old, &new] {
        std::fs::create_dir(folder)?;
    }
    let (old, new) = (old.to_string_lossy().into_owned(), new.to_string_lossy().into_owned());
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "early")?;
    let copy = told(deployment.provisioner("backup", &[&old, "--json"])?)?;
    let end = number(&copy, "last")?;
    told(deployment.provisioner("backup", &[&new, "--json"])?)?;
    told(deployment.provisioner("rotate", &["--json"])?)?;
    vault.write("demo/db-password", "late")?;

    // Over a store that is there, or beside a server that runs, nothing is restored.
    let refused = deployment.provisioner("restore", &[&old])?.with(3)?.text();
    ensure!(refused.contains("cargo xtask stop"), "{refused}");
    deployment.provisioner("stop", &[])?.well()?;
    told(deployment.provisioner("backup", &[&new, "--json"])?)?;
    let refused = deployment.provisioner("restore", &[&old])?.with(1)?.text();
    ensure!(refused.contains("never deletes a store"), "{refused}");

    // A copy as new as the anchor opens as it is.
    lose(&deployment)?;
    let said = deployment.provisioner("restore", &[&new])?.well()?.stdout;
    ensure!(!said.contains("rolled back"), "{said}");
    deployment.deploy()?.well()?;
    ensure!(Vault::new(&deployment.operator()?)?.read("demo/db-password")? == "late");

    // An older one needs the holders, whom it names.
    lose(&deployment)?;
    let said = deployment.provisioner("restore", &[&old])?.well()?.stdout;
    ensure!(said.contains("rolled back") && said.contains("recovery open"), "{said}");
    let until = end.to_string();
    let holders = ["alice", "bob"].map(|name| holder(&deployment, name));
    let mut command = deployment.command("vouchsafe-agent")?;
    command.args(["recovery", "open", "--objects", &old, "--until", &until, "--anchor"]);
    for holder in &holders {
        command.args(["--identity", holder]);
    }
    let line = Ended::from(command.output()?).well()?.stdout;
    let args = [&old, "--until", &until, "--anchor", line.trim()];
    deployment.provisioner("restore", &args)?.well()?;
    deployment.deploy()?.well()?;
    ensure!(Vault::new(&deployment.operator()?)?.read("demo/db-password")? == "early");
    Ok(())
}

fn holder(deployment: &Deployment, name: &str) -> String {
    let file = deployment.folder().join(format!("manifests/insecure-recovery/{name}.age"));
    file.to_string_lossy().into_owned()
}

fn identity(deployment: &Deployment) -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(deployment.state().join("lock.toml"))?;
    let found = lock.split_once("identity = \"").and_then(|(_, rest)| rest.split_once('"'));
    found.map(|(identity, _)| identity.to_owned()).context("the lock names the store")
}

#[test]
fn the_audit_log_is_verified_offline_and_a_change_of_it_noticed() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "watched")?;
    deployment.demo(&[])?.well()?;
    let store = identity(&deployment)?;
    let file = deployment.folder().join("audit.json");
    let verify = |args: &[&str]| -> anyhow::Result<Ended> {
        let mut command = deployment.command("vouchsafe-agent")?;
        command.args(["audit", "verify", "--store", &store]).args(args).arg(&file);
        Ok(command.output()?.into())
    };
    let exported = vault.audit(1)?;
    std::fs::write(&file, exported.to_string())?;
    let said = verify(&["--print"])?.well()?.stdout;
    ensure!(said.contains("verified") && said.contains("demo/db-password"), "{said}");

    let text = exported.to_string();
    let changed = text.replacen("AAA", "AAB", 1);
    let at = text.len() / 2;
    let cut = text.get(..at).context("half")?.to_owned();
    for bad in [changed, cut].into_iter().filter(|bad| *bad != text) {
        std::fs::write(&file, bad)?;
        verify(&[])?.with(16)?;
    }
    // Another store's log is none of this one's.
    std::fs::write(&file, &text)?;
    let mut command = deployment.command("vouchsafe-agent")?;
    command.args(["audit", "verify", "--store", &"0".repeat(64)]).arg(&file);
    Ended::from(command.output()?).with(16)?;
    Ok(())
}

#[test]
fn holders_open_a_copy_together_without_the_cloud() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", "recovered")?;
    deployment.provisioner("rekey", &[])?.well()?;
    let folder = deployment.folder().join("copy");
    std::fs::create_dir(&folder)?;
    let copy = folder.to_string_lossy().into_owned();
    deployment.provisioner("backup", &[&copy])?.well()?;
    deployment.provisioner("destroy", &["--yes", "dev"])?.well()?;
    let (alice, bob) = (holder(&deployment, "alice"), holder(&deployment, "bob"));
    let agent = |args: &[&str]| -> anyhow::Result<Ended> {
        let mut command = deployment.command("vouchsafe-agent")?;
        Ok(command.args(["recovery", "open", "--objects", &copy]).args(args).output()?.into())
    };

    let said = agent(&["--identity", &alice, "--identity", &bob, "--list", ""])?.well()?.stdout;
    ensure!(said.contains("generation   2"), "{said}");
    let key = said.lines().find(|line| line.ends_with("demo/db-password"));
    let key = key.with_context(|| said.clone())?;
    agent(&["--identity", &alice])?.with(17)?;

    // Bob sits elsewhere: his share travels sealed to this one process.
    let opened = together(&deployment, &copy, &alice, &bob)?;
    ensure!(opened.contains(&identity_of(&said)?), "{opened}\n{said}");
    ensure!(key.contains("demo/db-password"));
    Ok(())
}

fn identity_of(said: &str) -> anyhow::Result<String> {
    let line = said.lines().find(|line| line.starts_with("store")).context("store")?;
    line.split_whitespace().nth(1).map(str::to_owned).context("identity")
}

fn together(
    deployment: &Deployment,
    copy: &str,
    here: &str,
    elsewhere: &str,
) -> anyhow::Result<String> {
    let mut meeting = deployment.command("vouchsafe-agent")?;
    meeting.args(["recovery", "open", "--objects", copy, "--identity", here, "--meeting"]);
    meeting.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut meeting = meeting.spawn()?;
    let mut line = String::new();
    BufReader::new(meeting.stderr.take().context("stderr")?).read_line(&mut line)?;
    let to = line.split(&[' ', ','][..]).find(|word| word.starts_with("age1"));
    let to = to.with_context(|| line.clone())?;
    let mut command = deployment.command("vouchsafe-agent")?;
    command.args(["recovery", "contribute", "--objects", copy, "--identity", elsewhere]);
    let contributed = Ended::from(command.args(["--to", to]).output()?).well()?.stdout;
    let shown = std::fs::read_to_string(Path::new(elsewhere))?;
    let secret = shown.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).context("key")?;
    ensure!(!contributed.contains(secret), "the holder's key leaves its file");
    meeting.stdin.take().context("stdin")?.write_all(contributed.as_bytes())?;
    Ok(Ended::from(meeting.wait_with_output()?).well()?.stdout)
}
