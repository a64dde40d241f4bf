//! What is attached to an image, for whoever wants to know what is in it and where it is from: a bill of materials
//! (CycloneDX 1.6) and a provenance statement (in-toto Statement v1, SLSA provenance v1), as OCI referrers.
//!
//! Neither is signed, and nothing here is believed by anybody who releases a secret: that is decided by what the
//! hardware reports. Equal input gives equal bytes; the only time in them is the image's.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use oci_spec::image::{DescriptorBuilder, ImageManifestBuilder, MediaType, Sha256Digest};
use serde_json::{Value, json};

use crate::archive::widen;
use crate::layer::RootHash;
use crate::oci::{Blob, BuildError, Digest, Image};

/// A library or program that something is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package URL, if it has one.
    pub purl: Option<String>,
    /// The SHA-256 of its source, in hexadecimal, if that is known.
    pub sha256: Option<String>,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
}

/// What is said of an image.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// How the image is called, without a tag.
    pub name: &'a str,
    /// The image.
    pub image: &'a Image,
    /// The hashes of its layers, from base to top.
    pub layers: &'a [RootHash],
    /// HOST_DATA of the group that it is for, if that is known: the trust root decides it, not the image alone.
    pub host_data: Option<[u8; 32]>,
    /// Where the program is in the image.
    pub path: &'a str,
    /// The program's digest.
    pub program: Digest,
    /// The version of what is built.
    pub version: &'a str,
    /// The commit that it was built from, if that is known.
    pub commit: Option<&'a str>,
    /// What the program is made of.
    pub components: &'a BTreeSet<Component>,
}

/// A document with the manifest that attaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    artifact_type: &'static str,
    manifest: Blob,
    document: Blob,
    empty: Blob,
}

impl Artifact {
    /// The manifest that names the image as its subject.
    pub fn manifest(&self) -> &Blob {
        &self.manifest
    }

    /// What it is, as a media type.
    pub fn artifact_type(&self) -> &'static str {
        self.artifact_type
    }

    /// The document.
    pub fn document(&self) -> &Blob {
        &self.document
    }

    /// Every blob, each after those that it names.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        [&self.document, &self.empty, &self.manifest].into_iter()
    }
}

/// The bill of materials.
pub fn sbom(facts: &Facts<'_>) -> Result<Artifact, BuildError> {
    let mut properties = vec![
        json!({ "name": "vouchsafe:image:manifest", "value": facts.image.manifest_digest().to_string() }),
        json!({ "name": "vouchsafe:image:diff_id", "value": facts.image.diff_id().to_string() }),
    ];
    properties.extend(facts.layers.iter().enumerate().map(|(index, hash)| {
        json!({ "name": format!("vouchsafe:layer:{index}:dm-verity"), "value": hash.to_string() })
    }));
    properties.extend(
        facts
            .host_data
            .map(|hash| json!({ "name": "vouchsafe:host_data", "value": hex::encode(hash) })),
    );
    let program = "program";
    let component = |component: &Component| {
        let mut value = json!({
            "type": "library", "bom-ref": reference(component),
            "name": component.name, "version": component.version,
        });
        if let Some(fields) = value.as_object_mut() {
            let mut put = |key: &str, found: Option<Value>| {
                if let Some(found) = found {
                    fields.insert(key.to_owned(), found);
                }
            };
            put("purl", component.purl.as_ref().map(|purl| json!(purl)));
            let hash = |hash: &String| json!([{ "alg": "SHA-256", "content": hash }]);
            put("hashes", component.sha256.as_ref().map(hash));
            let license = |license: &String| json!([{ "expression": license }]);
            put("licenses", component.license.as_ref().map(license));
        }
        value
    };
    let mut components = vec![json!({
        "type": "application", "bom-ref": program, "name": facts.path, "version": facts.version,
        "hashes": [{ "alg": "SHA-256", "content": facts.program.hex() }],
    })];
    components.extend(facts.components.iter().map(component));
    let parts: Vec<_> = facts.components.iter().map(reference).collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(facts),
        "version": 1,
        "metadata": {
            "timestamp": facts.image.created(),
            "tools": { "components": [{ "type": "application", "name": TOOL, "version": facts.version }] },
            "component": {
                "type": "container", "bom-ref": "image", "name": facts.name,
                "version": facts.image.manifest_digest().to_string(),
                "properties": properties,
            },
        },
        "components": components,
        "dependencies": [
            { "ref": "image", "dependsOn": [program] },
            { "ref": program, "dependsOn": parts },
        ],
    });
    attach(facts.image, CYCLONEDX, &document)
}

/// The provenance statement.
pub fn provenance(facts: &Facts<'_>) -> Result<Artifact, BuildError> {
    let layers = facts.layers.iter().enumerate().map(|(index, hash)| {
        json!({ "name": format!("layer {index}, dm-verity root"), "digest": { "dmVerityRoot": hash.to_string() } })
    });
    let host_data = facts.host_data.map(|hash| {
        json!({ "name": "CCE policy (HOST_DATA)", "digest": { "sha256": hex::encode(hash) } })
    });
    let byproducts: Vec<_> = layers.chain(host_data).collect();
    let commit =
        facts.commit.map(|commit| json!({ "name": "source", "digest": { "gitCommit": commit } }));
    let packages = facts.components.iter().filter_map(|component| {
        let (purl, hash) = (component.purl.as_ref()?, component.sha256.as_ref()?);
        Some(json!({ "uri": purl, "digest": { "sha256": hash } }))
    });
    let program = json!({ "name": facts.path, "digest": { "sha256": facts.program.hex() } });
    let dependencies: Vec<_> = commit.into_iter().chain([program]).chain(packages).collect();
    let document = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": facts.name, "digest": { "sha256": facts.image.manifest_digest().hex() },
        }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:vouchsafe:image:1",
                "externalParameters": { "program": facts.path, "created": facts.image.created() },
                "internalParameters": {},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": "urn:vouchsafe:provisioner", "version": { TOOL: facts.version } },
                "byproducts": byproducts,
            },
        },
    });
    attach(facts.image, IN_TOTO, &document)
}

/// A manifest of a document, with the image as its subject (OCI image specification 1.1, "Guidance for an Empty
/// Descriptor" and "Guidelines for Artifact Usage").
fn attach(
    image: &Image,
    artifact_type: &'static str,
    document: &Value,
) -> Result<Artifact, BuildError> {
    let document = Blob::new(MediaType::from(artifact_type), serde_jcs::to_vec(document)?);
    let empty = Blob::new(MediaType::EmptyJSON, b"{}".to_vec());
    let subject: Sha256Digest = image.manifest_digest().hex().parse()?;
    let subject = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .size(widen(image.manifest().bytes.len()))
        .digest(subject)
        .build()?;
    let created = ("org.opencontainers.image.created".to_owned(), image.created().to_owned());
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(artifact_type))
        .config(empty.descriptor()?)
        .layers([document.descriptor()?])
        .subject(subject)
        .annotations([created])
        .build()?;
    let manifest = Blob::document(MediaType::ImageManifest, &manifest)?;
    Ok(Artifact { artifact_type, manifest, document, empty })
}

fn reference(component: &Component) -> String {
    format!("{}@{}", component.name, component.version)
}

/// A name of the document that only its subject decides (RFC 9562, version 8).
fn serial(facts: &Facts<'_>) -> String {
    let hash = digest(&SHA256, facts.image.manifest_digest().as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    let mut digits = hex::encode(bytes);
    digits.replace_range(12..13, "8");
    digits.replace_range(16..17, "8");
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32)
    )
}

/// The media type of a CycloneDX document.
pub const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// The media type of an in-toto statement.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
const TOOL: &str = "vouchsafe-provisioner";

#[cfg(test)]
mod tests;
