//! Every chore of the project as a subcommand, started with `cargo xtask`.
//!
//! It builds in seconds because it links nothing of ours. Whatever needs our crates is a program
//! of its own, which this one builds (always the whole workspace, with one set of flags) and then
//! starts: the provisioner for everything that concerns a manifest, the local cloud for
//! `cargo xtask local`.

mod bench;
mod ci;
mod fuzz;
mod image;
mod local;
mod manifest;
mod paths;
mod peers;
mod process;
mod programs;
mod reproduce;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::programs::Verb;

#[derive(Parser)]
#[command(name = "cargo xtask", version, about = "Every chore of Vouchsafe")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the provisioner does it explains itself: those verbs leave `--help` to it.
#[derive(Subcommand)]
enum Command {
    /// Make Azure match a manifest, and wait until the server serves.
    #[command(disable_help_flag = true)]
    Deploy(Forward),
    /// Show what `deploy` would change; exit 2 if there is anything.
    #[command(disable_help_flag = true)]
    Plan(Forward),
    /// Check a running deployment end to end.
    #[command(disable_help_flag = true)]
    Verify(Forward),
    /// Stop the container group, and nothing else.
    #[command(disable_help_flag = true)]
    Stop(Forward),
    /// Remove what `deploy` made.
    #[command(disable_help_flag = true)]
    Destroy(Forward),
    /// Put a new barrier key in force at the running server.
    Rotate(Forward),
    /// Put a new root key in force at the running server, with new shares.
    Rekey(Forward),
    /// Copy the store's objects into a folder, also while the server runs.
    Backup(Forward),
    /// Copy a store from a folder into the deployment's empty container.
    Restore(Forward),
    /// Print VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN for the shell.
    #[command(disable_help_flag = true)]
    Env(Forward),
    /// Print the JSON Schema of manifests.
    #[command(disable_help_flag = true)]
    Schema(Forward),
    /// Say whether a token or evidence would get the master key, or a secret, and what is in the way.
    #[command(disable_help_flag = true)]
    Explain(Forward),
    /// Say what the change from one manifest to another means, the worst first; exit 3 if it weakens anything.
    #[command(disable_help_flag = true)]
    Diff(Forward),
    /// Say what to look at in a manifest and in the policies that it means.
    #[command(disable_help_flag = true)]
    Lint(Forward),
    /// Deploy manifests/dev.toml and show one log until interrupted.
    Dev(Forward),
    /// The local cloud.
    #[command(subcommand)]
    Local(local::Local),
    /// Images: build, measure, push, inspect, reproduce.
    #[command(subcommand)]
    Image(image::Image),
    /// Everything that a change must pass.
    Ci(ci::Options),
    /// Install the peers that tests talk to, by name and only if missing.
    Setup,
    /// Check the rules of CONVENTIONS.md that a machine can check.
    Tidy,
    /// Measure what docs/BENCHMARKS.md tells.
    Bench(bench::Options),
    /// Look for inputs that make a parser panic, hang or eat memory.
    Fuzz(fuzz::Options),
    /// Compare with other people's verifiers and stores, in the workspace `oracles/`.
    Oracles,
    /// Rewrite the golden files from what the code generates now.
    Bless,
}

#[derive(clap::Args)]
struct Forward {
    /// Arguments of the provisioner; the manifest first.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<std::ffi::OsString>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            process::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Deploy(f) => programs::provisioner(Verb::Deploy, &f.args),
        Command::Plan(f) => programs::provisioner(Verb::Plan, &f.args),
        Command::Verify(f) => programs::provisioner(Verb::Verify, &f.args),
        Command::Stop(f) => programs::provisioner(Verb::Stop, &f.args),
        Command::Destroy(f) => programs::provisioner(Verb::Destroy, &f.args),
        Command::Rotate(f) => programs::provisioner(Verb::Rotate, &f.args),
        Command::Rekey(f) => programs::provisioner(Verb::Rekey, &f.args),
        Command::Backup(f) => programs::provisioner(Verb::Backup, &f.args),
        Command::Restore(f) => programs::provisioner(Verb::Restore, &f.args),
        Command::Env(f) => programs::provisioner(Verb::Env, &f.args),
        Command::Schema(f) => programs::provisioner(Verb::Schema, &f.args),
        Command::Explain(f) => programs::provisioner(Verb::Explain, &f.args),
        Command::Diff(f) => programs::provisioner(Verb::Diff, &f.args),
        Command::Lint(f) => programs::provisioner(Verb::Lint, &f.args),
        Command::Dev(f) => local::dev(
            f.args.first().map_or_else(|| paths::root().join("manifests/dev.toml"), PathBuf::from),
        ),
        Command::Local(command) => local::run(command),
        Command::Image(command) => image::run(command),
        Command::Ci(options) => ci::run(&options),
        Command::Setup => peers::setup().map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Command::Bench(options) => bench::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Oracles => ci::oracles().map(|()| ExitCode::SUCCESS),
        Command::Bless => ci::bless().map(|()| ExitCode::SUCCESS),
    }
}
