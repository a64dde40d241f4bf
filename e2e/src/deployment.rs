//! A deployment of a test's own: `manifests/dev.toml` at another loopback address, in a folder of
//! its own, with its own local cloud.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::address::Claim;
use crate::cloud::Cloud;
use crate::programs;

/// A manifest, its cloud, and the programs run on both.
#[derive(Debug)]
pub struct Deployment {
    // Dropped first: what it runs lives in the folder.
    cloud: Cloud,
    folder: TempDir,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// The output of a program that ended well.
    ///
    /// # Errors
    /// It did not; the error holds what it said.
    pub fn well(self) -> anyhow::Result<Self> {
        self.with(0)
    }

    /// The output of a program that ended with this code.
    ///
    /// # Errors
    /// It ended otherwise; the error holds what it said.
    pub fn with(self, code: i32) -> anyhow::Result<Self> {
        ensure!(
            self.code == Some(code),
            "ended with {:?}, expected {code}\n--- stdout\n{}--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// Everything that it said.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Deployment {
    /// The manifest is written and the cloud runs; nothing is deployed.
    ///
    /// # Errors
    /// The cloud does not come up.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("vs-").tempdir()?;
        let claim = Claim::new()?;
        let manifests = folder.path().join("manifests");
        copy_tree(&programs::workspace().join("manifests"), &manifests)?;
        let at = claim.address().to_string();
        for name in ["dev.toml", "demo-agent.toml", "machine-agent.toml"] {
            let path = manifests.join(name);
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
            std::fs::write(&path, text.replace("127.0.0.1", &at))?;
        }
        let cloud = Cloud::start_at(claim, folder.path().join(".vouchsafe/dev/cloud"))?;
        Ok(Self { cloud, folder })
    }

    /// As [`Self::new`], and deployed.
    ///
    /// # Errors
    /// The deploy fails.
    pub fn deployed() -> anyhow::Result<Self> {
        let deployment = Self::new()?;
        deployment.deploy()?.well()?;
        Ok(deployment)
    }

    /// Its cloud.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Its cloud, to be restarted.
    pub fn cloud_mut(&mut self) -> &mut Cloud {
        &mut self.cloud
    }

    /// The folder that stands for a checkout.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The provisioner's folder, which holds the cloud's too.
    pub fn state(&self) -> PathBuf {
        self.folder().join(".vouchsafe/dev")
    }

    /// The manifest's file.
    pub fn manifest(&self) -> PathBuf {
        self.folder.path().join("manifests/dev.toml")
    }

    /// Changes the manifest's text.
    ///
    /// # Errors
    /// `from` does not occur.
    pub fn change(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.manifest())?;
        ensure!(text.contains(from), "the manifest has no `{from}`");
        Ok(std::fs::write(self.manifest(), text.replacen(from, to, 1))?)
    }

    /// Runs a verb of the provisioner on the manifest.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn provisioner(&self, verb: &str, args: &[&str]) -> anyhow::Result<Ended> {
        let mut command = self.command("vouchsafe-provisioner")?;
        command.arg(verb).arg(self.manifest()).args(args);
        Ok(command.output()?.into())
    }

    /// `deploy --yes`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn deploy(&self) -> anyhow::Result<Ended> {
        self.provisioner("deploy", &["--yes"])
    }

    /// A program of ours, in the deployment's folder, with nothing of this test's environment but
    /// the path to our programs.
    ///
    /// # Errors
    /// It is not built.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let program = programs::find(program)?;
        let mut command = Command::new(&program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            program.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::join_paths(folders)?)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a command as a simulated workload; `args` as of `vouchsafe-azure-sim enclave`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn enclave(&self, args: &[&str]) -> anyhow::Result<Ended> {
        let mut command = self.command("vouchsafe-azure-sim")?;
        command.args(["enclave".as_ref(), "--state".as_ref(), self.cloud.state().as_os_str()]);
        command.args(["--manifest".as_ref(), self.manifest().as_os_str()]).args(args);
        Ok(command.output()?.into())
    }

    /// Asks as the workload `demo` for what `manifests/demo-agent.toml` names, and prints one variable.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn demo(&self, options: &[&str]) -> anyhow::Result<Ended> {
        self.demo_with(options, &[])
    }

    /// The same, with options of the agent.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn demo_with(&self, options: &[&str], agent: &[&str]) -> anyhow::Result<Ended> {
        let config = self.folder().join("manifests/demo-agent.toml");
        let config = config.to_string_lossy();
        let mut args = vec!["demo"];
        args.extend(options);
        args.extend(["--", "vouchsafe-agent", "run", "--config", &config]);
        args.extend(agent);
        args.extend(["--", "printenv", "DB_PASSWORD"]);
        self.enclave(&args)
    }

    /// Asks as the workload `machine`, a virtual machine, for what `manifests/machine-agent.toml` names, and prints one variable.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn machine(&self, options: &[&str]) -> anyhow::Result<Ended> {
        let config = self.folder().join("manifests/machine-agent.toml");
        let config = config.to_string_lossy();
        let mut args = vec!["--vm"];
        args.extend(options);
        args.extend(["machine", "--", "vouchsafe-agent", "run", "--config", &config]);
        args.extend(["--", "printenv", "DISK_KEY"]);
        self.enclave(&args)
    }

    /// What `env` prints, as variables.
    ///
    /// # Errors
    /// The login fails.
    pub fn operator(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let told = self.provisioner("env", &[])?.well()?;
        let variables: BTreeMap<String, String> = told
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
            .collect();
        for name in ["VAULT_ADDR", "VAULT_CACERT", "VAULT_TOKEN"] {
            ensure!(variables.contains_key(name), "env prints no {name}");
        }
        Ok(variables)
    }
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if entry.path().extension() != Some(OsStr::new("lock")) {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
