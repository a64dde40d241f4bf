//! A manifest somewhere: in a file, or in a revision of a git repository; and the signers' certificates beside it.
//!
//! git is asked for the bytes of a path in a revision and for nothing else. What it gives is as hostile as any file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use infra::diff::SignerKey;
use manifest::{Manifest, Name};
use protocol::SignerCertificate;

use crate::deployment;
use crate::failure::Failure;
use crate::state;

/// Where a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a revision of the repository around the working directory.
    Git {
        /// The revision, as git names one.
        revision: String,
        /// The path from the repository's root, or after `./` from the working directory.
        path: PathBuf,
    },
}

/// A manifest with its place.
#[derive(Debug)]
pub struct ManifestAt {
    /// As it was asked for.
    pub name: String,
    /// The manifest.
    pub manifest: Manifest,
    place: Place,
}

impl Place {
    /// A path, or `git:REV:PATH`.
    ///
    /// # Errors
    /// `git:` without both.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let Some(rest) = text.strip_prefix("git:") else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        match rest.rsplit_once(':') {
            // A revision that begins with a hyphen would be an option.
            Some((revision, path))
                if !revision.is_empty() && !revision.starts_with('-') && !path.is_empty() =>
            {
                Ok(Self::Git { revision: revision.to_owned(), path: PathBuf::from(path) })
            }
            _ => Err(Failure::new(
                format!("{text} names no manifest in git"),
                "write git:REV:PATH, for example git:main:manifests/prod.toml",
            )),
        }
    }

    /// The same place's file beside the manifest.
    fn beside(&self, file: &str) -> Self {
        let next = |path: &Path| plain(&path.with_file_name("").join(file));
        match self {
            Self::File(path) => Self::File(next(path)),
            Self::Git { revision, path } => {
                Self::Git { revision: revision.clone(), path: next(path) }
            }
        }
    }

    /// What is there, if anything is.
    fn read(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::File(path) => state::read(path),
            Self::Git { revision, path } => {
                let object = format!("{revision}:{}", path.display());
                let remedy = "git has to be installed, and this has to be a repository";
                let failed = |error: std::io::Error| {
                    Failure::of(format!("reading {object} from git"), error, remedy)
                };
                let output = Command::new("git")
                    .args(["cat-file", "blob", &object])
                    .output()
                    .map_err(failed)?;
                if !output.status.success() {
                    return Ok(None);
                }
                let text = String::from_utf8(output.stdout);
                text.map(Some).map_err(|error| failed(std::io::Error::other(error)))
            }
        }
    }
}

/// The path without `.` and `..`, which git does not follow inside a revision.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            Component::ParentDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

impl ManifestAt {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It is not there, or has faults.
    pub fn read(name: &str) -> Result<Self, Failure> {
        let place = Place::parse(name)?;
        let text = place.read()?.ok_or_else(|| {
            let remedy = match place {
                Place::File(_) => "check the path",
                Place::Git { .. } => {
                    "check revision and path: git cat-file blob REV:PATH has to show the manifest"
                }
            };
            Failure::new(format!("there is no manifest {name}"), remedy)
        })?;
        let manifest = deployment::parse(name, &text)?;
        Ok(Self { name: name.to_owned(), manifest, place })
    }

    /// What is known of the signers.
    ///
    /// # Errors
    /// A certificate that is there and is none.
    pub fn signers(&self) -> Result<BTreeMap<Name, SignerKey>, Failure> {
        let key = |(name, signer): (&Name, &manifest::Signer)| {
            let path = signer.certificate.as_str();
            let key = match self.place.beside(path).read()? {
                None => SignerKey::Unread(path.to_owned()),
                Some(pem) => {
                    let certificate = SignerCertificate::from_pem(&pem).map_err(|error| {
                        let doing = format!("reading the certificate of signer {name}, {path}");
                        Failure::of(doing, error, "check [signer] in the manifest")
                    })?;
                    SignerKey::Known(certificate.id())
                }
            };
            Ok((name.clone(), key))
        };
        self.manifest.signer().iter().map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_in_git() {
        assert_eq!(Place::parse("a/b.toml").unwrap(), Place::File("a/b.toml".into()));
        let git = Place::parse("git:HEAD~1:manifests/prod.toml").unwrap();
        assert_eq!(
            git,
            Place::Git { revision: "HEAD~1".to_owned(), path: "manifests/prod.toml".into() }
        );
        let Place::Git { path, .. } = git.beside("signers/a.pem") else { panic!() };
        assert_eq!(path, Path::new("manifests/signers/a.pem"));
        for bad in ["git:main", "git::a", "git:main:", "git:--output=x:a"] {
            Place::parse(bad).unwrap_err();
        }
    }
}
