//! `cargo xtask image …`: the provisioner's commands about images, with what only a checkout knows.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::programs::{self, Verb};
use crate::{paths, process, reproduce};

/// What to do with an image.
#[derive(clap::Subcommand)]
pub(crate) enum Image {
    /// Build the server's image, with its bill of materials and provenance, as an OCI layout.
    Build(Build),
    /// Print an image's layer hashes and, given a container group, its policy and HOST_DATA.
    Measure(Forward),
    /// Push an OCI layout or archive with what is attached to it.
    Push(Forward),
    /// Show what an image is made of and what is attached to it.
    Inspect(Forward),
    /// Build the server for release in two folders and compare the programs.
    Reproduce(reproduce::Options),
}

/// Options of `cargo xtask image build`; all others go to the provisioner.
#[derive(clap::Args)]
pub(crate) struct Build {
    /// Build the server for release, with no path of this machine in it.
    #[arg(long)]
    release: bool,
    /// Arguments of the provisioner.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Arguments of the provisioner.
#[derive(clap::Args)]
pub(crate) struct Forward {
    /// See `--help` after the subcommand's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Does it.
pub(crate) fn run(command: Image) -> anyhow::Result<ExitCode> {
    match command {
        Image::Build(build) => make(build),
        Image::Measure(f) => forward("measure", f.args),
        Image::Push(f) => forward("push", f.args),
        Image::Inspect(f) => forward("inspect", f.args),
        Image::Reproduce(options) => reproduce::run(&options),
    }
}

fn make(build: Build) -> anyhow::Result<ExitCode> {
    let mut args = build.args;
    let metadata = paths::root().join("target/image/metadata.json");
    let output = Command::new(process::cargo())
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(paths::root())
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::create_dir_all(metadata.parent().context("the metadata's folder")?)?;
    fs::write(&metadata, output.stdout)?;
    args.extend(["--cargo-metadata".into(), metadata.into()]);
    if let Some(commit) = commit() {
        args.extend(["--commit".into(), commit.into()]);
    }
    if build.release {
        args.extend(["--server-binary".into(), reproduce::server()?.into()]);
    }
    forward("build", args)
}

/// The commit that is checked out, if nothing was changed since.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(paths::root()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"])?;
    if changed.is_empty() { git(&["rev-parse", "HEAD"]) } else { None }
}

fn forward(verb: &str, args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    programs::provisioner(Verb::Image, &[vec![verb.into()], args].concat())
}
