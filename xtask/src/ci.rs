//! Everything that a change must pass, in the order in which it fails fastest.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};

use crate::{paths, peers, process, programs, tidy};

/// Options of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also run what takes hours: every crash point, the long model tests.
    #[arg(long)]
    exhaustive: bool,
    /// Install nothing, and leave out the tests that need other people's programs.
    #[arg(long)]
    without_peers: bool,
}

/// Runs it all.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.without_peers {
        process::say("without peers: tests against other people's programs are NOT run");
    } else {
        step("setup", peers::setup)?;
    }
    step("tidy", tidy::run)?;
    step("fmt", || process::run(process::cargo(), ["fmt", "--all", "--check"]))?;
    step("clippy", || {
        process::run(
            process::cargo(),
            ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
        )
    })?;
    step("build", programs::build)?;
    step("protocol", protocol)?;
    step("tests and golden files", || tests(options))?;
    step("docs", docs)?;
    step("deny", deny)?;
    process::say("ci: everything passed");
    Ok(ExitCode::SUCCESS)
}

/// Rewrites the golden files.
pub(crate) fn bless() -> anyhow::Result<()> {
    let mut command = Command::new(process::cargo());
    command
        .args(["test", "--quiet", "--workspace"])
        .current_dir(paths::root())
        .env("INSTA_UPDATE", "always");
    if process::status(&mut command)?.success() {
        Ok(())
    } else {
        bail!("tests failed while blessing")
    }
}

/// Every state of the store's protocol. The model lives in `oracles/`, since its checker turns on a feature of serde for a whole workspace.
fn protocol() -> anyhow::Result<()> {
    let manifest = paths::root().join("oracles/Cargo.toml");
    process::run(
        process::cargo(),
        [
            OsString::from("test"),
            "--quiet".into(),
            "--release".into(),
            "--manifest-path".into(),
            manifest.into(),
            "--package".into(),
            "vouchsafe-oracle-protocol".into(),
        ],
    )
}

/// The tests of the workspace `oracles/`, which has its own lock: what we compare ourselves with is no dependency of ours.
pub(crate) fn oracles() -> anyhow::Result<()> {
    let manifest = paths::root().join("oracles/Cargo.toml");
    process::run(
        process::cargo(),
        [OsString::from("test"), "--manifest-path".into(), manifest.into(), "--workspace".into()],
    )
}

fn step(name: &str, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    process::say(&format!("── {name}"));
    run().with_context(|| name.to_owned())
}

/// Runs the tests with plain cargo, which every machine with a toolchain has, and counts how many
/// used the corpus.
fn tests(options: &Options) -> anyhow::Result<()> {
    let mut command = Command::new(process::cargo());
    command.args(["test", "--workspace", "--no-fail-fast"]).current_dir(paths::root());
    command.env("CI", "1").env("INSTA_UPDATE", "no").env("VOUCHSAFE_PROGRAMS", paths::programs());
    let corpus = paths::corpus();
    if let Some(path) = &corpus {
        command.env("VOUCHSAFE_CORPUS", path);
    }
    let mut filters: Vec<OsString> = vec!["--".into(), "--test-threads=2".into()];
    if options.without_peers {
        command.env("VOUCHSAFE_WITHOUT_PEERS", "1");
        filters.extend(["--skip".into(), "peer_".into()]);
    }
    if options.exhaustive {
        command.env("VOUCHSAFE_EXHAUSTIVE", "1");
    }
    command.args(filters).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting cargo test")?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)) {
            let line = line?;
            writeln!(std::io::stdout(), "{line}")?;
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status = child.wait()?;
    let corpus_tests =
        output.lines().filter(|line| line.contains("corpus_") && line.ends_with("... ok")).count();
    process::say(&match corpus {
        Some(path) => format!("{corpus_tests} corpus tests ran, against {}", path.display()),
        None => {
            "!! THE CORPUS IS ABSENT: no test against real evidence, tokens or recordings ran.\n\
                 !! Set VOUCHSAFE_CORPUS to its folder."
                .to_owned()
        }
    });
    if status.success() { Ok(()) } else { bail!("tests failed") }
}

fn docs() -> anyhow::Result<()> {
    let mut command = Command::new(process::cargo());
    command
        .args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"])
        .current_dir(paths::root());
    // Private items are documented too, so a link to one leads somewhere.
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    if process::status(&mut command)?.success() {
        Ok(())
    } else {
        bail!("documentation has warnings")
    }
}

fn deny() -> anyhow::Result<()> {
    if process::exists("cargo-deny") {
        process::run(process::cargo(), ["deny", "check", "bans", "licenses", "sources"])
    } else {
        process::say("cargo-deny is not installed: licences, bans and sources were NOT checked");
        Ok(())
    }
}
