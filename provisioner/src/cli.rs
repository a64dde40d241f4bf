//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Makes Azure match a manifest.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-provisioner", version, after_help = EXITS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Shows what differs, applies it, waits until the server serves, verifies it, and writes the lock.
    #[command(after_help = EXITS)]
    Deploy(Deploy),
    /// Shows what `deploy` would do. Exits 2 if that is anything.
    #[command(after_help = EXITS)]
    Plan(Plan),
    /// Checks a running deployment end to end. Exits 2 if there is any fault.
    #[command(after_help = EXITS)]
    Verify(Target),
    /// Stops the server: its container group goes, nothing else does.
    #[command(after_help = EXITS)]
    Stop(Target),
    /// Removes what `deploy` made. The vault is kept by Azure for its retention, and a later `deploy` recovers it.
    #[command(after_help = EXITS)]
    Destroy(Destroy),
    /// Logs in as an operator and prints what a Vault client needs, for `eval "$(…)"`.
    #[command(after_help = EXITS)]
    Env(Env),
    /// Prints the JSON Schema of manifests.
    Schema,
}

/// Which deployment, and as whom.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The manifest.
    pub manifest: PathBuf,
    /// Prints JSON instead of text, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Who we are to Azure: the Azure CLI's user, a managed identity, a workload identity, a service principal.
    /// [default: cli; for the local cloud sp]
    #[arg(long, value_enum)]
    pub auth: Option<AuthKind>,
    /// The service principal: a JSON file with tenant, `client_id` and `client_secret` that only its owner may read.
    /// [default for the local cloud: STATE/cloud/service-principal.json]
    #[arg(long, value_name = "FILE")]
    pub service_principal: Option<PathBuf>,
    /// A signer's private key (PKCS#8 PEM). A manifest for the local cloud may name its own.
    #[arg(long = "signer", value_name = "NAME=KEYFILE", value_parser = signer)]
    pub signers: Vec<(String, PathBuf)>,
    /// The program that the server's image is made of. [default: vouchsafe-server beside this program]
    #[arg(long, value_name = "PATH")]
    pub server_binary: Option<PathBuf>,
    /// Where this machine keeps what belongs to the deployment. [default: .vouchsafe/NAME beside the manifests' folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Takes this version of the master key for ours, though no signature, lock or record says so.
    #[arg(long, value_name = "VERSION")]
    pub adopt_master_key: Option<String>,
    /// Begins an empty store in the place of one that is gone. Every secret that was in it is lost.
    #[arg(long)]
    pub begin_new_store: bool,
}

/// Options of `deploy`.
#[derive(Debug, Clone, Args)]
pub struct Deploy {
    /// Which deployment.
    #[command(flatten)]
    pub target: Target,
    /// Applies without asking, also what destroys something.
    #[arg(long)]
    pub yes: bool,
    /// Shows the plan and stops.
    #[arg(long)]
    pub plan_only: bool,
}

/// Options of `plan`.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Which deployment.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `destroy`.
#[derive(Debug, Clone, Args)]
pub struct Destroy {
    /// Which deployment.
    #[command(flatten)]
    pub target: Target,
    /// The deployment's name, instead of being asked for it.
    #[arg(long, value_name = "NAME")]
    pub yes: Option<String>,
    /// Purges the vault with the master key, for good. Works only without purge protection.
    #[arg(long)]
    pub purge_master_key: bool,
}

/// Options of `env`.
#[derive(Debug, Clone, Args)]
pub struct Env {
    /// Which deployment.
    #[command(flatten)]
    pub target: Target,
    /// The operator of the manifest to log in as. [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub operator: Option<String>,
}

/// Who we are to Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthKind {
    /// Whoever `az login` logged in.
    Cli,
    /// The managed identity of this machine.
    Mi,
    /// A federated token of a Kubernetes service account or a CI job.
    Wi,
    /// A service principal.
    Sp,
}

fn signer(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err("NAME=KEYFILE, with the signer's name as in the manifest".to_owned()),
    }
}

const EXITS: &str = "Exit codes: 0 done · 1 error · 2 drift (plan) or faults (verify) · 3 refused: nothing was changed, the remedy is shown · 4 another deployment is running";
