//! `image measure`: layer hashes, and with a group its policy and HOST_DATA.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use azure::registry::{ImageName, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::cce::{Definition, Fragment, GroupPolicy, Mode, Sidecars};
use image::layer::RootHash;
use serde_json::{Value, json};

use super::group::Described;
use super::registries::Registries;
use super::source::{Found, Source};
use super::write;
use crate::cli::ImageMeasure;
use crate::commands::print;
use crate::failure::{Exit, Failure};

pub(super) async fn measure(options: &ImageMeasure) -> Result<Exit, Failure> {
    let described = Described::read(options)?;
    let registries = Registries::new(&options.place);
    let mut given = BTreeMap::new();
    for text in &options.sources {
        let (name, source) = named(text, described.as_ref());
        let source = Source::parse(source, options.kind)?;
        if given.insert(name.to_owned(), source).is_some() {
            return Err(Failure::new(
                format!("two images for {name:?}"),
                "write CONTAINER=SOURCE for each container of the group",
            ));
        }
    }
    let Some(described) = described else {
        if options.write.is_some() {
            let remedy = "give --arm FILE, or --section workload.NAME";
            return Err(Failure::new("without a group there is no HOST_DATA to write", remedy));
        }
        if given.is_empty() {
            return Err(Failure::new("nothing to measure", "name an image, or give --arm FILE"));
        }
        let mut images = Vec::new();
        for (name, source) in &given {
            images.push((name.clone(), source.to_string(), source.measure(&registries).await?));
        }
        return show(options, &images, None);
    };

    let mut images = Vec::new();
    let mut specs = Vec::new();
    for definition in &described.containers {
        let source = match given.remove(&definition.name) {
            Some(source) => source,
            None => Source::parse(&definition.image, None)?,
        };
        let found = source.measure(&registries).await?;
        check_digest(definition, &source, &found)?;
        let config = found.config.as_ref().ok_or_else(|| {
            let text = format!("{source} is one layer, which does not say how an image starts");
            Failure::new(text, "give the whole image")
        })?;
        let hashes = roots(&found);
        let spec = definition.with_image(config, hashes).map_err(|error| {
            Failure::of("deriving the policy", error, "say it in the group's definition")
        })?;
        specs.push(spec);
        images.push((definition.name.clone(), source.to_string(), found));
    }
    if let Some(name) = given.keys().next() {
        let text = format!("the group has no container {name:?}");
        return Err(Failure::new(text, "write CONTAINER=SOURCE with a container's name"));
    }
    let mut fragments = match described.sidecars {
        Sidecars::OfTheService => vec![Fragment::infrastructure()],
        Sidecars::None => Vec::new(),
    };
    if let Some(svn) = &options.infrastructure_svn {
        fragments.iter_mut().for_each(|fragment| fragment.minimum_svn = svn.to_string());
    }
    fragments.extend(described.fragments.iter().cloned());
    let policy = GroupPolicy::with_fragments(described.mode, specs, fragments)
        .map_err(|error| Failure::of("making the policy", error, "correct the definition"))?;
    let shown = show(options, &images, Some(&policy))?;
    if let Some(section) = &options.write {
        write::write(options, section, &policy, &described)?;
    }
    Ok(shown)
}

/// A source and the container that it is for: the only one of the group need not be named.
fn named<'a>(text: &'a str, group: Option<&'a Described>) -> (&'a str, &'a str) {
    let names = group.map(|group| &group.containers);
    if let Some((name, source)) = text.split_once('=')
        && names.is_some_and(|all| all.iter().any(|container| container.name == name))
    {
        return (name, source);
    }
    match names.map(Vec::as_slice) {
        Some([only]) => (only.name.as_str(), text),
        _ => (text, text),
    }
}

/// An image that is named by digest is the one that the digest names.
fn check_digest(definition: &Definition, source: &Source, found: &Found) -> Result<(), Failure> {
    let name = definition.image.parse::<ImageName>().ok();
    let Some(Target::Digest(wanted)) = name.map(|name| name.target) else { return Ok(()) };
    let Source::Docker(_) = source else {
        return match &found.manifest {
            Some(manifest) if manifest.as_bytes() != wanted.sha256() => Err(Failure::new(
                format!("{source} is {manifest}, and the group wants {wanted}"),
                "measure the image that the group names",
            )),
            _ => Ok(()),
        };
    };
    Err(Failure::new(
        format!("the group names {wanted}, and what `docker save` writes has no digest to compare"),
        "measure an OCI layout, an OCI archive, or the registry",
    ))
}

fn roots(found: &Found) -> Vec<RootHash> {
    found.layers.iter().map(|layer| layer.measurement.root_hash).collect()
}

fn show(
    options: &ImageMeasure,
    images: &[(String, String, Found)],
    policy: Option<&GroupPolicy>,
) -> Result<Exit, Failure> {
    let text = if options.json { as_json(images, policy) } else { as_text(images, policy) };
    print(&text)?;
    Ok(Exit::Done)
}

fn as_json(images: &[(String, String, Found)], policy: Option<&GroupPolicy>) -> String {
    let image = |(name, source, found): &(String, String, Found)| {
        let layer = |layer: &image::oci::LayerRecord| {
            json!({
                "blob": layer.blob.to_string(), "diff_id": layer.diff_id.to_string(),
                "dm_verity_root": layer.measurement.root_hash, "ext4_size": layer.measurement.ext4_size,
            })
        };
        json!({
            "name": name, "source": source,
            "manifest": found.manifest.map(|digest| digest.to_string()),
            "layers": found.layers.iter().map(layer).collect::<Vec<_>>(),
        })
    };
    let images: Vec<Value> = images.iter().map(image).collect();
    let group = policy.map(|policy| {
        let text = policy.render();
        json!({
            "mode": mode(policy),
            "host_data": hex::encode(policy.host_data()),
            "fragments": policy.fragments(),
            "policy_base64": STANDARD.encode(&text),
            "policy": text,
        })
    });
    format!("{}\n", json!({ "images": images, "group": group }))
}

fn as_text(images: &[(String, String, Found)], policy: Option<&GroupPolicy>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (name, source, found) in images {
        if name == source {
            let _ = writeln!(text, "{source}");
        } else {
            let _ = writeln!(text, "{name}: {source}");
        }
        if let Some(digest) = found.manifest {
            let _ = writeln!(text, "  manifest  {digest}");
        }
        for (index, layer) in found.layers.iter().enumerate() {
            let (root, size) = (layer.measurement.root_hash, layer.measurement.ext4_size);
            let _ = writeln!(text, "  layer {index:<3} {root}  ({size} bytes as ext4)");
        }
    }
    if let Some(policy) = policy {
        if policy.mode() == Mode::InsecureDebug {
            text.push_str("DEBUG policy: the host sees and does everything; it holds no secret\n");
        }
        for fragment in policy.fragments() {
            let _ = writeln!(
                text,
                "admits    {} from version {}, signed by {}",
                fragment.feed, fragment.minimum_svn, fragment.issuer
            );
        }
        let _ = writeln!(text, "\n{}", policy.render());
        let _ = writeln!(text, "HOST_DATA {}", hex::encode(policy.host_data()));
    }
    text
}

fn mode(policy: &GroupPolicy) -> &'static str {
    match policy.mode() {
        Mode::Production => "production",
        Mode::InsecureDebug => "insecure_debug",
    }
}
