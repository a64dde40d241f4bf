//! The server's image and its measurement: built here from the server's program, or read from the registry by digest.
//!
//! A built image holds the program and nothing else. Equal programs give equal images, so the measurement is kept beside
//! the image under the program's SHA-256 and a plan need not compress it again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use azure::registry::{self, Repository};
use bytes::Bytes;
use image::layer::RootHash;
use image::oci::{self, Blobs, Digest, Layout};
use infra::ServerImage;
use manifest::{Manifest, ServerImage as Which};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::failure::{Failure, While as _};

/// A measured image.
#[derive(Debug)]
pub struct Measured {
    /// What is measured.
    pub image: ServerImage,
    /// The image, if this machine made it: a layout on its disk.
    pub built: Option<PathBuf>,
}

/// Builds and measures, or reads and measures, the image that the manifest asks for.
///
/// # Errors
/// The program or the image is not there, or cannot be measured.
pub async fn measure(deployment: &Deployment, cloud: &Cloud) -> Result<Measured, Failure> {
    match &deployment.manifest.server().image {
        Which::Build => {
            let program = program(deployment.target().server_binary.as_deref())?;
            built(program, deployment.state.path("images")).await
        }
        Which::Digest(digest) => {
            let digest = registry::Digest::from(*digest.as_bytes());
            pull(&deployment.manifest, cloud, digest).await
        }
    }
}

/// Builds and measures the image of a program, or takes what was measured before.
///
/// # Errors
/// The program is not there, or cannot be measured.
pub async fn build_in(program: PathBuf, images: PathBuf) -> Result<ServerImage, Failure> {
    built(program, images).await.map(|measured| measured.image)
}

async fn built(program: PathBuf, images: PathBuf) -> Result<Measured, Failure> {
    tokio::task::spawn_blocking(move || build(&program, &images)).await.map_err(|error| {
        Failure::of("measuring the server's image", error, "this is a fault of ours")
    })?
}

/// The program that the server's image is made of: the one that is named, or the one beside this program.
///
/// # Errors
/// This program does not know where it is.
pub fn program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().map_err(|error| {
        Failure::of("finding the server's program", error, "name it with --server-binary")
    })?;
    Ok(own.with_file_name("vouchsafe-server"))
}

fn build(program: &Path, root: &Path) -> Result<Measured, Failure> {
    let about = || format!("the server's program {}", program.display());
    let remedy = "build it (cargo build --workspace), or name it with --server-binary";
    let failed = |error| Failure::of(about(), error, remedy);
    let mut file = File::open(program).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > LARGEST_PROGRAM {
        return Err(Failure::new(format!("{} has {size} bytes", about()), "name the right file"));
    }
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        match buffer.get(..count) {
            Some(read) if count > 0 => hash.update(read),
            _ => break,
        }
    }
    let layout = root.join(hex::encode(hash.finish()));
    if let Some(image) = kept(&layout) {
        return Ok(Measured { image, built: Some(layout) });
    }
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::of("building the server's image", error, "check the disk's free space")
    };
    let contents = Box::new(File::open(program).map_err(|error| failed(error.into()))?);
    let program = oci::File { path: PROGRAM, mode: 0o755, size, contents };
    let spec = spec(jiff::Timestamp::UNIX_EPOCH);
    let built = oci::build(vec![program], &spec).map_err(|error| failed(error.into()))?;
    oci::write_layout(&layout, &built, "server").map_err(|error| failed(error.into()))?;
    let opened = Layout::open(&layout).map_err(|error| failed(error.into()))?;
    let manifest = opened.manifest().map_err(|error| failed(error.into()))?;
    let measured = oci::measure(manifest, &opened).map_err(|error| failed(error.into()))?;
    let image = ServerImage::from(&measured);
    keep(&layout, &image).map_err(|error| failed(error.into()))?;
    Ok(Measured { image, built: Some(layout) })
}

/// What the server's image says of itself.
#[must_use]
pub fn spec(created: jiff::Timestamp) -> oci::Spec {
    oci::Spec {
        entrypoint: vec![format!("/{PROGRAM}")],
        environment: Vec::new(),
        user: None,
        working_dir: "/".to_owned(),
        created,
    }
}

/// The blobs of a built image, and its manifest.
///
/// # Errors
/// The layout on disk is damaged.
pub fn blobs(
    layout: &Path,
    image: &ServerImage,
) -> Result<(Vec<Bytes>, registry::Manifest), Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::of(
            "reading the built image",
            error,
            format!("remove {} and run again", layout.display()),
        )
    };
    let read = |digest: Digest| -> Result<Bytes, Failure> {
        let path = layout.join("blobs/sha256").join(digest.hex());
        let bytes = std::fs::read(path).map_err(|error| failed(error.into()))?;
        if Digest::of(&bytes) == digest {
            Ok(bytes.into())
        } else {
            Err(failed(format!("{digest} has other contents").into()))
        }
    };
    let bytes = read(image.digest)?;
    let manifest =
        oci::Manifest::parse(&bytes, Some(image.digest)).map_err(|error| failed(error.into()))?;
    let layers = manifest.layers().iter().map(|layer| read(layer.blob.digest));
    let mut blobs = layers.collect::<Result<Vec<_>, _>>()?;
    blobs.push(read(manifest.config().digest)?);
    let media_type = OCI_MANIFEST.to_owned();
    Ok((blobs, registry::Manifest { media_type, bytes }))
}

/// Reads the image that the manifest names by digest; the registry is trusted with nothing.
async fn pull(
    manifest: &Manifest,
    cloud: &Cloud,
    digest: registry::Digest,
) -> Result<Measured, Failure> {
    let doing = || format!("reading the server's image {digest} from the registry");
    let remedy = "name an image of one layer or more for linux on amd64, by its manifest's digest";
    let failed = |error: oci::ImageError| Failure::of(doing(), error, remedy);
    let (client, repository) = registry(manifest, cloud)?;
    let document = client.pull_manifest(&repository, &digest).await.during(doing)?;
    let expected = Digest::of(&document.bytes);
    let parsed = oci::Manifest::parse(&document.bytes, Some(expected))
        .map_err(|error| failed(error.into()))?;
    let layers = parsed.layers().iter().map(|layer| layer.blob);
    let mut blobs = BTreeMap::new();
    for blob in layers.chain([parsed.config()]) {
        let wanted = registry::Digest::from(*blob.digest.as_bytes());
        let limit = usize::try_from(blob.size.min(LARGEST_PROGRAM)).unwrap_or(usize::MAX);
        let bytes = client.pull_blob(&repository, &wanted, limit).await.during(doing)?;
        blobs.insert(blob.digest.to_string(), bytes);
    }
    let measure = move || oci::measure(parsed, &Pulled(blobs));
    let measured = tokio::task::spawn_blocking(measure)
        .await
        .map_err(|error| Failure::of(doing(), error, "this is a fault of ours"))?
        .map_err(failed)?;
    Ok(Measured { image: ServerImage::from(&measured), built: None })
}

/// The registry and the repository that the manifest names.
///
/// # Errors
/// They make no address.
pub fn registry(
    manifest: &Manifest,
    cloud: &Cloud,
) -> Result<(registry::Client, Repository), Failure> {
    let remedy = "check [server] in the manifest";
    let text = format!("https://{}.azurecr.io", manifest.server().registry);
    let address = Url::parse(&text).map_err(|error| Failure::of(text, error, remedy))?;
    let repository = manifest.server().repository.as_str();
    let parsed: Repository =
        repository.parse().map_err(|error| Failure::of(repository, error, remedy))?;
    Ok((registry::Client::new(&cloud.endpoints, &address, cloud.credential.clone()), parsed))
}

/// Blobs by digest, in memory.
struct Pulled(BTreeMap<String, Bytes>);

impl Blobs for Pulled {
    type Blob = Cursor<Bytes>;

    fn open(&self, digest: Digest) -> io::Result<Self::Blob> {
        let found = self.0.get(&digest.to_string());
        found.cloned().map(Cursor::new).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A measurement as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u64,
    digest: String,
    layers: Vec<RootHash>,
    command: Vec<String>,
    environment: Vec<String>,
    working_dir: String,
}

fn kept(layout: &Path) -> Option<ServerImage> {
    let text = std::fs::read_to_string(layout.join(KEPT)).ok()?;
    let kept: Kept = serde_json::from_str(&text).ok().filter(|kept: &Kept| kept.version == 1)?;
    Some(ServerImage {
        digest: kept.digest.parse().ok()?,
        layers: kept.layers,
        command: kept.command,
        environment: kept.environment,
        working_dir: kept.working_dir,
    })
}

/// Written last, so that what is found with it is whole.
fn keep(layout: &Path, image: &ServerImage) -> io::Result<()> {
    let kept = Kept {
        version: 1,
        digest: image.digest.to_string(),
        layers: image.layers.clone(),
        command: image.command.clone(),
        environment: image.environment.clone(),
        working_dir: image.working_dir.clone(),
    };
    let next = layout.join("measured.next");
    std::fs::write(&next, serde_json::to_string_pretty(&kept)?)?;
    std::fs::rename(next, layout.join(KEPT))
}

/// The server's program in its image, and its package.
pub const PROGRAM: &str = "vouchsafe-server";
const KEPT: &str = "measured.json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LARGEST_PROGRAM: u64 = 1 << 30;
