//! The whole simulated cloud: settings, one store a service, keys, faults.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{RwLock, watch};
use uuid::Uuid;

use super::faults::Faults;
use super::inventory::Inventory;
use super::keys::RsaSigner;
use super::store::{Store, StoreError, write_atomically};
use super::told::Told;
use crate::{aci, arm, blob, control, entra, kds, keyvault, maa, rbac, registry};

/// What a local cloud is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Loopback address of all listeners.
    pub address: IpAddr,
    /// State directory; made if absent.
    pub directory: PathBuf,
    /// The one tenant.
    pub tenant: Uuid,
    /// The one subscription.
    pub subscription: Uuid,
    /// Ports of the listeners.
    pub ports: Ports,
    /// How long a deleted key or secret is *being deleted* (azure.md §0, surprise 10).
    pub deleting: Duration,
}

/// Ports of the listeners; 0 lets the system choose (tests).
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// All HTTPS hosts.
    pub cloud: u16,
    /// Instance metadata, plain HTTP.
    pub imds: u16,
    /// HTTP CONNECT proxy.
    pub proxy: u16,
}

/// The tenant unless told otherwise.
pub const TENANT: Uuid = Uuid::from_u128(0x7e4a_0000_0000_4000_8000_0000_0000_0001);
/// The subscription unless told otherwise.
pub const SUBSCRIPTION: Uuid = Uuid::from_u128(0x5b5c_0000_0000_4000_8000_0000_0000_0001);
/// The object id of the administrator, fixed so that a local manifest can name it as an operator.
pub const ADMINISTRATOR: Uuid = Uuid::from_u128(0x7e4a_0000_0000_4000_8000_0000_0000_0002);

impl Settings {
    /// The fixed ports on that address.
    pub fn new(address: IpAddr, directory: PathBuf) -> Self {
        Self {
            address,
            directory,
            tenant: TENANT,
            subscription: SUBSCRIPTION,
            ports: Ports { cloud: 8443, imds: 8480, proxy: 8444 },
            deleting: Duration::from_millis(1500),
        }
    }
}

/// Everything; handlers get it as `&Arc<Cloud>`.
#[derive(Debug)]
pub struct Cloud {
    /// Settings it was started with.
    pub settings: Settings,
    /// Facts that services share.
    pub inventory: Store<Inventory>,
    /// Role assignments and definitions.
    pub rbac: Store<rbac::RbacState>,
    /// Applications.
    pub entra: Store<entra::EntraState>,
    /// Keys and secrets.
    pub keyvault: Store<keyvault::KeyVaultState>,
    /// Attestation policies and certificates.
    pub maa: Store<maa::MaaState>,
    /// Resources.
    pub arm: Store<arm::ArmState>,
    /// Blob containers and blobs.
    pub blob: blob::Blobs,
    /// Repositories.
    pub registry: Store<registry::RegistryState>,
    /// Running container groups: processes, not state.
    pub aci: aci::Runtime,
    /// AMD's revocation lists.
    pub kds: kds::Kds,
    /// Fault script and counters.
    pub faults: Faults,
    /// Signs access tokens.
    pub entra_key: RsaSigner,
    /// Bearer of the control host.
    pub control_token: String,
    pub(crate) stop: watch::Sender<bool>,
    /// What the log told lately.
    pub(crate) told: Told,
    /// Held for reading while a request is served, for writing while the state is copied.
    pub(crate) gate: RwLock<()>,
}

impl Cloud {
    /// Opens the state directory, or begins one: keys, control token, the administrator's service principal.
    ///
    /// # Errors
    /// The directory cannot be used, or holds state of another version.
    pub fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        let directory = settings.directory.clone();
        private_directory(&directory)?;
        private_directory(&directory.join("keys"))?;
        private_directory(&directory.join("hsm"))?;
        let cloud = Arc::new(Self {
            inventory: Store::open(&directory, "inventory")?,
            rbac: Store::open(&directory, "rbac")?,
            entra: Store::open(&directory, "entra")?,
            keyvault: Store::open(&directory, "keyvault")?,
            maa: Store::open(&directory, "maa")?,
            arm: Store::open(&directory, "arm")?,
            blob: blob::Blobs::open(&directory.join("blob"))?,
            registry: Store::open(&directory, "registry")?,
            aci: aci::Runtime::default(),
            kds: kds::Kds::default(),
            faults: Faults::default(),
            entra_key: RsaSigner::open(&directory.join("keys/entra.p8"))?,
            control_token: control::token(&directory)?,
            stop: watch::Sender::new(false),
            told: Told::default(),
            gate: RwLock::new(()),
            settings,
        });
        entra::ensure_administrator(&cloud)?;
        write_atomically(&directory.join("ca.pem"), super::tls::ca_pem().as_bytes())?;
        Ok(cloud)
    }

    /// The state directory.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Now. The simulated services take time from here and nowhere else.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Asks every listener and container group to end.
    pub fn shut_down(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves when [`Cloud::shut_down`] was called.
    pub async fn stopped(&self) {
        let mut seen = self.stop.subscribe();
        // The sender lives in self, so this fails only when nobody is left to care.
        let _ = seen.wait_for(|stop| *stop).await.is_ok();
    }
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A state file.
    #[error("opening the state")]
    Store(#[from] StoreError),
    /// A key or token file.
    #[error("preparing the state directory")]
    Io(#[from] io::Error),
}

fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
