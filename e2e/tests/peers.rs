//! The local cloud, measured by what it did not write: Microsoft's own clients make their ordinary calls against it.
//!
//! The calls and what is expected of them are in `e2e/peers/*.py`. Each test has a cloud of its own.

use std::path::Path;

use anyhow::{Context as _, ensure};
use e2e::cloud::Cloud;
use e2e::peer;
use image::cce::{
    ContainerSpec, EnvironmentRule, GroupPolicy, Mode, Privileges, Required, UserRule,
};
use image::oci::{File, Image, Layout, Spec, build, measure, write_layout};

fn check(script: &str) -> anyhow::Result<()> {
    check_with(script, &[])
}

fn check_with(script: &str, files: &[(&str, &Path)]) -> anyhow::Result<()> {
    let cloud = Cloud::start()?;
    let mut command = peer::cloud_script(&cloud, script)?;
    command.envs(files.iter().copied());
    let told = peer::run(command)
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

#[test]
fn peer_clients_try_again_after_a_fault() -> anyhow::Result<()> {
    check("faults.py")
}

#[test]
fn peer_azure_containers_and_release() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (layout, policy) = (folder.path().join("image"), folder.path().join("policy.rego"));
    write_layout(&layout, &shell_image()?, "first")?;
    std::fs::write(&policy, policy_for(&layout)?)?;
    check_with("containers.py", &[("VOUCHSAFE_IMAGE", &layout), ("VOUCHSAFE_CCE_POLICY", &policy)])
}

/// An image that says where it runs. It uses this machine's shell: the local cloud imitates no isolation.
fn shell_image() -> anyhow::Result<Image> {
    let file = File {
        path: "app",
        mode: 0o755,
        size: u64::try_from(SCRIPT.len())?,
        contents: Box::new(SCRIPT.as_bytes()),
    };
    let spec = Spec {
        entrypoint: vec!["/app".to_owned()],
        environment: vec!["PATH=/".to_owned()],
        user: None,
        working_dir: "/".to_owned(),
        created: "2026-11-22T00:00:00Z".parse()?,
    };
    Ok(build(vec![file], &spec)?)
}

fn policy_for(layout: &Path) -> anyhow::Result<String> {
    let layout = Layout::open(layout)?;
    let measured = measure(layout.manifest()?, &layout)?;
    let container = ContainerSpec {
        name: "app".to_owned(),
        image: "app".to_owned(),
        layers: measured.root_hashes(),
        command: vec!["/app".to_owned(), "wait".to_owned()],
        environment: vec![
            EnvironmentRule::literal("PATH=/", Required::Yes),
            EnvironmentRule::exactly("GREETING", "peer", Required::Yes),
        ],
        volumes: Vec::new(),
        user: UserRule::any(),
        working_dir: "/".to_owned(),
        privileges: Privileges::Default,
        exec_processes: Vec::new(),
        signals: Vec::new(),
    };
    Ok(GroupPolicy::new(Mode::Production, vec![container])?.render())
}

const SCRIPT: &str = "#!/bin/sh\necho \"hello $GREETING\"\necho \"context $UVM_SECURITY_CONTEXT_DIR\"\nexec /bin/sleep 600\n";
