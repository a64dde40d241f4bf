//! One layer from a list of files, and the image around it.
//!
//! Nothing in it depends on where or when it is built: entries are sorted, parents are made, owners are 0, all times
//! are the one given, gzip has fixed level and header, JSON is canonical (RFC 8785). Contents stream; only the
//! compressed layer is held.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use flate2::{Compression, GzBuilder, write::GzEncoder};
use jiff::Timestamp;
use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, HistoryBuilder, ImageConfigurationBuilder,
    ImageManifestBuilder, MediaType, Os, RootFsBuilder, Sha256Digest,
};
use serde::Serialize;

use super::digest::Digest;
use crate::archive::widen;

/// A file of the image.
pub struct File<'a> {
    /// Where it is in the image; relative, without `.` or `..`.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// How many bytes there are.
    pub size: u64,
    /// The bytes.
    pub contents: Box<dyn Read + 'a>,
}

/// What an image says about itself.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program with its first arguments.
    pub entrypoint: Vec<String>,
    /// Variables, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// `UID:GID`; `None` is root.
    pub user: Option<String>,
    /// Where it starts.
    pub working_dir: String,
    /// The time of everything in it: `SOURCE_DATE_EPOCH`, or the epoch.
    pub created: Timestamp,
}

/// A built image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    config: Blob,
    layer: Blob,
    manifest: Blob,
    diff_id: Digest,
    created: String,
}

/// Bytes with the media type and digest by which others name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// What they are.
    pub media_type: String,
    /// Their digest.
    pub digest: Digest,
    /// They.
    pub bytes: Vec<u8>,
}

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A path that is absolute, not normal, or too long.
    #[error("path {0:?} is not a normal relative path")]
    Path(String),
    /// A path twice, or as a file and as a directory.
    #[error("path {0:?} is given twice")]
    Twice(String),
    /// No program.
    #[error("no entrypoint")]
    Entrypoint,
    /// A time before 1970.
    #[error("time is before 1970")]
    Time,
    /// A file that is not as long as was said.
    #[error("file {path:?} has other than {size} bytes")]
    Size {
        /// Its path.
        path: String,
        /// What was said.
        size: u64,
    },
    /// A file could not be read.
    #[error("reading file {path:?}")]
    Read {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("writing the layer")]
    Write(#[source] io::Error),
    /// A document could not be put together.
    #[error("writing an image document")]
    Document(#[from] OciSpecError),
    /// A document has no canonical form.
    #[error("writing an image document")]
    Json(#[from] serde_json::Error),
}

/// Builds an image of one layer.
pub fn build(files: Vec<File<'_>>, spec: &Spec) -> Result<Image, BuildError> {
    if spec.entrypoint.is_empty() {
        return Err(BuildError::Entrypoint);
    }
    let seconds = u64::try_from(spec.created.as_second()).map_err(|_| BuildError::Time)?;
    let created =
        Timestamp::from_second(spec.created.as_second()).map_err(|_| BuildError::Time)?.to_string();
    let (layer, diff_id) = write_layer(files, seconds)?;
    let layer = Blob::new(MediaType::ImageLayerGzip, layer);
    let mut config = ConfigBuilder::default()
        .entrypoint(spec.entrypoint.clone())
        .env(spec.environment.clone())
        .working_dir(spec.working_dir.clone());
    if let Some(user) = &spec.user {
        config = config.user(user.clone());
    }
    let configuration = ImageConfigurationBuilder::default()
        .created(created.clone())
        .architecture(Arch::Amd64)
        .os(Os::Linux)
        .config(config.build()?)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids([diff_id.to_string()]).build()?)
        .history([HistoryBuilder::default()
            .created(created.clone())
            .created_by("vouchsafe image build")
            .build()?])
        .build()?;
    let config = Blob::document(MediaType::ImageConfig, &configuration)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config.descriptor()?)
        .layers([layer.descriptor()?])
        .build()?;
    let manifest = Blob::document(MediaType::ImageManifest, &manifest)?;
    Ok(Image { config, layer, manifest, diff_id, created })
}

impl Image {
    /// The digest by which the image is named.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest.digest
    }

    /// The manifest.
    pub fn manifest(&self) -> &Blob {
        &self.manifest
    }

    /// The digest of the uncompressed layer.
    pub fn diff_id(&self) -> Digest {
        self.diff_id
    }

    /// The time of everything in it (RFC 3339).
    pub fn created(&self) -> &str {
        &self.created
    }

    /// Every blob, each after those that it names.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        [&self.layer, &self.config, &self.manifest].into_iter()
    }
}

impl Blob {
    pub(crate) fn new(media_type: MediaType, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_string(), digest: Digest::of(&bytes), bytes }
    }

    pub(crate) fn document(
        media_type: MediaType,
        document: &impl Serialize,
    ) -> Result<Self, BuildError> {
        Ok(Self::new(media_type, serde_jcs::to_vec(document)?))
    }

    /// The descriptor that names it.
    pub(crate) fn descriptor(&self) -> Result<Descriptor, OciSpecError> {
        let digest: Sha256Digest = self.digest.hex().parse()?;
        DescriptorBuilder::default()
            .media_type(MediaType::from(self.media_type.as_str()))
            .size(widen(self.bytes.len()))
            .digest(digest)
            .build()
    }
}

/// The compressed layer, and the digest of what was compressed.
fn write_layer(files: Vec<File<'_>>, seconds: u64) -> Result<(Vec<u8>, Digest), BuildError> {
    let mut sorted = BTreeMap::new();
    let mut parents = BTreeSet::new();
    for file in files {
        check_path(file.path)?;
        parents.extend(file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..at)));
        if let Some(twice) = sorted.insert(file.path, Some(file)) {
            return Err(BuildError::Twice(twice.map_or("", |file| file.path).to_owned()));
        }
    }
    for parent in parents {
        if sorted.insert(parent, None).is_some() {
            return Err(BuildError::Twice(parent.to_owned()));
        }
    }
    let gzip = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
    let hashed = Hashed {
        gzip: gzip.write(Vec::new(), Compression::new(LEVEL)),
        hash: Context::new(&SHA256),
    };
    let mut archive = tar::Builder::new(hashed);
    for (path, file) in sorted {
        let mut header = tar::Header::new_ustar();
        header.set_mtime(seconds);
        header.set_uid(0);
        header.set_gid(0);
        match file {
            None => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                let path = format!("{path}/");
                archive.append_data(&mut header, path, io::empty()).map_err(BuildError::Write)?;
            }
            Some(file) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(file.mode & 0o7777);
                header.set_size(file.size);
                let mut contents = Exactly { left: file.size, input: file.contents, fault: None };
                let written = archive.append_data(&mut header, path, &mut contents);
                match (contents.fault, contents.left) {
                    (Some(source), _) => {
                        return Err(BuildError::Read { path: path.to_owned(), source });
                    }
                    (None, 1..) => {
                        return Err(BuildError::Size { path: path.to_owned(), size: file.size });
                    }
                    (None, 0) => written.map_err(BuildError::Write)?,
                }
                let more = contents
                    .input
                    .read(&mut [0])
                    .map_err(|source| BuildError::Read { path: path.to_owned(), source })?;
                if more > 0 {
                    return Err(BuildError::Size { path: path.to_owned(), size: file.size });
                }
            }
        }
    }
    let Hashed { gzip, hash } = archive.into_inner().map_err(BuildError::Write)?;
    let compressed = gzip.finish().map_err(BuildError::Write)?;
    Ok((compressed, Digest::from_hash(&hash.finish())))
}

fn check_path(path: &str) -> Result<(), BuildError> {
    let normal = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with(".wh.");
    if path.len() > PATH_MAX || path.contains('\0') || !path.split('/').all(normal) {
        return Err(BuildError::Path(path.to_owned()));
    }
    Ok(())
}

/// Compresses what it hashes.
struct Hashed {
    gzip: GzEncoder<Vec<u8>>,
    hash: Context,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.gzip.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.gzip.flush()
    }
}

/// Reads no more than was said, and keeps the input's fault apart from the archive's.
struct Exactly<R> {
    input: R,
    left: u64,
    fault: Option<io::Error>,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match self.input.read(buffer.get_mut(..length).unwrap_or_default()) {
            Ok(count) => {
                self.left -= widen(count);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.fault = Some(error);
                Err(kind.into())
            }
        }
    }
}

/// What fits a ustar header without an extension.
const PATH_MAX: usize = 99;
const LEVEL: u32 = 6;
/// RFC 1952, "OS".
const UNKNOWN_SYSTEM: u8 = 255;
