//! Starting other programs, and talking to the person at the terminal.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, bail};

use crate::paths;

/// Runs a program to its end in the workspace's root; its output goes where ours goes.
pub(crate) fn run(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<()> {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::root());
    status(&mut command).and_then(|status| {
        if status.success() {
            Ok(())
        } else {
            bail!("{} ended with {status}", Path::new(program).display())
        }
    })
}

/// Runs a prepared command to its end.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("starting {}", Path::new(command.get_program()).display()))
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

/// Cargo, the one that started us.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The exit code of a child as our own.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// A line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "this is the door that output goes through")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// An error for the person at the terminal, its causes below it.
pub(crate) fn complain(error: &anyhow::Error) {
    say(&format!("error: {error}"));
    for cause in error.chain().skip(1) {
        say(&format!("  because: {cause}"));
    }
}
