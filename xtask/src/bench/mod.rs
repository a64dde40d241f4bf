//! `cargo xtask bench`: of the whole path, or of one package.

mod path;
mod ratios;

use std::process::ExitCode;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folders below `crates/` whose benches are run, or `infra`; the whole path on the local cloud if none is named.
    packages: Vec<String>,
    /// Of the path: how often a plan and a later boot are measured; the median counts.
    #[arg(long, default_value_t = 20)]
    times: u32,
    /// Of the path: how often a deployment from nothing is measured.
    #[arg(long, default_value_t = 3)]
    births: u32,
}

/// Measures what docs/BENCHMARKS.md tells.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.packages.is_empty() {
        return path::run(options.times, options.births);
    }
    for package in &options.packages {
        ratios::run(package)?;
    }
    Ok(ExitCode::SUCCESS)
}
