//! Policies as code, by the real programs: who signs the attestation policy, and what explain, diff and lint say of a
//! deployment that runs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use e2e::deployment::Deployment;
use e2e::programs;

fn key() -> PathBuf {
    programs::workspace().join("manifests/insecure-signers/second.key")
}

/// The second signer's key is in nobody's manifest: it is kept elsewhere.
fn offline() -> anyhow::Result<Deployment> {
    let deployment = Deployment::new()?;
    deployment.change("insecure_key = \"insecure-signers/second.key\"\n", "")?;
    Ok(deployment)
}

#[test]
fn an_attestation_policy_is_signed_offline_and_the_deployment_goes_on() -> anyhow::Result<()> {
    let deployment = offline()?;
    let stopped = deployment.provisioner("deploy", &["--yes", "--sign-as", "second"])?.with(5)?;
    ensure!(stopped.stderr.contains("waits for the signature of second"), "{}", stopped.stderr);
    // Again, and nothing has moved on without it.
    deployment.provisioner("deploy", &["--yes", "--sign-as", "second"])?.with(5)?;
    let text = deployment.state().join("attestation-policy.second.to-sign");
    let signature = deployment.folder().join("policy.sig");
    let status = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .args([key().as_os_str(), "-out".as_ref(), signature.as_os_str(), text.as_os_str()])
        .status()
        .context("openssl")?;
    ensure!(status.success(), "openssl ended with {status}");
    let signature = signature.to_string_lossy();
    deployment.provisioner("deploy", &["--yes", "--signature", &signature])?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    deployment.provisioner("verify", &[])?.well()?;

    // The rules change: a command signs, for the signer that is named.
    deployment.change("revision = 1", "revision = 2")?;
    deployment.change("token_minutes = 60", "token_minutes = 30")?;
    let sign = format!(
        "test $VOUCHSAFE_SIGNER = second && openssl dgst -sha256 -sign {}",
        key().display()
    );
    let command = ["--yes", "--sign-with", &sign];
    // The command's key is not the first signer's.
    ensure!(deployment.provisioner("deploy", &command)?.code != Some(0), "signed by anybody");
    let command = ["--yes", "--sign-as", "second", "--sign-with", &sign];
    deployment.provisioner("deploy", &command)?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    Ok(())
}

#[test]
fn a_running_deployment_is_explained() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let lock = std::fs::read_to_string(deployment.state().join("lock.toml"))?;
    let host_data = lock.lines().find_map(|line| line.strip_prefix("host_data = "));
    let host_data = host_data.context("the lock has no host_data")?.trim_matches('"').to_owned();
    let config = deployment.folder().join("manifests/demo-agent.toml");
    let evidence = |name: &str, options: &[&str]| -> anyhow::Result<String> {
        let config = config.to_string_lossy();
        let mut args = vec!["demo"];
        args.extend(options);
        args.extend(["--", "vouchsafe-agent", "collect", "--config", &config]);
        let file = deployment.folder().join(name);
        std::fs::write(&file, deployment.enclave(&args)?.well()?.stdout)?;
        Ok(file.to_string_lossy().into_owned())
    };
    let demo = evidence("demo.json", &[])?;
    let explain = |args: &[&str]| deployment.provisioner("explain", args);

    let secret = explain(&["--evidence", &demo, "--secret", "demo/db-password"])?.well()?;
    ensure!(secret.stdout.contains("it is the workload demo"), "{}", secret.stdout);
    // The workload is not the server.
    let refused = explain(&["--evidence", &demo])?.with(2)?;
    ensure!(refused.stdout.contains(&format!("value==\"{host_data}\"")), "{}", refused.stdout);
    let server = evidence("server.json", &["--host-data", &host_data])?;
    let yes = explain(&["--evidence", &server, "--json"])?.well()?;
    ensure!(yes.stdout.contains("\"verdict\":\"yes\""), "{}", yes.stdout);
    let debug = evidence("debug.json", &["--debug", "--host-data", &host_data])?;
    let no = explain(&["--evidence", &debug])?.with(2)?;
    ensure!(no.stdout.contains("the deny on line 3 applies"), "{}", no.stdout);
    let other = evidence("other.json", &["--host-data", &"7".repeat(64)])?;
    let no = explain(&["--evidence", &other, "--secret", "demo/db-password"])?.with(2)?;
    ensure!(no.stdout.contains("the nearest is demo"), "{}", no.stdout);

    let before = deployment.folder().join("manifests/before.toml");
    std::fs::copy(deployment.manifest(), &before)?;
    deployment.change(
        "[\"write\", \"list\", \"delete\", \"read\", \"rotate\"]",
        "[\"list\", \"read\"]",
    )?;
    let now = deployment.manifest();
    let diff = |from: &PathBuf, to: &PathBuf| -> anyhow::Result<_> {
        let mut command = deployment.command("vouchsafe-provisioner")?;
        Ok(e2e::deployment::Ended::from(command.arg("diff").args([from, to]).output()?))
    };
    diff(&before, &now)?.well()?;
    let weakened = diff(&now, &before)?.with(3)?;
    ensure!(
        weakened.stdout.starts_with("weakened: operator dev: may delete *"),
        "{}",
        weakened.stdout
    );
    deployment.provisioner("lint", &["--json"])?.with(2)?;
    Ok(())
}
