use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::*;
use crate::layer;

const CREATED: i64 = 1_700_000_000;

fn spec() -> Spec {
    Spec {
        entrypoint: vec!["/vouchsafe-server".to_owned()],
        environment: vec!["PATH=/".to_owned()],
        user: Some("65532:65532".to_owned()),
        working_dir: "/".to_owned(),
        created: jiff::Timestamp::from_second(CREATED).unwrap(),
    }
}

fn file<'a>(path: &'a str, mode: u32, contents: &'a [u8]) -> File<'a> {
    File { path, mode, size: contents.len().try_into().unwrap(), contents: Box::new(contents) }
}

fn server<'a>() -> File<'a> {
    file("vouchsafe-server", 0o755, b"\x7fELF and more")
}

fn roots<'a>() -> File<'a> {
    file("etc/ssl/certs/ca-certificates.crt", 0o644, b"-----BEGIN CERTIFICATE-----\n")
}

pub(super) fn image() -> Image {
    build(vec![server(), roots()], &spec()).unwrap()
}

fn documents(image: &Image) -> (Manifest, Vec<u8>) {
    let config = image.blobs().nth(1).unwrap().bytes.clone();
    (Manifest::parse(&image.manifest().bytes, None).unwrap(), config)
}

/// Blobs in memory, for tests that change them.
struct Memory(BTreeMap<Digest, Vec<u8>>);

impl Memory {
    fn of(image: &Image) -> Self {
        Self(image.blobs().map(|blob| (blob.digest, blob.bytes.clone())).collect())
    }
}

impl Blobs for Memory {
    type Blob = Cursor<Vec<u8>>;

    fn open(&self, digest: Digest) -> io::Result<Self::Blob> {
        self.0.get(&digest).cloned().map(Cursor::new).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn equal_files_give_equal_digests_in_any_order() {
    let turned = build(vec![roots(), server()], &spec()).unwrap();
    assert_eq!(image(), turned);
    // These change only with the format, and then every deployment's HOST_DATA does.
    let texts = [
        image().manifest_digest().to_string(),
        image().diff_id().to_string(),
        String::from_utf8(documents(&image()).1).unwrap(),
        String::from_utf8(image().manifest().bytes.clone()).unwrap(),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn the_layer_is_what_was_asked_for_and_nothing_else() {
    let compressed = image().blobs().next().unwrap().bytes.clone();
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut tar).unwrap();
    assert_eq!(Digest::of(&tar), image().diff_id());
    let mut archive = tar::Archive::new(tar.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        let path = entry.path().unwrap().display().to_string();
        let owners = (header.uid().unwrap(), header.gid().unwrap());
        (path, header.mode().unwrap(), owners, header.mtime().unwrap(), entry.size())
    });
    let time = u64::try_from(CREATED).unwrap();
    let expected = [
        ("etc/", 0o755, 0),
        ("etc/ssl/", 0o755, 0),
        ("etc/ssl/certs/", 0o755, 0),
        ("etc/ssl/certs/ca-certificates.crt", 0o644, 28),
        ("vouchsafe-server", 0o755, 13),
    ];
    let expected = expected.map(|(path, mode, size)| (path.to_owned(), mode, (0, 0), time, size));
    assert_eq!(entries.collect::<Vec<_>>(), expected);
}

#[test]
fn refuses_to_build_what_would_not_be_what_it_says() {
    let with = |files| chain(&build(files, &spec()).unwrap_err());
    let long = "a".repeat(100);
    for path in ["/etc/x", "a/../b", "a//b", "", "./a", "a/", ".wh.a", "a\0b", long.as_str()] {
        assert_eq!(
            with(vec![file(path, 0o644, b"")]),
            format!("path {path:?} is not a normal relative path")
        );
    }
    assert_eq!(with(vec![server(), server()]), "path \"vouchsafe-server\" is given twice");
    assert_eq!(with(vec![file("a", 0, b""), file("a/b", 0, b"")]), "path \"a\" is given twice");
    for size in [12, 14] {
        let text = format!("file \"vouchsafe-server\" has other than {size} bytes");
        assert_eq!(with(vec![File { size, ..server() }]), text);
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let broken = File { contents: Box::new(Broken), ..server() };
    assert_eq!(with(vec![broken]), "reading file \"vouchsafe-server\": disk on fire");
    let nothing = Spec { entrypoint: Vec::new(), ..spec() };
    assert_eq!(build(vec![server()], &nothing).unwrap_err().to_string(), "no entrypoint");
}

#[test]
fn a_layout_is_written_read_back_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let image = image();
    write_layout(folder.path(), &image, "latest").unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    let manifest = layout.manifest().unwrap();
    assert_eq!(manifest.digest(), image.manifest_digest());
    let measured = measure(manifest, &layout).unwrap();
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(image.blobs().next().unwrap().bytes.as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(measured.root_hashes(), [layer::measure(tar.as_slice()).unwrap().root_hash]);
    assert_eq!(measured.layers()[0].diff_id, image.diff_id());
    let config = measured.config();
    assert_eq!(
        (config.command(), config.user(), config.working_dir()),
        (spec().entrypoint, Some("65532:65532"), "/")
    );
    assert_eq!(config.environment(), spec().environment);
}

#[test]
fn refuses_layouts_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    write_layout(folder.path(), &image(), "latest").unwrap();
    let index = std::fs::read_to_string(folder.path().join("index.json")).unwrap();
    let with = |text: String| {
        std::fs::write(folder.path().join("index.json"), text).unwrap();
        chain(&Layout::open(folder.path()).unwrap().manifest().unwrap_err())
    };
    let none = "layout does not have just one image for linux on amd64";
    assert_eq!(with(index.replace("amd64", "arm64")), none);
    let text = with(index.replace("image.manifest", "image.index"));
    assert!(text.starts_with("index.json does not parse"), "{text}");
    let digest = image().manifest_digest().to_string();
    let layer = image().blobs().next().unwrap().digest;
    let sizes = (image().blobs().next().unwrap().bytes.len(), image().manifest().bytes.len());
    let text = format!("document {layer} has {} bytes, not {}", sizes.0, sizes.1);
    assert_eq!(with(index.replace(&digest, &layer.to_string())), text);
    let path = folder.path().join("blobs/sha256").join(image().manifest_digest().hex());
    let mut other = image().manifest().bytes.clone();
    other[0] = b' ';
    std::fs::write(&path, &other).unwrap();
    let text = format!("manifest has digest {}, not {digest}", Digest::of(&other));
    assert_eq!(with(index.clone()), text);
    assert!(with(index.replace("sha256:", "sha512:")).contains("index.json does not parse"));
    std::fs::write(folder.path().join("oci-layout"), "{\"imageLayoutVersion\":\"2.0.0\"}").unwrap();
    assert_eq!(chain(&Layout::open(folder.path()).unwrap_err()), "layout is not of version 1.0.0");
}

#[test]
fn refuses_manifests_that_it_does_not_take() {
    let text = String::from_utf8(image().manifest().bytes.clone()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        chain(&Manifest::parse(text.replacen(from, to, 1).as_bytes(), None).unwrap_err())
    };
    let other = Digest::of(b"");
    let found = image().manifest_digest();
    assert_eq!(
        chain(&Manifest::parse(text.as_bytes(), Some(other)).unwrap_err()),
        format!("manifest has digest {found}, not {other}")
    );
    assert_eq!(
        with("\"schemaVersion\":2", "\"schemaVersion\":1"),
        "manifest is not of schema version 2"
    );
    assert_eq!(
        with("layer.v1.tar+gzip", "layer.v1.tar+xz"),
        "layer 0 has media type \"application/vnd.oci.image.layer.v1.tar+xz\", which is not supported"
    );
    assert_eq!(
        with("layer.v1.tar+gzip", "layer.nondistributable.v1.tar+gzip"),
        "layer 0 is a foreign layer"
    );
    assert_eq!(
        with("vnd.oci.image.layer.v1.tar+gzip", "vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        "layer 0 is a foreign layer"
    );
    assert_eq!(
        with("tar+gzip\",", "tar+gzip\",\"urls\":[\"https://x\"],"),
        "layer 0 is a foreign layer".to_owned()
    );
    assert_eq!(
        with("image.config.v1+json", "artifact.v1+json"),
        "configuration has media type \"application/vnd.oci.artifact.v1+json\", which is not supported"
    );
    assert_eq!(
        with(
            "\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\"",
            "\"mediaType\":\"text/plain\""
        ),
        "manifest has media type \"text/plain\", which is not supported"
    );
    assert_eq!(
        chain(&Manifest::parse(&vec![b' '; (4 << 20) + 1], None).unwrap_err()),
        "manifest exceeds 4194304 bytes"
    );
}

#[test]
fn takes_layers_of_every_form_that_registries_have() {
    let text = String::from_utf8(image().manifest().bytes.clone()).unwrap();
    for (media_type, expected) in [
        ("vnd.oci.image.layer.v1.tar", Compression::None),
        ("vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
        ("vnd.docker.image.rootfs.diff.tar", Compression::None),
        ("vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
        ("vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
        ("vnd.docker.image.rootfs.diff.tar.zstd", Compression::Zstd),
    ] {
        let text = text.replacen("vnd.oci.image.layer.v1.tar+gzip", media_type, 1);
        let text = text.replacen("\"layers\":[{", "\"layers\":[{\"urls\":[],", 1);
        let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
        assert_eq!(manifest.layers()[0].compression, expected, "{media_type}");
    }
}

#[test]
fn refuses_configurations_that_do_not_fit() {
    let (_, config) = documents(&image());
    let config = String::from_utf8(config).unwrap();
    let with = |from: &str, to: &str| {
        let changed = config.replacen(from, to, 1);
        let text = String::from_utf8(image().manifest().bytes.clone()).unwrap();
        let before = Digest::of(config.as_bytes()).to_string();
        let text = text.replace(&before, &Digest::of(changed.as_bytes()).to_string());
        let text = text
            .replace(&format!("\"size\":{}", config.len()), &format!("\"size\":{}", changed.len()));
        let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
        Config::parse(changed.as_bytes(), &manifest).map_err(|error| chain(&error))
    };
    assert!(with("", "").is_ok());
    assert_eq!(with("\"amd64\"", "\"arm64\"").unwrap_err(), "image is not for linux on amd64");
    assert_eq!(
        with("\"type\":\"layers\"", "\"type\":\"other\"").unwrap_err(),
        "image's root is not made of layers"
    );
    assert_eq!(
        with("\"diff_ids\":[", "\"diff_ids\":[\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",").unwrap_err(),
        "configuration and manifest have different numbers of layers"
    );
    assert_eq!(
        with("sha256:", "md5:").unwrap_err(),
        "diff_id is named by a digest other than sha256"
    );
    let (manifest, _) = documents(&image());
    let changed = config.replace("65532", "65533");
    let error = chain(&Config::parse(changed.as_bytes(), &manifest).unwrap_err());
    assert!(error.starts_with("configuration has digest"), "{error}");
}

#[test]
fn refuses_layers_that_are_not_what_they_are_named() {
    let image = image();
    let layer = image.blobs().next().unwrap().clone();
    let name = format!("layer 0 ({})", layer.digest);
    let with = |bytes: Vec<u8>| {
        let mut blobs = Memory::of(&image);
        blobs.0.insert(layer.digest, bytes);
        chain(&measure(documents(&image).0, &blobs).unwrap_err())
    };
    let mut more = layer.bytes.clone();
    more.push(0);
    let exceeds = format!("blob exceeds its {} bytes", layer.bytes.len());
    assert!(with(more).ends_with(&exceeds));
    // A gzip header's time changes the blob and not the archive.
    let mut other = layer.bytes.clone();
    other[4] ^= 1;
    let found = Digest::of(&other);
    assert_eq!(with(other), format!("{name}: blob has digest {found}, not {}", layer.digest));
    let cut = with(layer.bytes[..layer.bytes.len() / 2].to_vec());
    assert!(cut.starts_with(&name), "{cut}");
    assert!(with(b"not gzip".to_vec()).starts_with(&name));
    let missing = Memory(BTreeMap::new());
    let error = chain(&measure(documents(&image).0, &missing).unwrap_err());
    assert!(error.starts_with("reading blob sha256:"), "{error}");
}

#[test]
fn refuses_an_archive_with_another_diff_id() {
    let image = image();
    let layer = image.blobs().next().unwrap();
    let (manifest, _) = documents(&image);
    let mut reader =
        LayerReader::new(manifest.layers()[0], Digest::of(b""), layer.bytes.as_slice());
    layer::measure(&mut reader).unwrap();
    let error = reader.finish().unwrap_err().to_string();
    assert_eq!(error, format!("archive has digest {}, not {}", image.diff_id(), Digest::of(b"")));
}

#[test]
fn digests_are_sha256_in_lower_case() {
    let text = Digest::of(b"").to_string();
    assert_eq!(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(text.parse(), Ok(Digest::of(b"")));
    for bad in [&text[7..], &text[..70], &text.replace("sha256", "sha512"), &text.to_uppercase()] {
        assert_eq!(bad.parse::<Digest>(), Err(NotADigest), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_changed_manifest_or_configuration_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let image = image();
        let (manifest, mut config) = documents(&image);
        let mut bytes = image.manifest().bytes.clone();
        for (at, byte) in changes {
            let (length, other) = (bytes.len(), config.len());
            bytes[at.index(length)] = byte;
            config[at.index(other)] = byte;
        }
        let changed = Manifest::parse(&bytes, None);
        prop_assert!(changed.is_err() || Manifest::parse(&bytes, Some(image.manifest_digest())).is_err() || bytes == image.manifest().bytes);
        drop(Config::parse(&config, &manifest));
    }
}
