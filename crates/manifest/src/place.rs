//! Which deployment this is and where it lives: `[deployment]`, `[azure]`, `[server]`, `[storage]`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use evidence::{HostData, Sha256};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::read::Read;
use crate::schema::{Day, Hex32, ImageText};
use crate::table::Table;
use crate::text::{
    AccountName, ContainerName, DeploymentName, IdentityName, Region, RegistryName, Repository,
    ResourceGroupName, Uuid,
};
use crate::words::{Cloud, StorageAuth};

/// Which deployment this is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Deployment {
    /// Its name.
    pub name: DeploymentName,
    /// The revision of its rules, which only grows.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub revision: u64,
}

/// Where in Azure it lives.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Azure {
    /// Azure itself, or the local cloud.
    pub cloud: Cloud,
    /// The tenant of Entra.
    pub tenant: Uuid,
    /// The subscription.
    pub subscription: Uuid,
    /// The region.
    pub location: Region,
    /// The resource group, which holds this deployment and nothing else.
    pub resource_group: ResourceGroupName,
    #[serde(skip_serializing_if = "Option::is_none")]
    insecure_local: Option<InsecureLocal>,
}

/// The local cloud: its address and its worthless roots.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct InsecureLocal {
    /// An address in 127.0.0.0/8. Ports on it are fixed: 8443 for the cloud, 8480 for its metadata service, 8200 for
    /// the server.
    #[schemars(regex(pattern = r"^127(\.[0-9]{1,3}){3}$"))]
    pub address: Ipv4Addr,
    /// SHA-256 of the DER of the certificate that issues the local cloud's TLS certificates.
    #[schemars(with = "Hex32")]
    pub ca_sha256: Sha256,
    /// SHA-256 of the DER of each forged AMD root.
    #[schemars(with = "BTreeSet<Hex32>")]
    pub amd_root_sha256: BTreeSet<Sha256>,
    /// SHA-256 of the DER of the forged root of utility-VM endorsements.
    #[schemars(with = "Hex32")]
    pub uvm_root_sha256: Sha256,
}

/// The two kinds of place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place<'a> {
    /// Azure.
    Public,
    /// The local cloud.
    InsecureLocal(&'a InsecureLocal),
}

/// The server's container group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Server {
    /// The user-assigned managed identity that the server has.
    pub identity: IdentityName,
    /// The container registry that holds its image.
    pub registry: RegistryName,
    /// The repository in it.
    pub repository: Repository,
    /// Which image.
    #[schemars(with = "ImageText")]
    pub image: ServerImage,
    /// Processors.
    #[schemars(range(min = 1, max = 32))]
    pub cpu: u8,
    /// Memory in GB.
    #[schemars(range(min = 0.5, max = 256.0))]
    pub memory_gb: f64,
    /// Older images that may still have the master key.
    #[schemars(default)]
    pub permitted: Vec<Permitted>,
}

/// Which image of the server is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerImage {
    /// The one that this workspace builds.
    Build,
    /// The one in the registry with this manifest digest.
    Digest(Sha256),
}

/// An older image that may still have the master key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Permitted {
    /// HOST_DATA of its group.
    #[schemars(with = "Hex32")]
    pub host_data: HostData,
    /// The last day on which it is rendered into policies.
    #[schemars(with = "Day")]
    pub until: jiff::civil::Date,
}

/// Where the encrypted store is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Storage {
    /// The storage account.
    pub account: AccountName,
    /// The container in it.
    pub container: ContainerName,
    /// How the server shows who it is.
    pub auth: StorageAuth,
}

impl Deployment {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let name = t.required("name", |i| i.parse());
        // Beyond 2^53 numbers are not the same in every reader of JSON.
        let revision = t.required("revision", |i| i.number(1, 9_007_199_254_740_991));
        Ok(Self { name: name?, revision: revision? })
    }
}

impl Azure {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let cloud = t.required("cloud", |i| i.choice());
        let tenant = t.required("tenant", |i| i.parse());
        let subscription = t.required("subscription", |i| i.parse());
        let location = t.required("location", |i| i.parse());
        let resource_group = t.required("resource_group", |i| i.parse());
        let local = |i: &crate::read::Item<'_>| i.table(InsecureLocal::read);
        let insecure_local = match cloud {
            Ok(Cloud::Local) => t.required("insecure_local", local).map(Some),
            // For the public cloud any `insecure_` key has been refused already.
            Ok(Cloud::Public) | Err(_) => t.optional("insecure_local", local),
        };
        Ok(Self {
            cloud: cloud?,
            tenant: tenant?,
            subscription: subscription?,
            location: location?,
            resource_group: resource_group?,
            insecure_local: insecure_local?,
        })
    }

    /// The cloud with what is known of it.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        self.insecure_local.as_ref().map_or(Place::Public, Place::InsecureLocal)
    }
}

impl InsecureLocal {
    fn read(t: &Table<'_>) -> Read<Self> {
        let address = t.required("address", |i| {
            let address = i.text()?.parse().ok().filter(Ipv4Addr::is_loopback);
            address.ok_or_else(|| i.reject("an IPv4 address in 127.0.0.0/8"))
        });
        let ca_sha256 = t.required("ca_sha256", |i| i.parse());
        let amd_root_sha256 = t.required("amd_root_sha256", |i| {
            let roots = i.set(|i| i.parse())?;
            if roots.is_empty() { Err(i.reject("at least one digest")) } else { Ok(roots) }
        });
        let uvm_root_sha256 = t.required("uvm_root_sha256", |i| i.parse());
        Ok(Self {
            address: address?,
            ca_sha256: ca_sha256?,
            amd_root_sha256: amd_root_sha256?,
            uvm_root_sha256: uvm_root_sha256?,
        })
    }
}

impl Server {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let identity = t.required("identity", |i| i.parse());
        let registry = t.required("registry", |i| i.parse());
        let repository = t.required("repository", |i| i.parse());
        let image = t.required("image", |i| match i.text()? {
            "build" => Ok(ServerImage::Build),
            text => match text.strip_prefix("sha256:").map(str::parse) {
                Some(Ok(digest)) => Ok(ServerImage::Digest(digest)),
                _ => Err(i.reject("\"build\" or \"sha256:\" and 64 lower-case hex digits")),
            },
        });
        let cpu = t.required("cpu", |i| i.number(1, 32));
        let memory_gb = t.required("memory_gb", |i| i.decimal(0.5, 256.0));
        let seen = std::cell::RefCell::new(BTreeSet::new());
        let permitted = t.or("permitted", Vec::new(), |i| {
            i.list(|i| {
                i.table(|t| {
                    let host_data = t.required("host_data", |i| {
                        let host_data = i.parse()?;
                        match seen.borrow_mut().insert(host_data) {
                            true => Ok(host_data),
                            false => Err(i.reject("a value that no other entry has")),
                        }
                    });
                    let until = t.required("until", |i| i.date());
                    Ok(Permitted { host_data: host_data?, until: until? })
                })
            })
        });
        Ok(Self {
            identity: identity?,
            registry: registry?,
            repository: repository?,
            image: image?,
            cpu: cpu?,
            memory_gb: memory_gb?,
            permitted: permitted?,
        })
    }
}

impl Storage {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let account = t.required("account", |i| i.parse());
        let container = t.required("container", |i| i.parse());
        let auth = t.required("auth", |i| i.choice());
        Ok(Self { account: account?, container: container?, auth: auth? })
    }
}

impl Serialize for ServerImage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Build => serializer.serialize_str("build"),
            Self::Digest(digest) => serializer.collect_str(&format_args!("sha256:{digest}")),
        }
    }
}
