//! Makes Azure match the manifest.

use std::alloc::System;
use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use jiff::Timestamp;
use provisioner::cli::Cli;
use provisioner::commands;
use provisioner::failure::Failure;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is freed: what libraries copy on their way, too.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(commands::run(cli, Timestamp::now));
    Ok(match ended {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            let mut out = anstream::stderr();
            write!(out, "{}", told(&failure)).ok();
            ExitCode::from(failure.exit().code())
        }
    })
}

/// What was being done, why it failed, and one line saying what to try.
fn told(failure: &Failure) -> String {
    let mut text = format!("error: {failure}\n");
    let mut cause = failure.source();
    while let Some(next) = cause {
        text.push_str(&format!("  because: {next}\n"));
        cause = next.source();
    }
    text.push_str(&format!("  try: {}\n", failure.remedy()));
    text
}
