//! What an agent is told beforehand: which server it believes, and where which secret goes.
//!
//! The file is trusted as the application's image is: whoever can change it decides which server
//! is believed. It holds no secret. Every fault is reported, unknown keys are refused, and what
//! lowers safety has a key that begins with `insecure_`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use attester::Device;
use evidence::{Anchors, Sha256};
use manifest::{DeploymentName, SecretPath};
use protocol::SignerId;
use server_client::Address;
use toml::de::DeTable;

mod delivery;
mod read;
mod variable;

pub use delivery::{Delivery, FileMode, SecretFile, Target};
pub use read::Fault;
use read::{Sink, Table};
pub use variable::{NotAVariable, Variable};

/// A configuration without fault.
#[derive(Debug)]
pub struct Config {
    server: Address,
    pins: Pins,
    roots: Roots,
    kind: Kind,
    state: Option<PathBuf>,
    wait: Duration,
    deliveries: Vec<Delivery>,
}

/// What a server must be to be believed.
#[derive(Debug)]
pub struct Pins {
    /// The deployment's name.
    pub deployment: DeploymentName,
    /// Whose signatures count.
    pub signers: BTreeSet<SignerId>,
    /// A manifest of a lower revision is refused.
    pub minimum_revision: u64,
    /// A bundle of a lower serial is refused.
    pub minimum_serial: u64,
}

/// Whose silicon counts, and with it which device speaks for us.
#[derive(Debug)]
pub enum Roots {
    /// AMD's, and Microsoft's for utility VMs.
    Real,
    /// Those of the local cloud, which anybody can sign with.
    InsecureLocal {
        /// SHA-256 of the DER of each forged AMD root.
        amd: BTreeSet<Sha256>,
        /// SHA-256 of the DER of the forged root of utility VMs.
        uvm: Sha256,
        /// Where it stands in for AMD's service.
        cloud: Option<InsecureCloud>,
    },
}

/// Where a local cloud listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsecureCloud {
    /// Its address.
    pub address: SocketAddr,
    /// SHA-256 of the DER of its CA's certificate.
    pub ca: Sha256,
}

/// What the application runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A confidential container group.
    Container,
    /// A confidential virtual machine.
    Vm,
}

impl FromStr for Kind {
    type Err = NotAKind;

    fn from_str(text: &str) -> Result<Self, NotAKind> {
        match text {
            "container" => Ok(Self::Container),
            "vm" => Ok(Self::Vm),
            _ => Err(NotAKind),
        }
    }
}

/// Another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected \"container\" or \"vm\"")]
pub struct NotAKind;

impl Roots {
    /// The roots of a server's evidence.
    #[must_use]
    pub fn anchors(&self) -> Anchors {
        match self {
            Self::Real => Anchors::amd(),
            Self::InsecureLocal { amd, uvm, .. } => Anchors::insecure(amd.iter().copied(), *uvm),
        }
    }

    /// The device that makes our own evidence.
    #[must_use]
    pub const fn device(&self) -> Device {
        match self {
            Self::Real => Device::Silicon,
            Self::InsecureLocal { .. } => Device::InsecureSimulated,
        }
    }
}

impl Config {
    /// Reads a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// It cannot be read, or has faults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read(path.to_owned(), error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder)
            .map_err(|faults| ConfigError::Faults { file: path.to_owned(), faults })
    }

    /// Reads a text. Relative paths in it start at `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Faults> {
        let sink = Sink::new(text);
        let (document, syntax) = DeTable::parse_recoverable(text);
        for error in &syntax {
            sink.push(&error.span().unwrap_or_default(), "", error.message());
        }
        let config = if syntax.is_empty() {
            let table = Table::root(document.get_ref(), &sink);
            let config = read(&table, folder);
            table.finish();
            config
        } else {
            None
        };
        let faults = sink.into_faults();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(Faults(faults)),
        }
    }

    /// Where the server is.
    #[must_use]
    pub const fn server(&self) -> &Address {
        &self.server
    }

    /// What it must be.
    #[must_use]
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Whose silicon counts.
    #[must_use]
    pub const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What the application runs in.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The file that remembers the newest server seen.
    #[must_use]
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// How long an unavailable server is waited for.
    #[must_use]
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// Which secret goes where.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// The secrets to ask for, each once.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<&SecretPath> {
        self.deliveries.iter().map(|delivery| &delivery.path).collect()
    }
}

fn read(table: &Table<'_>, folder: &Path) -> Option<Config> {
    if let Some(version) = table.required("version") {
        version.number(1..=1);
    }
    let server = table.required("server").and_then(|item| item.parse());
    let deployment = table.required("deployment").and_then(|item| item.parse());
    let signers = table.required("signers").and_then(|item| item.set());
    let minimum = |key| table.required(key).and_then(|item| item.number(1..=LARGEST));
    let minimum_revision = minimum("minimum_revision");
    let minimum_serial = minimum("minimum_serial");
    let state = table.optional("state").and_then(|item| item.text());
    let wait = match table.optional("wait_seconds") {
        Some(item) => item.number(0..=3600),
        None => Some(60),
    };
    let roots = match table.optional("insecure_local") {
        Some(item) => item.table().and_then(read_insecure_local),
        None => Some(Roots::Real),
    };
    let kind = match table.optional("kind") {
        Some(item) => item.parse(),
        None => Some(Kind::Container),
    };
    let insecure_allowed = match table.optional("insecure_allow_env") {
        Some(item) => item.set(),
        None => Some(BTreeSet::new()),
    };
    let secrets = table.optional("secret").map_or_else(Vec::new, |item| item.list());
    let deliveries = delivery::read(&secrets, &insecure_allowed.unwrap_or_default());
    Some(Config {
        server: server?,
        pins: Pins {
            deployment: deployment?,
            signers: signers?,
            minimum_revision: minimum_revision?,
            minimum_serial: minimum_serial?,
        },
        roots: roots?,
        kind: kind?,
        state: state.map(|state| folder.join(state)),
        wait: Duration::from_secs(wait?),
        deliveries: deliveries?,
    })
}

fn read_insecure_local(table: Table<'_>) -> Option<Roots> {
    let amd = table.required("amd_root_sha256").and_then(|item| item.set());
    let uvm = table.required("uvm_root_sha256").and_then(|item| item.parse());
    let cloud = match table.optional("cloud") {
        None => Some(None),
        Some(item) => {
            let ca = table.required("ca_sha256").and_then(|item| item.parse());
            item.parse().zip(ca).map(|(address, ca)| Some(InsecureCloud { address, ca }))
        }
    };
    table.finish();
    Some(Roots::InsecureLocal { amd: amd?, uvm: uvm?, cloud: cloud? })
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file has faults.
    #[error("{}: {faults}", file.display())]
    Faults {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        faults: Faults,
    },
}

/// Everything that is wrong with a configuration; at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [fault] => write!(f, "{fault}"),
            faults => {
                write!(f, "{} faults", faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for Faults {}

/// Beyond it numbers are not the same in every reader of JSON.
const LARGEST: u64 = (1 << 53) - 1;

/// The least that a configuration says.
#[cfg(test)]
pub(crate) const MINIMAL: &str = r#"
version = 1
server = "https://127.0.0.1:8200"
deployment = "dev"
signers = ["0101010101010101010101010101010101010101010101010101010101010101"]
minimum_revision = 1
minimum_serial = 1
"#;

#[cfg(test)]
mod tests;
