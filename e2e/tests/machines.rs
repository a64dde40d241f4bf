//! Virtual machines as workloads: with a real software TPM beside the local cloud.

use anyhow::{Context as _, ensure};
use e2e::cloud::Verb;
use e2e::deployment::Deployment;
use e2e::vault::Vault;
use serde_json::{Value, json};

#[test]
fn peer_a_machine_gets_its_secret_and_another_one_does_not() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("machine/disk-key", "correct horse")?;
    vault.write("demo/db-password", "battery staple")?;
    ensure!(deployment.machine(&[])?.well()?.stdout.trim_end() == "correct horse");

    // The reason is in the audit log, and nowhere else.
    for (options, reasons) in [
        (
            &["--boot", "another boot loader"][..],
            &["the nearest is machine: pcrs: expected 4 = 7bcc5e43"][..],
        ),
        (
            &["--no-secure-boot"],
            &["the nearest is machine: secure_boot: expected true, found false"],
        ),
        (&["--other-key"], &["(quote signature)"]),
        (&["--debug"], &["(debug)"]),
        (&["--tcb", "snp=8"], &["(tcb floor)"]),
    ] {
        let refused = deployment.machine(options)?;
        ensure!(refused.code == Some(11), "{options:?}: {refused:?}");
        ensure!(!refused.text().contains("correct horse"), "{options:?}: {refused:?}");
        let id = uuid_in(&refused.stderr).with_context(|| format!("{options:?}: {refused:?}"))?;
        let told = vault.explain(&id)?;
        let text = told.pointer("/record/reason/text").and_then(Value::as_str).context("reason")?;
        for reason in reasons {
            ensure!(text.contains(reason), "{options:?}: {text}");
            ensure!(!refused.text().contains(reason), "{options:?}: {refused:?}");
        }
    }

    // A machine is not the container, whatever it asks for.
    let config = deployment.folder().join("manifests/machine-agent.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("machine/disk-key", "demo/db-password"))?;
    let refused = deployment.machine(&[])?;
    ensure!(refused.code == Some(11), "{refused:?}");
    ensure!(!refused.text().contains("battery staple"), "{refused:?}");
    Ok(())
}

#[test]
fn a_revoked_authority_gets_nothing_and_the_log_says_why() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    // 1 is the serial number of Milan's ASK.
    let revoked = json!({"revoked": {"milan": [1]}});
    deployment.cloud().control(Verb::Put, "/kds", &revoked)?;
    deployment.deploy()?.well()?;
    ensure!(deployment.cloud().count("kds.crl")? >= 1, "the server asked for a list");
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "correct horse")?;
    let refused = deployment.demo(&[])?;
    ensure!(refused.code == Some(11) && !refused.text().contains("correct horse"), "{refused:?}");
    let id = uuid_in(&refused.stderr).with_context(|| format!("{refused:?}"))?;
    let told = vault.explain(&id)?;
    let text = told.pointer("/record/reason/text").and_then(Value::as_str).context("reason")?;
    ensure!(text.contains("(revocation)") && text.contains("revoked"), "{text}");

    // A later boot finds a list that revokes nothing.
    deployment.cloud().control(Verb::Put, "/kds", &json!({}))?;
    deployment.provisioner("stop", &[])?.well()?;
    deployment.deploy()?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "correct horse");
    Ok(())
}

fn uuid_in(text: &str) -> Option<String> {
    let apart = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    text.split(apart).find(|word| word.parse::<uuid::Uuid>().is_ok()).map(str::to_owned)
}
