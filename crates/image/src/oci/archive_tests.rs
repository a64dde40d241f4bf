//! Images in archives: OCI layouts, `docker save`, single layers.

use std::io::{self, Cursor};

use serde_json::json;

use super::tests::{chain, image};
use super::*;
use crate::archive::tests::{block, entry};
use crate::layer;

type Opened = io::Result<Cursor<Vec<u8>>>;

fn opened(tar: Vec<u8>) -> impl Fn() -> Opened {
    move || Ok(Cursor::new(tar.clone()))
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    files.iter().flat_map(|(name, bytes)| entry(name.as_bytes(), b'0', bytes)).collect()
}

/// A layout in an archive, as other tools order it.
fn layout() -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    write_layout(folder.path(), &image(), "latest").unwrap();
    let read = |name: &str| (name.to_owned(), std::fs::read(folder.path().join(name)).unwrap());
    let blobs =
        image().blobs().map(|b| format!("blobs/sha256/{}", b.digest.hex())).collect::<Vec<_>>();
    let names = blobs.iter().map(String::as_str).chain(["index.json", "oci-layout"]);
    names.map(read).collect()
}

fn as_tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<_> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let directory = entry(b"./blobs/", b'5', b"");
    [directory, archive(&files)].concat()
}

fn measured(tar: Vec<u8>) -> Result<MeasuredImage, String> {
    let archive = Archive::index(opened(tar)).map_err(|error| chain(&error))?;
    let stored = Stored::open(archive).map_err(|error| chain(&error))?;
    let manifest = stored.manifest().map_err(|error| chain(&error))?;
    measure(manifest, &stored).map_err(|error| chain(&error))
}

fn layer_tar() -> Vec<u8> {
    let compressed = image().blobs().next().unwrap().bytes.clone();
    let mut tar = Vec::new();
    io::Read::read_to_end(&mut flate2::read::GzDecoder::new(compressed.as_slice()), &mut tar)
        .unwrap();
    tar
}

fn saved(layers: &[&str], more: &[(&str, &[u8])], config: &[u8], name: &str) -> Vec<u8> {
    let manifest = json!([{ "Config": name, "RepoTags": ["x:1"], "Layers": layers }]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let files = [&[("manifest.json", manifest.as_slice()), (name, config)], more].concat();
    archive(&files)
}

#[test]
fn an_archive_of_a_layout_gives_what_the_layout_gives() {
    let tar = as_tar(&layout());
    assert_eq!(Archive::kind(&opened(tar.clone())).unwrap(), ArchiveKind::Oci);
    let found = measured(tar).unwrap();
    assert_eq!(found.manifest().digest(), image().manifest_digest());
    let expected = layer::measure(layer_tar().as_slice()).unwrap();
    assert_eq!(found.root_hashes(), [expected.root_hash]);
}

#[test]
fn what_docker_saves_gives_the_same_layers() {
    let config = image().blobs().nth(1).unwrap().clone();
    let (plain, compressed) = (layer_tar(), image().blobs().next().unwrap().bytes.clone());
    let expected = layer::measure(plain.as_slice()).unwrap();
    let name = format!("{}.json", config.digest.hex());
    for layer in [plain, compressed] {
        let tar = saved(&["a/layer.tar"], &[("a/layer.tar", &layer)], &config.bytes, &name);
        assert_eq!(Archive::kind(&opened(tar.clone())).unwrap(), ArchiveKind::Docker);
        let found = measure_docker(&Archive::index(opened(tar)).unwrap()).unwrap();
        assert_eq!((found.id, found.layers.len()), (config.digest, 1));
        assert_eq!(found.layers[0].measurement, expected);
        assert_eq!(found.layers[0].blob, Digest::of(&layer));
        assert_eq!(found.layers[0].diff_id, image().diff_id());
    }
}

#[test]
fn older_archives_by_docker_link_layers_that_are_alike() {
    let config = image().blobs().nth(1).unwrap().clone();
    let layer = layer_tar();
    let mut link = entry(b"a/layer.tar", b'2', b"");
    let target = b"../b/layer.tar";
    link[157..157 + target.len()].copy_from_slice(target);
    let link = layer::tests::reseal(link);
    let name = format!("{}.json", config.digest.hex());
    let tar = saved(&["a/layer.tar"], &[("b/layer.tar", &layer)], &config.bytes, &name);
    let found = measure_docker(&Archive::index(opened([link, tar].concat())).unwrap()).unwrap();
    assert_eq!(found.layers[0].diff_id, image().diff_id());
}

#[test]
fn a_layer_by_itself_may_be_compressed() {
    let (plain, compressed) = (layer_tar(), image().blobs().next().unwrap().bytes.clone());
    assert_eq!(Archive::kind(&opened(plain.clone())).unwrap(), ArchiveKind::Layer);
    let found = measure_layer(plain.as_slice()).unwrap();
    let zipped = measure_layer(compressed.as_slice()).unwrap();
    assert_eq!((found.diff_id, found.measurement), (zipped.diff_id, zipped.measurement));
    assert_eq!(found.diff_id, image().diff_id());
    assert_ne!(found.blob, zipped.blob);

    let zstd = |bytes: &[u8]| {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        compress_to_vec(bytes, CompressionLevel::Fastest)
    };
    // Several frames, the empty one too, and some to be skipped.
    let (first, second) = plain.split_at(700);
    let skipped = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    for blob in [
        zstd(&plain),
        [zstd(first), skipped.to_vec(), zstd(b""), zstd(second), skipped.to_vec()].concat(),
    ] {
        let zipped = measure_layer(blob.as_slice()).unwrap();
        assert_eq!((found.diff_id, found.measurement), (zipped.diff_id, zipped.measurement));
        assert_eq!(zipped.blob, Digest::of(&blob));
        for cut in [blob.len() / 2, blob.len() - 1] {
            assert!(measure_layer(&blob[..cut]).is_err(), "cut at {cut} of {}", blob.len());
        }
    }
    // RFC 8878, "Window Descriptor": 2^(10 + 20) bytes.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 1, 0, 0];
    assert!(chain(&measure_layer(huge.as_slice()).unwrap_err()).contains("reading the archive"));
}

#[test]
fn refuses_archives_that_two_readers_could_see_differently() {
    let twice = [as_tar(&layout()), archive(&[("index.json", b"{}")])].concat();
    assert_eq!(measured(twice).unwrap_err(), "entry \"index.json\" of the archive is there twice");
    let device = [entry(b"blobs/x", b'3', b""), as_tar(&layout())].concat();
    assert_eq!(measured(device).unwrap_err(), "entry \"blobs/x\" of the archive is no file");
    let mut link = entry(b"x", b'2', b"");
    link[157..163].copy_from_slice(b"../../");
    let link = layer::tests::reseal(link);
    assert_eq!(measured(link).unwrap_err(), "entry \"x\" of the archive leads outside");
    let mut cut = as_tar(&layout());
    cut.truncate(cut.len() - 600);
    assert!(measured(cut).unwrap_err().starts_with("the archive, after entry"));
    let beyond = block(b"index.json", b'0', 1 << 30).to_vec();
    assert!(measured(beyond).unwrap_err().ends_with("archive ends inside an entry"));
    let many: Vec<u8> =
        (0..10_001).flat_map(|n| entry(format!("{n}").as_bytes(), b'0', b"")).collect();
    assert_eq!(measured(many).unwrap_err(), "the archive has more than 10000 entries");
}

#[test]
fn refuses_what_docker_did_not_save() {
    let config = image().blobs().nth(1).unwrap().clone();
    let name = format!("{}.json", config.digest.hex());
    let layer = layer_tar();
    let with =
        |tar: Vec<u8>| chain(&measure_docker(&Archive::index(opened(tar)).unwrap()).unwrap_err());
    let l: (&str, &[u8]) = ("l", &layer);
    assert_eq!(
        with(saved(&["l"], &[l], &config.bytes, "other.json")),
        "configuration is not named by its digest"
    );
    assert!(with(saved(&["m"], &[l], &config.bytes, &name)).starts_with("file \"m\""));
    assert_eq!(
        with(saved(&["l", "l"], &[l], &config.bytes, &name)),
        "configuration and manifest have different numbers of layers"
    );
    let mut other = layer.clone();
    other.extend_from_slice(&[0; 512]);
    let found = Digest::of(&other);
    assert_eq!(
        with(saved(&["l"], &[("l", &other)], &config.bytes, &name)),
        format!("layer 0 ({0}): archive has digest {found}, not {0}", image().diff_id())
    );
    assert_eq!(with(archive(&[("manifest.json", b"[]")])), "archive does not have just one image");
    assert!(with(archive(&[("manifest.json", b"{")])).starts_with("manifest.json does not parse"));
}

#[test]
fn an_index_may_name_an_index_but_not_itself() {
    let mut files = layout();
    let index = files.iter().position(|(name, _)| name == "index.json").unwrap();
    let inner = files[index].1.clone();
    let nested = |bytes: &[u8]| {
        serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": Digest::of(bytes).to_string(), "size": bytes.len(),
            }],
        }))
        .unwrap()
    };
    let name = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    files[index].1 = nested(&inner);
    files.push((name(&inner), inner.clone()));
    let found = measured(as_tar(&files)).unwrap();
    assert_eq!(found.manifest().digest(), image().manifest_digest());

    let (one, two) = (nested(&inner), nested(&nested(&inner)));
    files[index].1 = nested(&two);
    files.extend([(name(&one), one), (name(&two), two)]);
    assert_eq!(measured(as_tar(&files)).unwrap_err(), "an index of an index of an index");
}

/// The manifest that an index chooses, by the tag of its descriptor, or why none.
fn chosen(manifests: serde_json::Value) -> Result<String, String> {
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    let chosen = choose("index.json", &serde_json::to_vec(&index).unwrap());
    chosen.map(|chosen| chosen.described.digest.to_string()).map_err(|error| error.to_string())
}

#[test]
fn of_an_index_the_image_for_every_processor_counts() {
    let manifest = |contents: &str, platform: serde_json::Value| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "platform": platform,
            "digest": Digest::of(contents.as_bytes()).to_string(), "data": "eA==",
            "annotations": { "org.opencontainers.image.ref.name": contents },
        })
    };
    let amd64 =
        |variant: &str| json!({ "os": "linux", "architecture": "amd64", "variant": variant });
    let plain = manifest("plain", json!({ "os": "linux", "architecture": "amd64" }));
    let others = [
        manifest("arm", json!({ "os": "linux", "architecture": "arm64", "variant": "v8" })),
        manifest("windows", json!({ "os": "windows", "architecture": "amd64" })),
        manifest("attestation", json!({ "os": "unknown", "architecture": "unknown" })),
        manifest("new", amd64("v3")),
    ];
    let with = |more: &[&serde_json::Value]| {
        json!(others.iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let digest = |contents: &str| Ok(Digest::of(contents.as_bytes()).to_string());
    assert_eq!(chosen(with(&[&plain])), digest("plain"));
    assert_eq!(chosen(with(&[&manifest("v1", amd64("v1"))])), digest("v1"));
    assert_eq!(chosen(with(&[])), digest("new"), "the only one");
    assert_eq!(chosen(with(&[&plain, &plain])), digest("plain"), "under two names");
    let refused = Err("layout does not have just one image for linux on amd64".to_owned());
    assert_eq!(chosen(with(&[&plain, &manifest("second", amd64("v1"))])), refused);
    assert_eq!(chosen(json!(others[..3])), refused);
}
