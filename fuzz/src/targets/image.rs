//! Layers and images, which come from whoever built them.

use std::io::Cursor;

use image::cce::{ArmGroup, Fragment, GroupPolicy, SeccompProfile};
use image::layer::{self, Cores};
use image::oci::{
    Archive, Compression, Config, Manifest, Stored, choose, measure_docker, measure_layer,
};

/// A layer has a hash exactly when it has an image, and the hash is that image's. A compressed one is read first.
pub(crate) fn layer_ext4(data: &[u8]) {
    if Compression::of(data) != Compression::None {
        drop(measure_layer(data));
        return;
    }
    let Ok(measured) = layer::measure_on(Cores::One, data) else { return };
    // A few bytes may stand for a file of gigabytes, which is measured but not written here.
    if measured.ext4_size > LARGEST {
        return;
    }
    let mut ext4 = Cursor::new(Vec::new());
    let size = layer::write_ext4(data, &mut ext4).unwrap_or_default();
    assert_eq!(size, measured.ext4_size);
    assert_eq!(ext4.get_ref().len() % 4096, 0);
    let root = layer::verity_root(Cores::One, ext4.get_ref().as_slice());
    assert_eq!(root.ok(), Some(measured.root_hash));
}

/// Documents of images, whole archives, definitions of groups and policies.
pub(crate) fn oci_manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data, None) {
        assert!(Manifest::parse(data, Some(manifest.digest())).is_ok());
        drop(Config::parse(data, &manifest));
    }
    drop(choose("index", data));
}

/// An archive that may hold an image.
pub(crate) fn image_archive(data: &[u8]) {
    let Ok(archive) = Archive::index(|| Ok(Cursor::new(data))) else { return };
    drop(measure_docker(&archive));
    if let Ok(stored) = Stored::open(archive) {
        drop(stored.manifest());
        drop(stored.artifacts());
    }
}

/// What a user says of a group, and what the host shows of it.
pub(crate) fn group(data: &[u8]) {
    drop(ArmGroup::parse(data, None));
    drop(Fragment::parse_list(data));
    drop(SeccompProfile::parse(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(policy) = GroupPolicy::parse(text) {
        assert_eq!(policy.render(), text);
    }
}

const LARGEST: u64 = 64 << 20;
