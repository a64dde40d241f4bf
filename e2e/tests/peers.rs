//! The local cloud, measured by what it did not write: Microsoft's own clients make their ordinary calls against it.
//!
//! The calls and what is expected of them are in `e2e/peers/*.py`. Each test has a cloud of its own.

use anyhow::{Context as _, ensure};
use e2e::cloud::Cloud;
use e2e::peer;

fn check(script: &str) -> anyhow::Result<()> {
    let cloud = Cloud::start()?;
    let told = peer::run(peer::cloud_script(&cloud, script)?)
        .with_context(|| format!("the end of the cloud's log:\n{}", tail(&cloud)))?;
    // A script that checks nothing would pass; the last line counts.
    let checked = told
        .lines()
        .last()
        .and_then(|line| line.strip_suffix(" calls checked"))
        .and_then(|number| number.parse::<u32>().ok());
    ensure!(checked.is_some_and(|checked| checked > 0), "nothing was checked:\n{told}");
    Ok(())
}

fn tail(cloud: &Cloud) -> String {
    let log = cloud.log().unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[test]
fn peer_azure_identity() -> anyhow::Result<()> {
    check("identity.py")
}

#[test]
fn peer_azure_mgmt() -> anyhow::Result<()> {
    check("resources.py")
}

#[test]
fn peer_azure_storage_blob() -> anyhow::Result<()> {
    check("blob.py")
}

#[test]
fn peer_azure_keyvault_keys() -> anyhow::Result<()> {
    check("vault_keys.py")
}

#[test]
fn peer_azure_keyvault_secrets() -> anyhow::Result<()> {
    check("vault_secrets.py")
}

#[test]
fn peer_azure_security_attestation() -> anyhow::Result<()> {
    check("attestation.py")
}
