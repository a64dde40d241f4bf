//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::signing::KeyAt;

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
    /// Would this token or evidence get the master key, or that secret? Asks nobody. Exits 2 if not.
    #[command(after_help = EXITS)]
    Explain(Explain),
    /// What the change from one manifest to another means, the worst first. Exits 3 if it weakens anything.
    #[command(after_help = EXITS)]
    Diff(Diff),
    /// What to look at in a manifest and in the policies that it means. Exits 2 if there is anything.
    #[command(after_help = EXITS)]
    Lint(Lint),
}

/// Options of `explain`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("subject").required(true).args(["token", "evidence"])))]
pub struct Explain {
    /// The manifest.
    pub manifest: PathBuf,
    /// A token of the attestation service: a JWT, or its claims as JSON.
    #[arg(long, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// Evidence: the 1184 bytes of a report, our own JSON, or what goes to the attestation service.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Asks about this secret instead of the master key.
    #[arg(long, value_name = "PATH", requires = "evidence")]
    pub secret: Option<String>,
    /// The certificates of a report that comes alone: PEM, or the JSON of the certificate service.
    #[arg(long, value_name = "FILE", requires = "evidence")]
    pub certificates: Option<PathBuf>,
    /// The endorsement of its utility VM: COSE.
    #[arg(long, value_name = "FILE", requires = "evidence")]
    pub endorsement: Option<PathBuf>,
    /// HOST_DATA of the server. [default: that of the lock if the lock is of this manifest; else it is measured]
    #[arg(long, value_name = "HEX")]
    pub host_data: Option<evidence::HostData>,
    /// The program that the server's image is made of. [default: vouchsafe-server beside this program]
    #[arg(long, value_name = "PATH")]
    pub server_binary: Option<PathBuf>,
    /// Where this machine keeps what belongs to the deployment. [default: .vouchsafe/NAME beside the manifests' folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `diff`.
#[derive(Debug, Clone, Args)]
pub struct Diff {
    /// The manifest as it was: a path, or git:REV:PATH.
    pub old: String,
    /// The manifest as it is to be: the same.
    pub new: String,
    /// Prints Markdown for a pull request.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `lint`.
#[derive(Debug, Clone, Args)]
pub struct Lint {
    /// The manifest: a path, or git:REV:PATH.
    pub manifest: String,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
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
    /// A signer's private key: a file (PKCS#8 PEM), or a key in a vault, https://VAULT.vault.azure.net/keys/KEY/VERSION.
    /// A manifest for the local cloud may name its own.
    #[arg(long = "signer", value_name = "NAME=KEY", value_parser = signer)]
    pub signers: Vec<(String, KeyAt)>,
    /// A command that signs: what is to be signed on its standard input, the RS256 signature on its standard output, raw or
    /// in base64.
    #[arg(long, value_name = "CMD")]
    pub sign_with: Option<String>,
    /// The signer whose key the command has; or the signer of the attestation policy, elsewhere if no key of it is at hand.
    /// [default: the first whose key is at hand]
    #[arg(long, value_name = "NAME")]
    pub sign_as: Option<String>,
    /// A signature of the attestation policy that was made elsewhere, of the text that `deploy` left.
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
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

fn signer(text: &str) -> Result<(String, KeyAt), String> {
    match text.split_once('=') {
        Some((name, key)) if !name.is_empty() && !key.is_empty() => {
            Ok((name.to_owned(), key.parse()?))
        }
        _ => Err("NAME=KEY, with the signer's name as in the manifest".to_owned()),
    }
}

const EXITS: &str = "Exit codes: 0 done · 1 error · 2 drift (plan), faults (verify), no (explain) or findings (lint) · 3 refused: nothing was changed, the remedy is shown; of diff: something is weakened · 4 another deployment is running · 5 the attestation policy waits for a signature";
