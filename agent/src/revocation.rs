//! AMD's revocation list for the server's processor: asked for each time the server is met, or read from files.
//!
//! A list is judged where the server's evidence is, under the root of that evidence, so nobody who hands one over is
//! trusted. Whether there must be one is the manifest's to say; having none is told, and why.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use azure::kds::{self, KdsError};
use azure::{Endpoints, EndpointsError, LocalCloud};
use evidence::Product;

use crate::config::Roots;

/// Where lists come from.
#[derive(Debug)]
pub enum Lists {
    /// These, as DER, and AMD is not asked.
    Given(Vec<Vec<u8>>),
    /// AMD's service.
    Amd(Box<Endpoints>),
    /// Nowhere: a local cloud whose address the configuration does not say.
    Nowhere,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum NoList {
    /// AMD's service gave none.
    #[error("asking amd for the revocation list")]
    Kds(#[source] KdsError),
    /// The server's certificates name no product.
    #[error("the server's certificates do not say whose revocation list is needed")]
    Product,
    /// There is nobody to ask.
    #[error("the configuration has no address of the local cloud")]
    Nowhere,
}

/// A list cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// A file cannot be read.
    #[error("reading {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// No transport.
    #[error("setting up the connection to amd")]
    Endpoints(#[source] EndpointsError),
}

impl Lists {
    /// These files, or if there are none AMD's service under these roots.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(files: &[PathBuf], roots: &Roots) -> Result<Self, ListsError> {
        if !files.is_empty() {
            return files.iter().map(|file| read(file)).collect::<Result<_, _>>().map(Self::Given);
        }
        let endpoints = match roots {
            Roots::Real => Endpoints::public(),
            Roots::InsecureLocal { cloud: Some(cloud), .. } => {
                Endpoints::insecure_local(&LocalCloud {
                    cloud: cloud.address,
                    imds: cloud.address,
                    ca_sha256: *cloud.ca.as_bytes(),
                })
            }
            Roots::InsecureLocal { cloud: None, .. } => return Ok(Self::Nowhere),
        };
        endpoints.map(Box::new).map(Self::Amd).map_err(ListsError::Endpoints)
    }

    /// What there is for a product.
    pub(crate) async fn of(&self, product: Option<Product>) -> Result<Vec<Vec<u8>>, NoList> {
        match self {
            Self::Given(lists) => Ok(lists.clone()),
            Self::Amd(endpoints) => {
                let product = product.ok_or(NoList::Product)?;
                let list = kds::revocation_list(endpoints, product).await.map_err(NoList::Kds)?;
                Ok(vec![list])
            }
            Self::Nowhere => Err(NoList::Nowhere),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ListsError> {
    let fault = |error| ListsError::Read(file.to_owned(), error);
    let mut list = Vec::new();
    std::fs::File::open(file)
        .map_err(fault)?
        .take(LARGEST)
        .read_to_end(&mut list)
        .map_err(fault)?;
    Ok(list)
}

/// More than any list; a longer one is cut, and then no list.
const LARGEST: u64 = 1 << 17;
