//! A refusal: its caller learns a code and a number, the log of the container the same, an operator the reason.

use anyhow::{Context as _, ensure};
use e2e::deployment::Deployment;
use e2e::owner;
use e2e::vault::Vault;
use serde_json::Value;

#[test]
fn a_refusal_tells_its_reason_to_operators_only() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "correct horse")?;

    let refused = deployment.demo(&["--debug"])?;
    ensure!(refused.code != Some(0) && refused.stdout.is_empty(), "{refused:?}");
    let id = uuid_in(&refused.stderr).with_context(|| format!("no request id: {refused:?}"))?;
    ensure!(!refused.stderr.contains("policy"), "the caller learns no reason: {refused:?}");

    let told = vault.explain(&id)?;
    let record = told.get("record").context("record")?;
    ensure!(record.get("outcome").and_then(Value::as_str) == Some("refused"), "{told}");
    let reason = record.get("reason").context("reason")?;
    let text = reason.get("text").and_then(Value::as_str).context("text")?;
    ensure!(text.contains("debug"), "names the step that failed: {told}");

    let logs = owner::server_log(deployment.cloud())?;
    ensure!(logs.contains(&id), "the log has the number:\n{logs}");
    ensure!(!logs.contains(text), "and not the reason:\n{logs}");
    Ok(())
}

fn uuid_in(text: &str) -> Option<String> {
    let apart = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    text.split(apart).find(|word| word.parse::<uuid::Uuid>().is_ok()).map(str::to_owned)
}
