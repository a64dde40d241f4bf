//! `image build`: the server's image as an OCI layout or archive, with a bill of materials and a provenance statement.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use image::attach::{Artifact, Facts, provenance, sbom};
use image::elf::check_static;
use image::layer::RootHash;
use image::oci::{self, Digest, Directory, Stored};
use serde_json::json;

use super::components;
use crate::cli::ImageBuild;
use crate::commands::print;
use crate::failure::{Exit, Failure};
use crate::measure::{PROGRAM, spec};

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn build(options: &ImageBuild) -> Result<Exit, Failure> {
    let path = match &options.server_binary {
        Some(path) => path.clone(),
        None => beside()?,
    };
    let about = path.display().to_string();
    let program = std::fs::read(&path).map_err(|error| {
        Failure::of(format!("reading {about}"), error, "build it, or name it with --server-binary")
    })?;
    check_static(&program).map_err(|error| {
        Failure::of(about, error, "build it as this workspace's .cargo/config.toml does")
    })?;
    let (version, components) = match &options.cargo_metadata {
        Some(metadata) => components::read(metadata, PROGRAM)?,
        None => (env!("CARGO_PKG_VERSION").to_owned(), BTreeSet::new()),
    };
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from("target/image/layout"));
    let failed =
        |error: Fault| Failure::of("building the image", error, "check the disk's free space");
    let made = make(options, &program, &version, &components, &out).map_err(failed)?;
    let [sbom, provenance] = &made.artifacts;
    if options.json {
        let layers = made.layers.iter().map(ToString::to_string).collect::<Vec<_>>();
        let value = json!({
            "layout": out, "archive": options.archive,
            "manifest": made.image.manifest_digest().to_string(), "dm_verity_roots": layers,
            "sbom": sbom.manifest().digest.to_string(),
            "provenance": provenance.manifest().digest.to_string(),
            "components": components.len(),
        });
        print(&format!("{value}\n"))?;
    } else {
        let mut text = format!("manifest    {}\n", made.image.manifest_digest());
        for (index, layer) in made.layers.iter().enumerate() {
            text.push_str(&format!("layer {index:<5} {layer}\n"));
        }
        text.push_str(&format!(
            "sbom        {} ({} components)\nprovenance  {}\nlayout      {}\n",
            sbom.manifest().digest,
            components.len(),
            provenance.manifest().digest,
            out.display()
        ));
        if options.cargo_metadata.is_none() {
            text.push_str("the bill of materials names the program alone; cargo xtask image build lists its packages\n");
        }
        print(&text)?;
    }
    Ok(Exit::Done)
}

struct Made {
    image: oci::Image,
    layers: Vec<RootHash>,
    artifacts: [Artifact; 2],
}

fn make(
    options: &ImageBuild,
    program: &[u8],
    version: &str,
    components: &BTreeSet<image::attach::Component>,
    out: &Path,
) -> Result<Made, Fault> {
    let created = jiff::Timestamp::from_second(options.created.unwrap_or(0))?;
    let file = oci::File {
        path: PROGRAM,
        mode: 0o755,
        size: u64::try_from(program.len())?,
        contents: Box::new(program),
    };
    let image = oci::build(vec![file], &spec(created))?;
    oci::write_layout(out, &image, &options.tag)?;
    let stored = Stored::open(Directory(out.to_owned()))?;
    let measured = oci::measure(stored.manifest()?, &stored)?;
    let layers = measured.root_hashes();
    let facts = Facts {
        name: &options.name,
        image: &image,
        layers: &layers,
        host_data: None,
        path: PROGRAM,
        program: Digest::of(program),
        version,
        commit: options.commit.as_deref(),
        components,
    };
    let artifacts = [sbom(&facts)?, provenance(&facts)?];
    oci::write_layout_with(out, &image, &options.tag, &artifacts)?;
    if let Some(archive) = &options.archive {
        oci::write_archive(File::create(archive)?, &image, &options.tag, &artifacts)?;
    }
    Ok(Made { image, layers, artifacts })
}

fn beside() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error| {
        Failure::of("finding the server's program", error, "name it with --server-binary")
    })?;
    Ok(own.with_file_name(PROGRAM))
}
