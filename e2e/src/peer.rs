//! Other people's programs. A test whose peer is missing fails, and says how to get it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::cloud::Cloud;
use crate::programs;

/// The Python with Microsoft's clients and `hvac` in it.
///
/// # Errors
/// It is not installed, or is not what is wanted; the error says how to install it.
pub fn python() -> anyhow::Result<PathBuf> {
    let peers = programs::workspace().join("target/peers");
    // The setup writes it last.
    let installed = std::fs::read_to_string(peers.join("installed.txt")).unwrap_or_default();
    ensure!(
        installed == include_str!("../peers/requirements.txt"),
        "the Python peers are not installed as e2e/peers/requirements.txt has them; run `cargo xtask setup`"
    );
    Ok(peers.join("bin/python"))
}

/// A program of npm, run by `node`: `name` as its package calls it.
///
/// # Errors
/// It is not installed, or is not what is wanted; the error says how to install it.
pub fn node(name: &str) -> anyhow::Result<Command> {
    let peers = programs::workspace().join("target/peers-node");
    let installed = std::fs::read_to_string(peers.join("installed.json")).unwrap_or_default();
    ensure!(
        installed == include_str!("../peers/package.json"),
        "the peers of npm are not installed as e2e/peers/package.json has them; run `cargo xtask setup`"
    );
    let mut command = Command::new(peers.join("node_modules/.bin").join(name));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null());
    Ok(command)
}

/// A script of `e2e/peers/`, prepared to run; nothing of our own environment reaches it but `PATH`.
///
/// # Errors
/// The peers are not installed.
pub fn script(name: &str) -> anyhow::Result<Command> {
    let path = programs::workspace().join("e2e/peers").join(name);
    ensure!(path.is_file(), "there is no script {}", path.display());
    let mut command = Command::new(python()?);
    // -B: no compiled files in the source folder.
    command.arg("-B").arg(path).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    Ok(command)
}

/// As [`script`], set up to find the local cloud where Azure would be: through its proxy, trusting its certificate authority.
///
/// # Errors
/// The peers are not installed.
pub fn cloud_script(cloud: &Cloud, name: &str) -> anyhow::Result<Command> {
    let mut command = script(name)?;
    point_at(&mut command, cloud.address(), cloud.state());
    Ok(command)
}

/// The variables by which Microsoft's clients, and our scripts, find a cloud.
pub fn point_at(command: &mut Command, address: Ipv4Addr, state: &Path) {
    command
        .env("HTTPS_PROXY", format!("http://{address}:8444"))
        .env("REQUESTS_CA_BUNDLE", state.join("ca.pem"))
        // Read by azure-identity: where instance metadata is.
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", format!("http://{address}:8480"))
        .env("VOUCHSAFE_CLOUD_STATE", state);
}

/// Runs a prepared script to its end; its output is shown if it fails.
///
/// # Errors
/// It did not start, or ended with a failure.
pub fn run(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().context("starting the script")?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(told);
    }
    bail!("{}:\n{told}{}", output.status, String::from_utf8_lossy(&output.stderr))
}
