//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer and AddressSanitizer, on a nightly toolchain.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

use crate::{paths, process};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The targets; all of `fuzz/corpus/` if none is named.
    targets: Vec<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// Builds the fuzzer once and runs one target after the other, each over its seeds and what earlier runs
/// have found worth keeping.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let targets = if options.targets.is_empty() { known()? } else { options.targets.clone() };
    let seeds = paths::root().join("fuzz/corpus");
    for target in &targets {
        ensure!(
            seeds.join(target).is_dir(),
            "no target is called {target}; there are {}",
            known()?.join(", ")
        );
    }
    build()?;
    for target in &targets {
        process::say(&format!("── {target}, {} s", options.seconds));
        let grown = work().join("corpus").join(target);
        let findings = work().join("findings").join(target);
        fs::create_dir_all(&grown)?;
        fs::create_dir_all(&findings)?;
        let mut fuzzer = Command::new(work().join(TRIPLE).join("fuzz/vouchsafe-fuzz"));
        fuzzer
            .arg(&grown)
            .arg(seeds.join(target))
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            // Memory in MB: an input that makes a parser take more is a finding.
            .args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1", "-verbosity=0"])
            .env("VOUCHSAFE_FUZZ", target)
            .current_dir(paths::root());
        ensure!(
            process::status(&mut fuzzer)?.success(),
            "{target}: a finding, in {}; run `cargo run -p vouchsafe-fuzz -- {target} FILE` to see it, and \
             put the file into fuzz/corpus/{target}/ with its fix",
            findings.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn build() -> anyhow::Result<()> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "build", "--quiet", "--profile", "fuzz", "--package"]);
    command.args(["vouchsafe-fuzz", "--bin", "vouchsafe-fuzz", "--target-dir"]).arg(work());
    command.current_dir(paths::root()).env("RUSTFLAGS", FLAGS.join(" "));
    // Set by the pinned toolchain's cargo, which started us.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    let built = process::status(&mut command).context("the fuzzer needs rustup")?;
    ensure!(built.success(), "the fuzzer does not build; it needs the nightly toolchain and g++");
    Ok(())
}

fn known() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(paths::root().join("fuzz/corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn work() -> PathBuf {
    paths::root().join("target/fuzz")
}

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Those of `.cargo/config.toml`, but linked dynamically as the sanitizer wants it; coverage as libFuzzer
/// reads it (LLVM, "SanitizerCoverage").
const FLAGS: &[&str] = &[
    "--cfg fuzzing",
    "--cfg getrandom_backend=\"linux_getrandom\"",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
