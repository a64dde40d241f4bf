//! Evidence that was seen before, elsewhere, or is not one's own: it releases nothing. And a server that is not the pinned
//! deployment's is not asked.

use std::path::Path;

use anyhow::{Context as _, ensure};
use attester::{Attester as _, Container, Device};
use e2e::cloud::{Cloud, Verb, wait_for};
use e2e::deployment::Deployment;
use e2e::owner;
use e2e::vault::Vault;
use evidence::RawEvidence;
use protocol::attest::{AttestRequest, ChallengeAnswer, WorkloadEvidence, binding};
use protocol::grant::{EphemeralSecret, Sealed};
use serde_json::{Value, json};

const SECRET: &str = "the value that nobody may see";
/// HOST_DATA of the workload `demo`.
const DEMO: &str = "c09492e22dc9662afa2bc8c74cf88d9c3810883b354ad98e93c27540a200fa69";

#[test]
fn peer_evidence_counts_once_at_one_server_for_one_key() -> anyhow::Result<()> {
    // Two servers of deployments of the same name and manifest: only the challenge tells them apart.
    let (here, there) = (deployed_with_a_secret()?, deployed_with_a_secret()?);
    let device = here.cloud().control(Verb::Post, "/enclaves", &json!({"host_data": DEMO}))?;
    let folder = device.get("directory").and_then(Value::as_str).context("a device")?;
    let device = Container::new(Path::new(folder), Device::InsecureSimulated)?;
    let ask = || -> anyhow::Result<AttestRequest> {
        let key = EphemeralSecret::generate()?;
        let (status, told) = post(here.cloud(), "challenge", &json!({}))?;
        ensure!(status == 200, "{status}: {told}");
        let challenge = serde_json::from_value::<ChallengeAnswer>(told)?.challenge;
        let evidence = device.evidence(&binding("dev", &challenge, key.public()))?;
        let evidence = WorkloadEvidence::Container(evidence);
        let secrets = vec!["demo/db-password".to_owned()];
        Ok(AttestRequest { version: 1, challenge, public_key: *key.public(), evidence, secrets })
    };
    let granted = |request: &AttestRequest| -> anyhow::Result<()> {
        let (status, told) = post(here.cloud(), "attest", &serde_json::to_value(request)?)?;
        ensure!(status == 200, "{status}: {told}");
        serde_json::from_value::<Sealed>(told)?;
        Ok(())
    };
    let refused = |at: &Deployment, request: &AttestRequest, reason: &str| -> anyhow::Result<()> {
        let (status, told) = post(at.cloud(), "attest", &serde_json::to_value(request)?)?;
        ensure!(status == 403 && told.get("errors") == Some(&json!(["rejected"])), "{told}");
        let id = told.get("request_id").and_then(Value::as_str).context("a request id")?;
        // Only operators learn why.
        let vault = Vault::new(&at.operator()?)?;
        let record = vault.explain(id)?;
        let text = record.pointer("/record/reason/text").and_then(Value::as_str).unwrap_or("");
        ensure!(text.contains(reason), "`{reason}` is not in {record}");
        let log = owner::server_log(at.cloud())?;
        ensure!(log.contains(id) && !log.contains(text), "the id only: {log}");
        Ok(())
    };

    let request = ask()?;
    granted(&request)?;
    refused(&here, &request, "used before")?;
    refused(&there, &request, "challenge")?;
    // A fresh one, first taken elsewhere; it still counts where it was made for.
    let request = ask()?;
    refused(&there, &request, "challenge")?;
    granted(&request)?;
    // Stolen on its way, with a key of the thief's.
    let mut stolen = ask()?;
    stolen.public_key = *EphemeralSecret::generate()?.public();
    refused(&here, &stolen, "binding")?;
    // The signing key's certificate of somebody else's authority.
    let mut forged = ask()?;
    let evidence = of_container(&mut forged)?;
    *evidence = with_another_root(evidence)?;
    refused(&here, &forged, "(root)")?;
    // A report that was changed.
    let mut changed = ask()?;
    *of_container(&mut changed)?.report.get_mut(0x90).context("HOST_DATA follows")? ^= 1;
    refused(&here, &changed, "(report signature)")
}

#[test]
fn an_agent_does_not_ask_a_server_that_is_not_the_pinned_deployments() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let config = deployment.folder().join("manifests/demo-agent.toml");
    let sound = std::fs::read_to_string(&config)?;
    let first = "beb4a23e2697868abf8ea9651d7de9e767bfbd5eabc1a2ab3fc9ab619230b974";
    let second = "f63335ec1a7bb9cd5dead3be0c09fa1c2ed4c978f5370dad07290fbd30b697b9";
    let milan = "2db778e58da22073e3693466d28f14270dff9d089e5216aed97086d58da1dd32";
    let others = sound.replace(first, &"11".repeat(32)).replace(second, &"22".repeat(32));
    let cases = [
        ("another deployment", sound.replace("deployment = \"dev\"", "deployment = \"prod\"")),
        ("other signers", others),
        ("a higher revision", sound.replace("minimum_revision = 1", "minimum_revision = 2")),
        ("a higher serial", sound.replace("minimum_serial = 1", "minimum_serial = 99")),
        ("another silicon", sound.replace(milan, &"33".repeat(32))),
    ];
    for (what, text) in cases {
        ensure!(text != sound, "{what}");
        // A rollback may pass with time: it is waited for.
        std::fs::write(&config, text.replace("wait_seconds = 20", "wait_seconds = 1"))?;
        let told = deployment.demo(&[])?;
        ensure!(told.code != Some(0) && told.stdout.is_empty(), "{what}: {told:?}");
        ensure!(!told.text().contains(SECRET), "{what}: {told:?}");
    }
    std::fs::write(&config, sound)?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}

fn deployed_with_a_secret() -> anyhow::Result<Deployment> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", SECRET)?;
    Ok(deployment)
}

/// A call without a token at the deployment's server, believing its certificate unseen.
fn post(cloud: &Cloud, call: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
    let client =
        reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build()?;
    let url = format!("https://{}:8200/vouchsafe/v1/{call}", cloud.address());
    wait_for(async {
        let answer = client.post(url).json(body).send().await?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await?)?))
    })
}

fn of_container(request: &mut AttestRequest) -> anyhow::Result<&mut RawEvidence> {
    match &mut request.evidence {
        WorkloadEvidence::Container(evidence) => Ok(evidence),
        WorkloadEvidence::Vm(_) => anyhow::bail!("a container's evidence"),
    }
}

/// The same chain with another certificate in the place of AMD's root: self-made, with nothing to do with the silicon.
fn with_another_root(evidence: &RawEvidence) -> anyhow::Result<RawEvidence> {
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:4096", "-nodes", "-subj", "/CN=ARK-Milan"])
        .args(["-keyout", "/dev/null"])
        .output()
        .context("openssl is missing; run `cargo xtask setup`")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let begin = evidence.certificates.rfind("-----BEGIN").context("a chain")?;
    let chain = evidence.certificates.get(..begin).unwrap_or_default();
    let certificates = format!("{chain}{}", String::from_utf8(made.stdout)?);
    Ok(RawEvidence { certificates, ..evidence.clone() })
}
