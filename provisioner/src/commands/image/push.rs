//! `image push`: an image of a layout or an archive, and what is attached to it, into a registry.

use std::fs::File;

use azure::registry::{self, ImageName, Target};
use bytes::Bytes;
use image::oci::{Archive, Attached, Digest, Directory, Files, Manifest, Stored};
use serde_json::json;

use super::aside;
use super::registries::Registries;
use super::source::{Source, blob};
use crate::cli::ImagePush;
use crate::commands::print;
use crate::failure::{Exit, Failure, While as _};

/// An image in memory.
struct Loaded {
    manifest: registry::Manifest,
    blobs: Vec<Bytes>,
    attached: Vec<Attached>,
    documents: Vec<Vec<Bytes>>,
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn push(options: &ImagePush) -> Result<Exit, Failure> {
    let name: ImageName = options.name.parse().map_err(|error| {
        Failure::of(options.name.clone(), error, "name it REGISTRY/REPOSITORY[:TAG]")
    })?;
    let Target::Tag(tag) = &name.target else {
        return Err(Failure::new(
            format!("{name} names the image by its digest, which follows from the image"),
            "name it REGISTRY/REPOSITORY[:TAG]",
        ));
    };
    let source = Source::parse(&options.source, None)?;
    let loaded = load(source).await?;
    let doing = || format!("pushing {name}");
    let client = Registries::new(&options.place).client(&name).await?;
    let repository = &name.repository;
    let pushed = client.push(repository, &loaded.blobs, &loaded.manifest, Some(tag)).await;
    let digest = pushed.during(doing)?;
    let mut attached = Vec::new();
    for (artifact, documents) in loaded.attached.iter().zip(&loaded.documents) {
        let manifest = oci(artifact.bytes.clone());
        let kind = &artifact.artifact_type;
        let done = client.attach(repository, &digest, kind, documents, &manifest).await;
        attached.push((kind.clone(), done.during(doing)?));
    }
    if options.json {
        let list = attached
            .iter()
            .map(|(kind, digest)| json!({ "artifact_type": kind, "manifest": digest.to_string() }));
        let list: Vec<_> = list.collect();
        let repository = format!("{}/{}", name.host, name.repository);
        print(&format!(
            "{}\n",
            json!({ "repository": repository, "tag": tag, "manifest": digest.to_string(), "attached": list })
        ))?;
    } else {
        let mut text = format!("pushed {}/{}@{digest}\n", name.host, name.repository);
        for (kind, digest) in attached {
            text.push_str(&format!("attached {kind} {digest}\n"));
        }
        print(&text)?;
    }
    Ok(Exit::Done)
}

/// Reads a layout or an archive of one.
async fn load(source: Source) -> Result<Loaded, Failure> {
    let text = source.to_string();
    let failed = move |error: Fault| {
        Failure::of(format!("reading {text}"), error, "give an OCI layout or an archive of one")
    };
    let read = move || match source {
        Source::Layout(path) => read(&Stored::open(Directory(path))?),
        Source::Oci(path) => read(&Stored::open(Archive::index(|| File::open(&path))?)?),
        Source::Docker(_) | Source::Layer(_) | Source::Registry(_) => {
            Err("it is no OCI layout".into())
        }
    };
    aside(move || read().map_err(failed)).await
}

fn read<F: Files>(stored: &Stored<F>) -> Result<Loaded, Fault> {
    let manifest: Manifest = stored.manifest()?;
    let bytes = |digest: Digest| -> Result<Bytes, Fault> { Ok(blob(stored, digest)?.into()) };
    let named = manifest.layers().iter().map(|layer| layer.blob.digest);
    let blobs = named.chain([manifest.config().digest]).map(bytes).collect::<Result<_, _>>()?;
    let attached: Vec<_> = stored.artifacts()?;
    let attached: Vec<_> =
        attached.into_iter().filter(|found| found.subject == manifest.digest()).collect();
    let documents = attached.iter().map(|found| found.blobs.iter().copied().map(bytes).collect());
    Ok(Loaded {
        manifest: oci(blob(stored, manifest.digest())?),
        blobs,
        documents: documents.collect::<Result<_, _>>()?,
        attached,
    })
}

fn oci(bytes: Vec<u8>) -> registry::Manifest {
    registry::Manifest { media_type: OCI_MANIFEST.to_owned(), bytes: bytes.into() }
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
