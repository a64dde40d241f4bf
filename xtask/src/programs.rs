//! Building the workspace's programs and handing over to the provisioner.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::manifest::{self, Place};
use crate::{local, paths, process};

/// The provisioner's subcommands that are forwarded as they are.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    Deploy,
    Plan,
    Verify,
    Stop,
    Destroy,
    Env,
    Rotate,
    Rekey,
    Backup,
    Restore,
    Schema,
    Explain,
    Diff,
    Lint,
    Image,
}

impl Verb {
    /// Whether it asks the cloud anything, or looks at files only.
    fn asks(self, args: &[OsString]) -> bool {
        match self {
            Self::Schema | Self::Explain | Self::Diff | Self::Lint => false,
            // Of images only those in a registry.
            Self::Image => args.iter().any(|arg| arg.to_string_lossy().contains(".azurecr.io/")),
            Self::Deploy
            | Self::Plan
            | Self::Verify
            | Self::Stop
            | Self::Destroy
            | Self::Env
            | Self::Rotate
            | Self::Rekey
            | Self::Backup
            | Self::Restore => true,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Plan => "plan",
            Self::Verify => "verify",
            Self::Stop => "stop",
            Self::Destroy => "destroy",
            Self::Env => "env",
            Self::Rotate => "rotate",
            Self::Rekey => "rekey",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Schema => "schema",
            Self::Explain => "explain",
            Self::Diff => "diff",
            Self::Lint => "lint",
            Self::Image => "image",
        }
    }
}

/// Builds everything, starts the local cloud if the manifest is for it, and becomes the provisioner.
pub(crate) fn provisioner(verb: Verb, args: &[OsString]) -> anyhow::Result<ExitCode> {
    build()?;
    let file = args.iter().map(Path::new).find(|arg| arg.extension() == Some(OsStr::new("toml")));
    if let Some(path) = file.filter(|_| verb.asks(args))
        && let Place::Local { deployment, address } = manifest::place(path)?
    {
        local::start(&deployment, address)?;
    }
    let mut command = Command::new(paths::programs().join("vouchsafe-provisioner"));
    command.arg(verb.name()).args(args);
    process::status(&mut command).map(process::exit_code)
}

/// Builds every program of the workspace, always with the same features and flags.
pub(crate) fn build() -> anyhow::Result<()> {
    process::run(process::cargo(), ["build", "--quiet", "--workspace", "--bins"])
}
