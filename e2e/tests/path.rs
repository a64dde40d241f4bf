//! The whole path: deploy, birth, restart, release, with the real programs at every step.

use anyhow::ensure;
use e2e::deployment::Deployment;
use e2e::vault::Vault;
use serde_json::Value;

const RELEASES: &str = "keyvault.keys.release";

#[test]
fn a_secret_goes_all_the_way_through() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let told = deployment.deploy()?.well()?;
    ensure!(told.text().contains("8200"), "says where it serves:\n{}", told.text());
    ensure!(deployment.cloud().count(RELEASES)? == 1, "one key release a boot");

    // The same again changes nothing.
    let told = deployment.provisioner("plan", &[])?.well()?;
    ensure!(told.text().contains("no changes"), "{}", told.text());
    let told = deployment.deploy()?.well()?;
    ensure!(told.text().contains("no changes"), "{}", told.text());
    deployment.provisioner("verify", &[])?.well()?;

    // An operator writes, the workload gets it, and nobody else does.
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "correct horse")?;
    ensure!(vault.read("demo/db-password")? == "correct horse");
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "correct horse");

    // A later boot finds what was written.
    deployment.provisioner("stop", &[])?.well()?;
    deployment.deploy()?.well()?;
    ensure!(deployment.cloud().count(RELEASES)? == 2, "one key release a boot");
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "correct horse");
    let vault = Vault::new(&deployment.operator()?)?;
    ensure!(vault.read("demo/db-password")? == "correct horse");

    // Destroyed, and deployed again: vault and key are recovered by name.
    deployment.provisioner("destroy", &[])?.with(3)?;
    deployment.provisioner("destroy", &["--yes", "dev"])?.well()?;
    let gone = deployment.provisioner("plan", &[])?;
    ensure!(gone.code == Some(2), "{gone:?}");
    let told = deployment.deploy()?.well()?;
    ensure!(told.text().contains("recover"), "{}", told.text());
    deployment.provisioner("verify", &[])?.well()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "begun anew")?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "begun anew");
    Ok(())
}

#[test]
fn drift_is_shown_exactly_and_repaired() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let subscription =
        "/subscriptions/5b5c0000-0000-4000-8000-000000000001/resourceGroups/vouchsafe-dev";

    // A container group deleted behind our back.
    let group = format!("{subscription}/providers/Microsoft.ContainerInstance/containerGroups");
    let listed = arm(&deployment, "GET", &group, "2023-05-01", &Value::Null)?;
    let id = listed.pointer("/value/0/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    arm(&deployment, "DELETE", &id, "2023-05-01", &Value::Null)?;
    let told = deployment.provisioner("plan", &[])?.with(2)?;
    ensure!(told.text().contains("container group"), "{}", told.text());
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;

    // A tag changed.
    let tags = serde_json::json!({"tags": {"changed": "by hand"}});
    arm(&deployment, "PATCH", subscription, "2021-04-01", &tags)?;
    let told = deployment.provisioner("plan", &[])?.with(2)?;
    ensure!(told.text().contains("/tags/"), "{}", told.text());
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;

    // A role removed.
    let vault = format!("{subscription}/providers/Microsoft.KeyVault/vaults/vouchsafe-dev");
    let roles = format!("{vault}/providers/Microsoft.Authorization/roleAssignments");
    let listed = arm(&deployment, "GET", &roles, "2022-04-01", &Value::Null)?;
    let id = listed
        .pointer("/value")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|role| role.get("id")?.as_str())
        .find(|id| id.to_lowercase().contains("/vaults/"))
        .unwrap_or_default()
        .to_owned();
    ensure!(!id.is_empty(), "{listed}");
    arm(&deployment, "DELETE", &id, "2022-04-01", &Value::Null)?;
    let told = deployment.provisioner("plan", &[])?.with(2)?;
    ensure!(told.text().contains("role"), "{}", told.text());
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    Ok(())
}

#[test]
fn a_rule_change_takes_effect_without_a_restart() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "one")?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "one");

    deployment.change("revision = 1", "revision = 2")?;
    deployment.change(
        "[secret.\"demo/db-password\"]\nreaders = [\"demo\"]",
        "[secret.\"demo/db-password\"]\nreaders = [\"other\"]",
    )?;
    let other = "[workload.other]\nkind = \"container\"\nhost_data = [\"0101010101010101010101010101010101010101010101010101010101010101\"]\n\
                 debug = false\nvmpl = 0\ntcb.milan = { bootloader = 4, tee = 0, snp = 24, microcode = 219 }\n\
                 uvm = { feed = \"ContainerPlat-AMD-UVM\", minimum_svn = 100 }\n\n[workload.demo]";
    deployment.change("[workload.demo]", other)?;
    deployment.deploy()?.well()?;
    ensure!(deployment.cloud().count(RELEASES)? == 1, "no restart");
    let refused = deployment.demo(&[])?;
    ensure!(refused.code != Some(0), "{refused:?}");

    // Back to the older revision: refused, and the newer stays in force.
    deployment.change("revision = 2", "revision = 1")?;
    let refused = deployment.deploy()?;
    ensure!(refused.code != Some(0), "{refused:?}");
    ensure!(deployment.demo(&[])?.code != Some(0));
    Ok(())
}

#[test]
fn who_is_not_the_workload_gets_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "hunter2hunter2")?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "hunter2hunter2");
    let other = "ff".repeat(32);
    for options in [
        &["--host-data", other.as_str()][..],
        &["--debug"],
        &["--tcb", "bootloader=1,tee=0,snp=8,microcode=1"],
    ] {
        let refused = deployment.demo(options)?;
        ensure!(refused.code != Some(0), "{options:?}: {refused:?}");
        ensure!(!refused.text().contains("hunter2hunter2"), "{options:?}");
        ensure!(
            refused.stderr.contains("rejected") || refused.stderr.contains("denied"),
            "{options:?}: {}",
            refused.stderr
        );
    }
    Ok(())
}

/// A call of the resource manager as the subscription's owner.
fn arm(
    deployment: &Deployment,
    method: &str,
    path: &str,
    version: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let token = e2e::owner::token(deployment.cloud(), "https://management.azure.com/")?;
    e2e::owner::call(
        deployment.cloud(),
        &token,
        method,
        &format!("https://management.azure.com{path}?api-version={version}"),
        body,
    )
}
