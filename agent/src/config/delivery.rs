//! `[[secret]]`: which secret goes where.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use manifest::SecretPath;

use super::read::{Item, Table};
use super::variable::{Reach, Variable};

/// One secret and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The secret.
    pub path: SecretPath,
    /// Where it goes.
    pub to: Target,
}

/// Where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A variable of the application's environment.
    Environment(Variable),
    /// A file.
    File(SecretFile),
}

/// A file that is to hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    folder: PathBuf,
    name: String,
    mode: FileMode,
}

impl SecretFile {
    fn new(path: &Path, mode: FileMode) -> Option<Self> {
        let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        let name = path.file_name()?.to_str()?.to_owned();
        let folder = path.parent()?.to_owned();
        (path.is_absolute() && plain && !path.to_str()?.ends_with('/')).then_some(Self {
            folder,
            name,
            mode,
        })
    }

    /// The folder, absolute and without `..`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file's name in it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who may read it.
    #[must_use]
    pub const fn mode(&self) -> FileMode {
        self.mode
    }

    /// Folder and name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

/// The permission bits of a secret's file: of its owner, perhaps its group, never of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileMode {
    /// 0400
    OwnerReads,
    /// 0440
    GroupReads,
    /// 0600
    OwnerWrites,
    /// 0640
    OwnerWritesGroupReads,
}

impl FileMode {
    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::OwnerReads => 0o400,
            Self::GroupReads => 0o440,
            Self::OwnerWrites => 0o600,
            Self::OwnerWritesGroupReads => 0o640,
        }
    }
}

/// A text that is no such mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAMode;

impl fmt::Display for NotAMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"expected "0400", "0440", "0600" or "0640""#)
    }
}

impl FromStr for FileMode {
    type Err = NotAMode;
    fn from_str(text: &str) -> Result<Self, NotAMode> {
        match text {
            "0400" => Ok(Self::OwnerReads),
            "0440" => Ok(Self::GroupReads),
            "0600" => Ok(Self::OwnerWrites),
            "0640" => Ok(Self::OwnerWritesGroupReads),
            _ => Err(NotAMode),
        }
    }
}

/// All of the list, or nothing if one of them has a fault.
pub(super) fn read(
    secrets: &[Item<'_>],
    insecure_allowed: &BTreeSet<Variable>,
) -> Option<Vec<Delivery>> {
    let mut targets = BTreeSet::new();
    let mut deliveries = Some(Vec::new());
    for item in secrets {
        let delivery = item.table().and_then(|table| read_one(table, insecure_allowed));
        if let Some(delivery) = &delivery {
            let target = match &delivery.to {
                Target::Environment(variable) => variable.to_string(),
                Target::File(file) => file.path().display().to_string(),
            };
            if !targets.insert(target) {
                item.reject("another secret goes to the same place");
            }
        }
        deliveries = match (deliveries, delivery) {
            (Some(mut deliveries), Some(delivery)) => {
                deliveries.push(delivery);
                Some(deliveries)
            }
            _ => None,
        };
    }
    deliveries
}

fn read_one(table: Table<'_>, insecure_allowed: &BTreeSet<Variable>) -> Option<Delivery> {
    let path = table.required("path").and_then(|item| item.parse());
    let variable = table.optional("env").map(|item| {
        let variable: Variable = item.parse()?;
        if variable.reach() == Reach::Control && !insecure_allowed.contains(&variable) {
            item.reject(
                "programs take code or files from this variable, so a secret may not set it; \
                 `insecure_allow_env` can allow it",
            );
        }
        Some(variable)
    });
    let mode = match table.optional("mode") {
        Some(item) if variable.is_some() => {
            item.reject("only a file has a mode");
            None
        }
        Some(item) => item.parse(),
        None => Some(FileMode::OwnerReads),
    };
    let file = table.optional("file").map(|item| {
        let file = SecretFile::new(Path::new(item.text()?), mode?);
        if file.is_none() {
            item.reject("expected an absolute path without `..` that names a file");
        }
        file
    });
    let to = match (variable, file) {
        (Some(variable), None) => variable.map(Target::Environment),
        (None, Some(file)) => file.map(Target::File),
        (Some(_), Some(_)) | (None, None) => {
            table.reject("expected either `env` or `file`");
            None
        }
    };
    table.finish();
    Some(Delivery { path: path?, to: to? })
}
