//! The deployment that a command is about: its manifest, its signers' certificates, and where its files are.

use std::path::{Path, PathBuf};

use infra::Signers;
use manifest::{Manifest, Place};

use crate::cli::{AuthKind, Target};
use crate::cloud::Cloud;
use crate::failure::Failure;
use crate::lock::Lock;
use crate::signing::{self, Means, Signer};
use crate::state::{self, State};
use crate::tls;

/// What a command is about.
#[derive(Debug)]
pub struct Deployment {
    /// The manifest.
    pub manifest: Manifest,
    /// Its text, as it is signed.
    pub text: String,
    /// The certificates that it names.
    pub signers: Signers,
    /// This machine's folder.
    pub state: State,
    folder: PathBuf,
    path: PathBuf,
    target: Target,
}

impl Deployment {
    /// Reads the manifest and the certificates that it names.
    ///
    /// # Errors
    /// The manifest has faults, or a file cannot be read.
    pub fn read(target: &Target) -> Result<Self, Failure> {
        let path = &target.manifest;
        let text = state::read(path)?.ok_or_else(|| {
            Failure::new(format!("there is no file {}", path.display()), "check the path")
        })?;
        let manifest = parse(&path.display().to_string(), &text)?;
        let whole = std::path::absolute(path)
            .map_err(|error| Failure::of("finding the manifest", error, "check the path"))?;
        let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
        let signers = signing::certificates(&manifest, &folder)?;
        let state = match &target.state {
            Some(state) => State::open(state)?,
            None => State::open(&default_state(&folder, manifest.deployment().name.as_str()))?,
        };
        Ok(Self { manifest, text, signers, state, folder, path: whole, target: target.clone() })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.manifest.deployment().name.as_str()
    }

    /// The manifest's path, as it was given.
    #[must_use]
    pub fn shown_path(&self) -> String {
        self.target.manifest.display().to_string()
    }

    /// The command's options.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A file that the manifest names.
    #[must_use]
    pub fn beside(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Where the lock is: beside the manifest, to be committed; for the local cloud among this machine's files.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        match self.manifest.azure().place() {
            Place::Public => self.path.with_extension("lock"),
            Place::InsecureLocal(_) => self.state.path("lock.toml"),
        }
    }

    /// The lock, if there is one.
    ///
    /// # Errors
    /// There is a file that is none.
    pub fn lock(&self) -> Result<Option<Lock>, Failure> {
        Lock::read(&self.lock_path(), self.name())
    }

    /// Where the certificate chain of the verified server is kept, for clients that want a file.
    #[must_use]
    pub fn tls_chain_path(&self) -> PathBuf {
        self.state.path("tls-ca.pem")
    }

    /// The certificate in the PKCS#12 file that the manifest names, if the file is at hand and its password opens it.
    #[must_use]
    pub fn brought(&self) -> Option<tls::Certificate> {
        let file = self.manifest.tls().pkcs12.as_ref()?;
        tls::Certificate::brought(&self.beside(file.as_str()))
    }

    /// A signer whose key is at hand.
    ///
    /// # Errors
    /// None is.
    pub fn signer(&self, cloud: &Cloud) -> Result<Signer, Failure> {
        Signer::at_hand(&self.manifest, &self.folder, &self.signers, &self.means(), cloud)
    }

    /// What the command line says about signing.
    #[must_use]
    pub fn means(&self) -> Means {
        Means {
            keys: self.target.signers.clone(),
            command: self.target.sign_with.clone(),
            signer: self.target.sign_as.clone(),
            signature: self.target.signature.clone(),
        }
    }

    /// Who we are to Azure.
    #[must_use]
    pub fn auth(&self) -> azure::Auth {
        let local = matches!(self.manifest.azure().place(), Place::InsecureLocal(_));
        let kind = self.target.auth.unwrap_or(if local { AuthKind::Sp } else { AuthKind::Cli });
        match kind {
            AuthKind::Cli => {
                azure::Auth::Cli { tenant: self.manifest.azure().tenant.as_str().to_owned() }
            }
            AuthKind::Mi => azure::Auth::ManagedIdentity(azure::ManagedIdentity::Only),
            AuthKind::Wi => azure::Auth::WorkloadIdentity,
            AuthKind::Sp => {
                let file = self.target.service_principal.clone();
                let default = || self.state.path("cloud/service-principal.json");
                azure::Auth::ServicePrincipal(file.unwrap_or_else(default))
            }
        }
    }
}

/// Reads a manifest's text.
///
/// # Errors
/// All its faults.
pub fn parse(source_name: &str, text: &str) -> Result<Manifest, Failure> {
    Manifest::parse(source_name, text).map_err(|faults| {
        let count = faults.list().len();
        Failure::of(
            format!("the manifest has {count} fault{}", if count == 1 { "" } else { "s" }),
            faults,
            "correct the manifest; an editor completes it by manifests/schema.json",
        )
    })
}

/// `.vouchsafe/NAME` in the folder that holds `manifests/`, or else beside the manifest.
pub(crate) fn default_state(folder: &Path, name: &str) -> PathBuf {
    let root = match folder.file_name() {
        Some(last) if last == "manifests" => folder.parent().unwrap_or(folder),
        _ => folder,
    };
    root.join(".vouchsafe").join(name)
}
