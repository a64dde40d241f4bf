use super::*;
use crate::oci::{File, Layout, Manifest, Spec, build, write_layout_with};

fn image() -> Image {
    let contents = b"\x7fELF";
    let file = File {
        path: "vouchsafe-server",
        mode: 0o755,
        size: 4,
        contents: Box::new(contents.as_slice()),
    };
    let spec = Spec {
        entrypoint: vec!["/vouchsafe-server".to_owned()],
        environment: Vec::new(),
        user: None,
        working_dir: "/".to_owned(),
        created: jiff::Timestamp::from_second(1_700_000_000).unwrap(),
    };
    build(vec![file], &spec).unwrap()
}

fn artifacts(image: &Image) -> [Artifact; 2] {
    let component = |name: &str, version: &str| Component {
        name: name.to_owned(),
        version: version.to_owned(),
        purl: Some(format!("pkg:cargo/{name}@{version}")),
        sha256: Some("11".repeat(32)),
        license: Some("MIT OR Apache-2.0".to_owned()),
    };
    let own = Component {
        purl: None,
        sha256: None,
        license: None,
        ..component("vouchsafe-store", "0.1.0")
    };
    let components = [component("serde", "1.0.0"), component("hex", "0.4.3"), own].into();
    let facts = Facts {
        name: "vouchsafe.azurecr.io/vouchsafe/server",
        image,
        layers: &[RootHash::from([7; 32])],
        host_data: Some([9; 32]),
        path: "vouchsafe-server",
        program: Digest::of(b"\x7fELF"),
        version: "0.1.0",
        commit: Some("0123456789abcdef0123456789abcdef01234567"),
        components: &components,
    };
    [sbom(&facts).unwrap(), provenance(&facts).unwrap()]
}

#[test]
fn documents_name_the_image_its_layers_and_its_measurement() {
    let [sbom, provenance] = artifacts(&image());
    let pretty = |artifact: &Artifact| {
        let value: Value = serde_json::from_slice(&artifact.document().bytes).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    insta::assert_snapshot!("sbom", pretty(&sbom));
    insta::assert_snapshot!("provenance", pretty(&provenance));
    for artifact in [&sbom, &provenance] {
        let text = String::from_utf8(artifact.document().bytes.clone()).unwrap();
        for part in [&"07".repeat(32), &"09".repeat(32), &image().manifest_digest().hex()] {
            assert!(text.contains(part.as_str()), "{part} in {text}");
        }
    }
}

#[test]
fn manifests_attach_documents_to_the_image() {
    for artifact in artifacts(&image()) {
        let manifest: Value = serde_json::from_slice(&artifact.manifest().bytes).unwrap();
        assert_eq!(manifest["artifactType"], artifact.artifact_type());
        assert_eq!(manifest["subject"]["digest"], image().manifest_digest().to_string());
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
        assert_eq!(manifest["layers"][0]["digest"], artifact.document().digest.to_string());
        let refused = Manifest::parse(&artifact.manifest().bytes, None).unwrap_err();
        assert_eq!(refused.to_string(), "manifest is of an artifact, not of an image");
    }
    assert_eq!(artifacts(&image()), artifacts(&image()), "nothing else decides them");
}

#[test]
fn a_layout_holds_them_beside_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = image();
    let artifacts = artifacts(&image);
    write_layout_with(folder.path(), &image, "latest", &artifacts).unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    assert_eq!(layout.manifest().unwrap().digest(), image.manifest_digest());
    let found = layout.artifacts().unwrap();
    let expected: Vec<_> = artifacts.iter().map(|artifact| artifact.manifest().clone()).collect();
    assert_eq!(
        found.iter().map(|found| found.digest).collect::<Vec<_>>(),
        expected.iter().map(|blob| blob.digest).collect::<Vec<_>>()
    );
}
