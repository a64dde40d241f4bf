//! Which registry a name means, and who we are there.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use azure::Endpoints;
use azure::registry::{Client, Download, ImageName, Repository, Target};
use azure_core::credentials::TokenCredential;
use bytes::Bytes;
use image::oci::{Blobs, Chosen, Digest, Manifest, choose};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use url::{Host, Url};

use crate::cli::{self, AuthKind, Where};
use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::failure::{Failure, While as _};

/// The way to registries, which is looked for when the first is asked: an image in a file needs none.
pub(super) struct Registries {
    place: Where,
    way: OnceCell<Way>,
}

struct Way {
    endpoints: Endpoints,
    credential: Option<Arc<dyn TokenCredential>>,
}

/// An image's blobs in a registry, read as they come.
pub(super) struct Remote {
    client: Client,
    repository: Repository,
    runtime: Handle,
}

/// A blob that is read as it comes.
pub(super) struct Piece {
    download: Download,
    rest: Cursor<Bytes>,
    runtime: Handle,
}

impl Way {
    /// The cloud of a manifest, or else the public one, there without a credential unless one is chosen.
    fn open(place: &Where) -> Result<Self, Failure> {
        if let Some(manifest) = &place.manifest {
            let target = cli::Target {
                manifest: manifest.clone(),
                json: false,
                crl: Vec::new(),
                auth: place.auth,
                service_principal: place.service_principal.clone(),
                signers: Vec::new(),
                server_binary: None,
                state: place.state.clone(),
                adopt_master_key: None,
                begin_new_store: false,
                sign_as: None,
                sign_with: None,
                signature: None,
            };
            let cloud = Cloud::open(&Deployment::read(&target)?)?;
            return Ok(Self { endpoints: cloud.endpoints, credential: Some(cloud.credential) });
        }
        let endpoints = public()?;
        let auth = match (place.auth, &place.tenant, &place.service_principal) {
            (None, ..) => None,
            (Some(AuthKind::Cli), Some(tenant), _) => {
                Some(azure::Auth::Cli { tenant: tenant.clone() })
            }
            (Some(AuthKind::Mi), ..) => {
                Some(azure::Auth::ManagedIdentity(azure::ManagedIdentity::Only))
            }
            (Some(AuthKind::Wi), ..) => Some(azure::Auth::WorkloadIdentity),
            (Some(AuthKind::Sp), _, Some(file)) => {
                Some(azure::Auth::ServicePrincipal(file.clone()))
            }
            (Some(_), ..) => {
                return Err(Failure::new(
                    "--auth says too little without a manifest",
                    "add --tenant to --auth cli, or --service-principal to --auth sp",
                ));
            }
        };
        let credential = auth.map(|auth| auth.credential(&endpoints)).transpose();
        let credential = credential.during(|| "setting up --auth".to_owned())?;
        Ok(Self { endpoints, credential })
    }
}

impl Registries {
    /// The registries of this place.
    pub(super) fn new(place: &Where) -> Self {
        Self { place: place.clone(), way: OnceCell::new() }
    }

    /// The registry of an image. Our token goes to Azure's registries only.
    ///
    /// One at a loopback address is asked without TLS, as Docker does: it is on this machine, nobody's token goes there,
    /// and every blob is compared with its digest.
    pub(super) async fn client(&self, name: &ImageName) -> Result<Client, Failure> {
        let parse = |scheme: &str| {
            let text = format!("{scheme}://{}", name.host);
            Url::parse(&text)
                .map_err(|error| Failure::of(text, error, "check the image's registry"))
        };
        let address = parse("https")?;
        if is_loopback(&address) {
            return Ok(Client::anonymous(&public()?, &parse("http")?));
        }
        let way = self.way.get_or_try_init(|| async { Way::open(&self.place) }).await?;
        let azure = name.host.ends_with(".azurecr.io");
        Ok(match way.credential.clone().filter(|_| azure) {
            Some(credential) => Client::new(&way.endpoints, &address, credential),
            None => Client::anonymous(&way.endpoints, &address),
        })
    }

    /// The manifest of an image for linux on amd64, also where the name leads to an index.
    pub(super) async fn manifest(
        &self,
        name: &ImageName,
    ) -> Result<(Manifest, Vec<u8>, Remote), Failure> {
        let doing = || format!("reading {name} from the registry");
        let failed = |error| Failure::of(doing(), error, NOT_AN_IMAGE);
        let client = self.client(name).await?;
        let mut target = name.target.clone();
        for _ in 0..NESTED_MAX {
            let found = client.pull(&name.repository, &target).await.during(doing)?;
            let kind = found.media_type.as_str();
            if !(kind.contains("image.index") || kind.contains("manifest.list")) {
                let manifest = Manifest::parse(&found.bytes, None).map_err(failed)?;
                let runtime = Handle::current();
                let remote = Remote { client, repository: name.repository.clone(), runtime };
                return Ok((manifest, found.bytes.to_vec(), remote));
            }
            let Chosen { described, .. } = choose("index", &found.bytes).map_err(failed)?;
            target = Target::Digest((*described.digest.as_bytes()).into());
        }
        Err(Failure::new(doing(), "name the image by its manifest's digest"))
    }
}

fn public() -> Result<Endpoints, Failure> {
    Endpoints::public()
        .map_err(|error| Failure::of("setting up the connection", error, "this is a fault of ours"))
}

/// Whether an address is on this machine whatever anybody's names say.
fn is_loopback(address: &Url) -> bool {
    match address.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl Blobs for Remote {
    type Blob = Piece;

    fn open(&self, digest: Digest) -> io::Result<Piece> {
        let digest = (*digest.as_bytes()).into();
        let opened = self.runtime.block_on(self.client.open_blob(&self.repository, &digest));
        let download = opened.map_err(io::Error::other)?;
        let runtime = self.runtime.clone();
        Ok(Piece { download, rest: Cursor::default(), runtime })
    }
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.rest.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let next = self.runtime.block_on(self.download.next()).map_err(io::Error::other)?;
            match next {
                Some(bytes) => self.rest = Cursor::new(bytes),
                None => return Ok(0),
            }
        }
    }
}

const NESTED_MAX: usize = 3;
const NOT_AN_IMAGE: &str = "name an image for linux on amd64 with plain, gzip or zstd layers";
