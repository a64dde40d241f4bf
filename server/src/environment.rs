//! Where a server finds itself: the measured trust root, and what follows from it.
//!
//! The only input is the environment variable of the trust root; the security context is where the
//! platform says it is. Nothing else configures a server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use azure::{Endpoints, LocalCloud};
use evidence::Anchors;
use protocol::TrustRoot;
use protocol::trust_root::TrustRootError;

/// What a server starts from.
pub struct Environment {
    /// The measured document.
    pub trust_root: TrustRoot,
    /// The way to Azure's services.
    pub endpoints: Endpoints,
    /// The roots of hardware evidence.
    pub anchors: Anchors,
    /// Where to answer.
    pub listen: SocketAddr,
    /// Where the platform put the security context.
    pub security_context: PathBuf,
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// No trust root, a malformed one, or no security context.
    pub fn of_process() -> Result<Self, EnvironmentError> {
        let text = std::env::var(TrustRoot::VARIABLE)
            .map_err(|_| EnvironmentError::Missing(TrustRoot::VARIABLE))?;
        let trust_root = TrustRoot::parse(&text)?;
        let security_context = std::env::var_os(SECURITY_CONTEXT)
            .map(PathBuf::from)
            .ok_or(EnvironmentError::Missing(SECURITY_CONTEXT))?;
        Self::new(trust_root, security_context)
    }

    /// What follows from a trust root.
    ///
    /// # Errors
    /// The transport cannot be set up.
    pub fn new(trust_root: TrustRoot, security_context: PathBuf) -> Result<Self, EnvironmentError> {
        let (endpoints, anchors, address) = match &trust_root.body().insecure_local {
            None => (Endpoints::public(), Anchors::amd(), Ipv4Addr::UNSPECIFIED),
            Some(local) => {
                let cloud = LocalCloud {
                    cloud: SocketAddr::from((local.address, CLOUD_PORT)),
                    imds: SocketAddr::from((local.address, IMDS_PORT)),
                    ca_sha256: *local.ca_sha256.as_bytes(),
                };
                let anchors =
                    Anchors::insecure(local.amd_root_sha256.iter().copied(), local.uvm_root_sha256);
                (Endpoints::insecure_local(&cloud), anchors, local.address)
            }
        };
        Ok(Self {
            endpoints: endpoints?,
            anchors,
            listen: SocketAddr::new(IpAddr::V4(address), SERVER_PORT),
            trust_root,
            security_context,
        })
    }
}

/// Why a process cannot be a server.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A variable is not set, or not text.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The trust root is not one.
    #[error("trust root in the environment")]
    TrustRoot(#[from] TrustRootError),
    /// The transport to Azure cannot be set up.
    #[error("transport to azure")]
    Endpoints(#[from] azure::EndpointsError),
}

/// Set by the platform's guest agent (hcsshim).
const SECURITY_CONTEXT: &str = "UVM_SECURITY_CONTEXT_DIR";
const CLOUD_PORT: u16 = 8443;
const IMDS_PORT: u16 = 8480;
/// Vault's port, which its clients expect.
const SERVER_PORT: u16 = 8200;
