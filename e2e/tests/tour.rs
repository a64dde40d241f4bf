//! The tour of README.md: every command, as a newcomer types it.
//!
//! It runs in the checkout itself, with the real `manifests/dev.toml` and its fixed ports. A deployment
//! that is there already belongs to somebody; the test says what to stop, and fails.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use e2e::deployment::Ended;
use e2e::programs;

/// A fenced block that is marked as part of the tour.
struct Block {
    script: String,
    fails: bool,
}

/// The blocks of a page that begin with "```sh tour", in order.
fn blocks(page: &str) -> anyhow::Result<Vec<Block>> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(mark) = line.strip_prefix("```sh tour") else { continue };
        let fails = match mark.trim() {
            "" => false,
            "fails" => true,
            other => bail!("a block is marked `tour {other}`"),
        };
        let script: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push(Block { script: script.join("\n"), fails });
    }
    Ok(found)
}

/// One session for all blocks, in which a command that ends otherwise than the page says ends the tour.
fn session(blocks: &[Block]) -> anyhow::Result<String> {
    let mut session = "set -eu -o pipefail\n".to_owned();
    for (number, Block { script, fails }) in blocks.iter().enumerate() {
        writeln!(session, "echo '── block {number}'")?;
        match fails {
            false => writeln!(session, "{script}")?,
            true => writeln!(
                session,
                "if {{ {script}\n}}; then echo 'it should have failed'; exit 99; fi"
            )?,
        }
    }
    Ok(session)
}

#[test]
fn every_command_of_the_tour_works() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(programs::workspace().join("README.md"))?;
    let blocks = blocks(&page)?;
    ensure!(blocks.len() >= 6 && blocks.iter().any(|block| block.fails), "the tour is not found");
    let _visit = Visit::begin()?;
    let ended = run(&session(&blocks)?)?.well()?;
    ensure!(
        ended.stdout.lines().any(|line| line == "correct horse battery staple"),
        "the workload prints the secret:\n{}",
        ended.stdout
    );
    let prints = ended.stdout.matches("correct horse battery staple").count();
    ensure!(prints == 1, "and nobody else prints it:\n{}", ended.stdout);
    ensure!(ended.text().contains("no changes"), "{}", ended.text());
    Ok(())
}

fn run(script: &str) -> anyhow::Result<Ended> {
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).current_dir(programs::workspace()).stdin(Stdio::null());
    // What cargo tells a test is not in a newcomer's environment, and would make cargo build all anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let kept = ["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_ref());
        if !kept && (name.starts_with("CARGO") || name == "LD_LIBRARY_PATH") {
            command.env_remove(name.as_ref());
        }
    }
    Ok(command.output().context("starting bash")?.into())
}

/// The checkout's own deployment, which is nobody else's while the tour lasts, and gone afterwards.
struct Visit;

impl Visit {
    fn begin() -> anyhow::Result<Self> {
        let state = programs::workspace().join(".vouchsafe/dev");
        let remedy = "end it (`cargo xtask destroy manifests/dev.toml --yes dev`, `cargo xtask local stop`), remove .vouchsafe/dev, and test again";
        ensure!(!state.exists(), "there is a deployment in {}: {remedy}", state.display());
        for port in [8443, 8444, 8480, 8200] {
            TcpListener::bind(("127.0.0.1", port)).with_context(|| {
                format!(
                    "127.0.0.1:{port} is taken, perhaps by another checkout's deployment: {remedy}"
                )
            })?;
        }
        Ok(Self)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // After a failure the cloud may still run; what it runs ends with it.
        let stopped = run("cargo xtask local stop").is_ok_and(|ended| ended.code == Some(0));
        if stopped {
            // Left behind, it would be found and named by the next visit.
            let _ = std::fs::remove_dir_all(programs::workspace().join(".vouchsafe/dev")).is_ok();
        }
    }
}
