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
    /// Puts a new barrier key in force at the running server: what is written from now on, holders of the old one cannot add to.
    #[command(after_help = EXITS)]
    Rotate(Env),
    /// Puts a new root key in force at the running server, with new automatic and recovery shares as the manifest says.
    #[command(after_help = EXITS)]
    Rekey(Env),
    /// Copies the store's objects into a folder, also while the server runs; a copy that is there is brought up to date.
    #[command(after_help = EXITS)]
    Backup(Backup),
    /// Copies a store from a folder into the deployment's empty container, up to a commit. The server must not run.
    #[command(after_help = EXITS)]
    Restore(Restore),
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
    /// Images: build, measure, push, inspect.
    #[command(subcommand)]
    Image(ImageVerb),
}

/// What to do with an image.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Builds the server's image, with its bill of materials and provenance, as an OCI layout.
    #[command(after_help = EXITS)]
    Build(ImageBuild),
    /// Prints an image's layer hashes and, given a container group, its policy and HOST_DATA.
    #[command(after_help = EXITS)]
    Measure(ImageMeasure),
    /// Pushes an OCI layout or an archive of one, with what is attached to it.
    #[command(after_help = EXITS)]
    Push(ImagePush),
    /// Shows what an image says of itself and what is attached to it; layers are not checked.
    #[command(after_help = EXITS)]
    Inspect(ImageInspect),
}

/// Options of `image build`.
#[derive(Debug, Clone, Args)]
pub struct ImageBuild {
    /// The program. [default: vouchsafe-server beside this program]
    #[arg(long, value_name = "PATH")]
    pub server_binary: Option<PathBuf>,
    /// Where the layout goes. [default: target/image/layout]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Writes the layout as one archive too.
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// How the image is called in its documents.
    #[arg(long, default_value = "vouchsafe/server")]
    pub name: String,
    /// Its tag in the layout.
    #[arg(long, default_value = "server")]
    pub tag: String,
    /// The time of everything in the image, in seconds since 1970. [default: 0, as `deploy` builds it]
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    pub created: Option<i64>,
    /// The output of `cargo metadata`, for the bill of materials; xtask gives it.
    #[arg(long, value_name = "FILE")]
    pub cargo_metadata: Option<PathBuf>,
    /// The commit that the program was built from; xtask gives it.
    #[arg(long, value_name = "HEX")]
    pub commit: Option<String>,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `image measure`.
#[derive(Debug, Clone, Args)]
pub struct ImageMeasure {
    /// Images: an OCI layout, an OCI archive, a `docker save` archive, a layer's archive, or
    /// REGISTRY/REPOSITORY, with :TAG or @sha256:… behind it; for a group of several containers CONTAINER=IMAGE.
    /// [default: what the group names, from its registry]
    pub sources: Vec<String>,
    /// What the files are, if that is not seen.
    #[arg(long = "as", value_enum, value_name = "KIND")]
    pub kind: Option<SourceKind>,
    /// A container group: a template of Azure Resource Manager, or the resource, in JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "section")]
    pub arm: Option<PathBuf>,
    /// The template's parameters file.
    #[arg(long, value_name = "FILE", requires = "arm")]
    pub parameters: Option<PathBuf>,
    /// A container group: a workload's section of the manifest.
    #[arg(long, value_name = "workload.NAME", requires = "manifest")]
    pub section: Option<String>,
    /// Fragments that the group admits, in JSON: {"fragments":[{"issuer","feed","minimum_svn","includes"}]}.
    #[arg(long, value_name = "FILE")]
    pub fragments: Option<PathBuf>,
    /// The least version of Microsoft's infrastructure fragment. [default: 4]
    #[arg(long, value_name = "N")]
    pub infrastructure_svn: Option<u32>,
    /// Makes a policy for debugging: the host sees and does everything in the group.
    #[arg(long)]
    pub debug: bool,
    /// Writes HOST_DATA into the manifest, which keeps its comments.
    #[arg(long, value_name = "workload.NAME", requires = "manifest")]
    pub write: Option<String>,
    /// Where registries are.
    #[command(flatten)]
    pub place: Where,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `image push`.
#[derive(Debug, Clone, Args)]
pub struct ImagePush {
    /// An OCI layout, or an archive of one.
    pub source: String,
    /// REGISTRY/REPOSITORY, with :TAG behind it.
    pub name: String,
    /// Where registries are.
    #[command(flatten)]
    pub place: Where,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `image inspect`.
#[derive(Debug, Clone, Args)]
pub struct ImageInspect {
    /// An OCI layout, an archive of one, or REGISTRY/REPOSITORY, with :TAG or @sha256:… behind it.
    pub source: String,
    /// Where registries are.
    #[command(flatten)]
    pub place: Where,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Which cloud a registry is in, and who we are there.
#[derive(Debug, Clone, Args)]
pub struct Where {
    /// The deployment whose cloud and login are used. [default: the public cloud, and no login]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Who we are to a registry of Azure.
    #[arg(long, value_enum)]
    pub auth: Option<AuthKind>,
    /// The tenant of --auth cli; a manifest says it.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// The service principal of --auth sp.
    #[arg(long, value_name = "FILE")]
    pub service_principal: Option<PathBuf>,
    /// Where this machine keeps what belongs to the deployment.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceKind {
    /// An archive of an OCI layout.
    Oci,
    /// What `docker save` writes.
    Docker,
    /// One layer, perhaps compressed.
    Layer,
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
    /// Evidence: the 1184 bytes of a report, our own JSON of a container or a virtual machine, or what goes to the attestation service.
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Asks about this secret instead of the master key.
    #[arg(long, value_name = "PATH", requires = "evidence")]
    pub secret: Option<String>,
    /// The certificates of a report that comes alone: PEM, or the JSON of the certificate service.
    #[arg(long, value_name = "FILE", requires = "evidence")]
    pub certificates: Option<PathBuf>,
    /// The endorsement of a container's utility VM: COSE.
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
    /// A revocation list of AMD (DER) for the server's processor, instead of asking AMD for it.
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,
    /// Who we are to Azure: the Azure CLI's user, a managed identity, a workload identity, a service principal.
    /// [default: cli; for the local cloud sp]
    #[arg(long, value_enum)]
    pub auth: Option<AuthKind>,
    /// The service principal: a JSON file with tenant, `client_id` and `client_secret` that only its owner may read.
    /// [default for the local cloud: STATE/cloud/service-principal.json]
    #[arg(long, value_name = "FILE")]
    pub service_principal: Option<PathBuf>,
    /// A signer's private key: a file (PKCS#8 PEM), or a key in a vault by its address, `https://VAULT.vault.azure.net/keys/KEY/VERSION`.
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

/// Options of `backup`.
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// Which deployment.
    #[command(flatten)]
    pub target: Target,
    /// The folder of the copy.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Options of `restore`.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// Which deployment.
    #[command(flatten)]
    pub target: Target,
    /// The folder of the copy.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The last commit that is restored. [default: the last of the copy]
    #[arg(long, value_name = "N")]
    pub until: Option<u64>,
    /// The anchor that the holders of recovery shares made for this end of the store, if it is older than the one in the
    /// vault: what `vouchsafe-agent recovery open --anchor` prints.
    #[arg(long, value_name = "LINE")]
    pub anchor: Option<store::SealedAnchor>,
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
