//! Virtual machines as workloads: with a real software TPM beside the local cloud.

use anyhow::{Context as _, ensure};
use e2e::cloud::Verb;
use e2e::deployment::{Deployment, Ended};
use e2e::owner;
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

    // What it would get, and what not, can be asked without the server.
    let evidence = |name: &str, options: &[&str]| -> anyhow::Result<String> {
        let config = deployment.folder().join("manifests/machine-agent.toml");
        let config = config.to_string_lossy();
        let collect = ["machine", "--", "vouchsafe-agent", "collect", "--config", &config];
        let args = [&["--vm"], options, &collect].concat();
        let file = deployment.folder().join(name);
        std::fs::write(&file, deployment.enclave(&args)?.well()?.stdout)?;
        Ok(file.to_string_lossy().into_owned())
    };
    let explain = |args: &[&str]| deployment.provisioner("explain", args);
    let good = evidence("machine.json", &[])?;
    let yes = explain(&["--evidence", &good, "--secret", "machine/disk-key"])?.well()?;
    ensure!(yes.stdout.contains("it is the workload machine"), "{}", yes.stdout);
    let other = evidence("other.json", &["--boot", "another boot loader"])?;
    let no = explain(&["--evidence", &other, "--secret", "machine/disk-key"])?.with(2)?;
    ensure!(no.stdout.contains("the nearest is machine"), "{}", no.stdout);
    ensure!(no.stdout.contains("pcrs: expected 4 = 7bcc5e43"), "{}", no.stdout);
    let key = explain(&["--evidence", &good])?.with(2)?;
    ensure!(key.stdout.contains("never a virtual machine"), "{}", key.stdout);

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
fn a_revoked_authority_gets_nothing_and_gives_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let kds = |lists: &Value| deployment.cloud().control(Verb::Put, "/kds", lists);
    ensure!(deployment.cloud().count("kds.crl")? >= 2, "server and provisioner asked for a list");
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "correct horse")?;
    let good = |ended: &Ended| ended.stdout.trim_end() == "correct horse";
    ensure!(good(&deployment.demo(&[])?.well()?));
    let reason = |refused: &Ended| {
        let id = uuid_in(&refused.stderr).with_context(|| format!("{refused:?}"))?;
        let told = vault.explain(&id)?;
        let text = told.pointer("/record/reason/text").and_then(Value::as_str);
        anyhow::Ok(text.context("reason")?.to_owned())
    };

    // 1 is the serial number of Milan's ASK: the agent and the provisioner refuse the server.
    kds(&json!({"revoked": {"milan": [1]}}))?;
    let refused = deployment.demo(&[])?;
    ensure!(refused.code == Some(10) && !refused.text().contains("correct horse"), "{refused:?}");
    ensure!(refused.stderr.contains("SEV-Milan, revoked"), "{refused:?}");
    let verified = deployment.provisioner("verify", &[])?;
    ensure!(verified.code == Some(2), "{verified:?}");
    ensure!(verified.stdout.contains("SEV-Milan, revoked"), "{verified:?}");

    // A spoilt list is none; the manifest demands one, and a file is as good.
    kds(&json!({"spoilt": true}))?;
    let refused = deployment.demo(&[])?;
    ensure!(refused.code == Some(10), "{refused:?}");
    ensure!(refused.stderr.contains("one with another signature"), "{refused:?}");

    // The server was started while a good list was served. One that starts now has none, and says why.
    deployment.provisioner("stop", &[])?.well()?;
    kds(&json!({"revoked": {"milan": [1]}}))?;
    let deployed = deployment.deploy()?;
    ensure!(deployed.code != Some(0), "{deployed:?}");
    ensure!(deployed.text().contains("SEV-Milan, revoked"), "{deployed:?}");
    // A client whose list is another one still meets it, and then the server refuses.
    let list = deployment.folder().join("list");
    let now = jiff::Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    let product = forged_root::Product::Milan;
    std::fs::write(&list, forged_root::amd_crl(product, &[], now - hour, now + hour))?;
    let list = list.to_string_lossy();
    deployment.provisioner("deploy", &["--yes", "--crl", &list])?.well()?;
    let refused = deployment.demo_with(&[], &["--crl", &list])?;
    ensure!(refused.code == Some(11) && !refused.text().contains("correct horse"), "{refused:?}");
    let text = reason(&refused)?;
    ensure!(text.contains("(revocation)") && text.contains("revoked"), "{text}");
    Ok(())
}

#[test]
fn without_lists_the_manifest_decides() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    deployment.cloud().control(Verb::Put, "/kds", &json!({"spoilt": true}))?;
    deployment.change("crl = \"require\"", "crl = \"if-present\"")?;
    deployment.deploy()?.well()?;
    let log = owner::server_log(deployment.cloud())?;
    ensure!(log.contains("one with another signature"), "{log}");
    let verified = deployment.provisioner("verify", &[])?.well()?;
    ensure!(verified.stdout.contains("revocations are unknown"), "{verified:?}");
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "correct horse")?;
    let released = deployment.demo(&[])?.well()?;
    ensure!(released.stdout.trim_end() == "correct horse");
    ensure!(released.stderr.contains("is unknown, which the manifest permits"), "{released:?}");
    Ok(())
}

fn uuid_in(text: &str) -> Option<String> {
    let apart = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    text.split(apart).find(|word| word.parse::<uuid::Uuid>().is_ok()).map(str::to_owned)
}
