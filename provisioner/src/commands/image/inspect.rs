//! `image inspect`: what an image says of itself and what is attached to it. Layers are neither read nor checked.

use std::fmt::Write as _;
use std::fs::File;

use image::oci::{Archive, Blobs, Config, Digest, Directory, Files, Manifest, Stored};
use serde_json::json;

use super::aside;
use super::registries::Registries;
use super::source::{Source, blob};
use crate::cli::ImageInspect;
use crate::commands::print;
use crate::failure::{Exit, Failure, While as _};

type Fault = Box<dyn std::error::Error + Send + Sync>;

struct Seen {
    manifest: Manifest,
    config: Config,
    /// What is attached, by kind and digest.
    attached: Vec<(String, String)>,
}

pub(super) async fn inspect(options: &ImageInspect) -> Result<Exit, Failure> {
    let source = Source::parse(&options.source, None)?;
    let text = source.to_string();
    let failed = move |error: Fault| {
        Failure::of(
            format!("reading {text}"),
            error,
            "give an OCI layout, an archive of one, or REGISTRY/REPOSITORY[:TAG][@sha256:…]",
        )
    };
    let seen = match source {
        Source::Registry(name) => {
            let registries = Registries::new(&options.place);
            let (manifest, _, remote) = registries.manifest(&name).await?;
            let digest = (*manifest.digest().as_bytes()).into();
            let client = registries.client(&name).await?;
            let found = client.referrers(&name.repository, &digest).await;
            let found = found.during(|| format!("asking what is attached to {name}"))?;
            let attached =
                found.into_iter().map(|one| (one.artifact_type, one.digest.to_string())).collect();
            aside(move || {
                let config = config(&manifest, &remote).map_err(failed)?;
                Ok(Seen { manifest, config, attached })
            })
            .await?
        }
        Source::Layout(path) => {
            aside(move || {
                let stored = Stored::open(Directory(path)).map_err(|error| failed(error.into()))?;
                see(&stored).map_err(failed)
            })
            .await?
        }
        Source::Oci(path) => {
            aside(move || {
                let open = || -> Result<_, Fault> {
                    Ok(Stored::open(Archive::index(|| File::open(&path))?)?)
                };
                open().and_then(|stored| see(&stored)).map_err(failed)
            })
            .await?
        }
        Source::Docker(_) | Source::Layer(_) => {
            return Err(failed("it has no manifest; measure it instead".into()));
        }
    };
    print(&if options.json { as_json(&seen) } else { as_text(&seen) })?;
    Ok(Exit::Done)
}

fn see<F: Files>(stored: &Stored<F>) -> Result<Seen, Fault> {
    let manifest = stored.manifest()?;
    let config = config(&manifest, stored)?;
    let attached = stored.artifacts()?.into_iter();
    let attached = attached.filter(|found| found.subject == manifest.digest());
    let attached = attached.map(|one| (one.artifact_type, one.digest.to_string())).collect();
    Ok(Seen { manifest, config, attached })
}

fn config(manifest: &Manifest, blobs: &impl Blobs) -> Result<Config, Fault> {
    let digest: Digest = manifest.config().digest;
    Ok(Config::parse(&blob(blobs, digest)?, manifest)?)
}

fn as_json(seen: &Seen) -> String {
    let (manifest, config) = (&seen.manifest, &seen.config);
    let layers = manifest.layers().iter().zip(config.diff_ids()).map(|(layer, diff_id)| {
        json!({ "blob": layer.blob.digest.to_string(), "size": layer.blob.size, "diff_id": diff_id.to_string() })
    });
    let attached = seen
        .attached
        .iter()
        .map(|(kind, digest)| json!({ "artifact_type": kind, "manifest": digest }));
    let value = json!({
        "manifest": manifest.digest().to_string(),
        "config": manifest.config().digest.to_string(),
        "command": config.command(), "environment": config.environment(),
        "working_dir": config.working_dir(), "user": config.user(),
        "stop_signal": config.stop_signal(),
        "layers": layers.collect::<Vec<_>>(), "attached": attached.collect::<Vec<_>>(),
    });
    format!("{value}\n")
}

fn as_text(seen: &Seen) -> String {
    let (manifest, config) = (&seen.manifest, &seen.config);
    let mut text = format!("manifest     {}\n", manifest.digest());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "config       {}", manifest.config().digest);
    let _ = writeln!(text, "command      {:?}", config.command());
    for variable in config.environment() {
        let _ = writeln!(text, "environment  {variable}");
    }
    let _ = writeln!(text, "directory    {}", config.working_dir());
    let _ = writeln!(text, "user         {}", config.user().unwrap_or("(none given)"));
    for (index, layer) in manifest.layers().iter().enumerate() {
        let _ =
            writeln!(text, "layer {index:<6} {} ({} bytes)", layer.blob.digest, layer.blob.size);
    }
    for (kind, digest) in &seen.attached {
        let _ = writeln!(text, "attached     {kind} {digest}");
    }
    text
}
