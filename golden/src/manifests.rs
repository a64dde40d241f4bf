//! The manifests that come with the workspace, their schema, and the worthless roots that they name.

use std::path::PathBuf;
use std::{env, fs};

use evidence::Sha256;
use forged_root::SignerName;
use manifest::{Manifest, Place};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests"))
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_schema_beside_the_manifests_is_that_of_the_language() {
    let schema = manifest::schema_text();
    if env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(folder().join("schema.json"), &schema).unwrap();
    }
    assert!(
        read("schema.json") == schema,
        "manifests/schema.json is out of date: cargo xtask bless"
    );
}

#[test]
fn dev_names_the_forged_roots() {
    let dev = Manifest::parse("dev.toml", &read("dev.toml")).unwrap();
    let Place::InsecureLocal(local) = dev.azure().place() else { panic!("not local") };
    assert_eq!(local.ca_sha256, Sha256::new(forged_root::tls_ca_sha256()));
    assert_eq!(local.uvm_root_sha256, Sha256::new(forged_root::uvm_root_sha256()));
    let roots = forged_root::Product::ALL.map(|p| Sha256::new(forged_root::amd_root_sha256(p)));
    assert_eq!(local.amd_root_sha256, roots.into());
}

#[test]
fn the_signers_of_dev_are_the_worthless_ones() {
    let dev = Manifest::parse("dev.toml", &read("dev.toml")).unwrap();
    for (name, which) in [("first", SignerName::First), ("second", SignerName::Second)] {
        let signer = &dev.signer()[&name.parse().unwrap()];
        let forged = forged_root::signer(which);
        assert_eq!(read(signer.certificate.as_str()), forged.certificate_pem);
        assert_eq!(read(signer.insecure_key.as_ref().unwrap().as_str()), forged.key_pem);
    }
}
