//! A refusal: its caller learns a code and a number, the log of the container the same, an operator the reason.

use anyhow::{Context as _, ensure};
use e2e::deployment::Deployment;
use e2e::owner::{self, SUBSCRIPTION};
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

    let logs = logs(&deployment)?;
    ensure!(logs.contains(&id), "the log has the number:\n{logs}");
    ensure!(!logs.contains(text), "and not the reason:\n{logs}");
    Ok(())
}

/// What the server's containers wrote on their standard outputs, as every reader of the subscription sees it.
fn logs(deployment: &Deployment) -> anyhow::Result<String> {
    let token = owner::token(deployment.cloud(), "https://management.azure.com/")?;
    let get = |path: &str| {
        let url = format!("https://management.azure.com{path}?api-version=2023-05-01");
        owner::call(deployment.cloud(), &token, "GET", &url, &Value::Null)
    };
    let groups = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/vouchsafe-dev/providers/Microsoft.ContainerInstance/containerGroups"
    );
    let listed = get(&groups)?;
    let group = listed.pointer("/value/0/id").and_then(Value::as_str).context("no group")?;
    let body = get(group)?;
    let containers = body.pointer("/properties/containers").and_then(Value::as_array);
    let mut logs = String::new();
    for container in containers.context("no containers")? {
        let name = container.get("name").and_then(Value::as_str).context("no name")?;
        let told = get(&format!("{group}/containers/{name}/logs"))?;
        logs += told.get("content").and_then(Value::as_str).context("no content")?;
    }
    Ok(logs)
}

fn uuid_in(text: &str) -> Option<String> {
    let apart = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    text.split(apart).find(|word| word.parse::<uuid::Uuid>().is_ok()).map(str::to_owned)
}
