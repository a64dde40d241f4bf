use std::io::{Cursor, Read};

use aws_lc_rs::digest::{SHA256, digest};

use super::*;

mod peers;

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/layer-vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    if let Ok(bytes) = std::fs::read(&path) {
        return bytes;
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(format!("{path}.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn agrees_with_every_vector_of_the_reference() {
    let list = std::fs::read_to_string(format!(
        "{}/tests/layer-vectors/vectors.jsonl",
        env!("CARGO_MANIFEST_DIR")
    ));
    for line in list.unwrap().lines() {
        let expected: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = expected["tar"].as_str().unwrap();
        let tar = vector(name);
        let mut image = Cursor::new(Vec::new());
        let size = write_ext4(tar.as_slice(), &mut image).unwrap();
        let image = image.into_inner();
        let measured = measure(tar.as_slice()).unwrap();
        let found = serde_json::json!({
            "tar": name,
            "tar_size": tar.len(),
            "tar_sha256": hex::encode(digest(&SHA256, &tar)),
            "ext4_size": size,
            "ext4_sha256": hex::encode(digest(&SHA256, &image)),
            "dm_verity_root_hash": measured.root_hash,
        });
        assert_eq!(found, expected);
        assert_eq!(measured.ext4_size, size, "{name}");
        for cores in [Cores::One, Cores::Two] {
            assert_eq!(measure_on(cores, tar.as_slice()).unwrap(), measured, "{name} {cores:?}");
            let root = verity_root(cores, image.as_slice()).unwrap();
            assert_eq!(root, measured.root_hash, "{name} {cores:?}");
        }
    }
}

/// Archives made for this test, one for each thing that a layer may have or the reference refuses, and some at random;
/// what is expected was computed by running the reference's algorithm over Go's `archive/tar`.
#[test]
fn agrees_with_the_reference_on_what_layers_may_have() {
    use base64::Engine as _;
    let path = format!("{}/tests/layer-vectors/more.jsonl", env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(path).unwrap();
    for line in list.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let packed = case["tar_gz"].as_str().unwrap();
        let packed = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).unwrap();
        let mut image = Cursor::new(Vec::new());
        let written = write_ext4(tar.as_slice(), &mut image).ok();
        let measured = measure(tar.as_slice()).ok();
        let found = written.zip(measured).map(|(size, measured)| {
            let sha256 = hex::encode(digest(&SHA256, image.get_ref()));
            (size, sha256, measured.root_hash.to_string())
        });
        let text = |key: &str| Some(case.get(key)?.as_str()?.to_owned());
        let size = case.get("ext4_size").and_then(serde_json::Value::as_u64);
        let expected = size.zip(text("ext4_sha256")).zip(text("dm_verity_root_hash"));
        let expected = expected.map(|((size, sha256), root)| (size, sha256, root));
        assert_eq!(found, expected, "{}", case["what"]);
    }
    assert!(list.lines().count() > 100);
}

/// The root as the kernel's documentation says it, level by level.
fn plain_root(image: &[u8]) -> RootHash {
    let mut level = image.to_vec();
    loop {
        let mut hashes: Vec<u8> = Vec::new();
        for block in level.chunks(4096) {
            hashes.extend_from_slice(digest(&SHA256, &[&[0; 32], block].concat()).as_ref());
        }
        if hashes.len() == 32 {
            return RootHash(hashes.try_into().unwrap());
        }
        hashes.resize(hashes.len().next_multiple_of(4096), 0);
        level = hashes;
    }
}

/// Both ways must agree, and the image must be one.
#[track_caller]
fn image_of(tar: &[u8]) -> Vec<u8> {
    let mut image = Cursor::new(Vec::new());
    write_ext4(tar, &mut image).unwrap();
    let image = image.into_inner();
    assert_eq!(measure(tar).unwrap().root_hash, plain_root(&image));
    image
}

#[track_caller]
fn refuses(parts: &[Vec<u8>], entry: &str, fault: &str) {
    let error = measure(parts.concat().as_slice()).unwrap_err();
    assert_eq!(
        (error.to_string(), error.fault().to_string()),
        (entry.to_owned(), fault.to_owned())
    );
}

use crate::archive::tests::{block, entry, records};

fn with_xattrs(list: &[(&str, &[u8])], name: &[u8], flag: u8, contents: &[u8]) -> Vec<u8> {
    [entry(b"pax", b'x', &records(list)), entry(name, flag, contents)].concat()
}

#[test]
fn changes_an_attribute_block_long_after_it_was_hashed() {
    let big = [7_u8; 300];
    let tar = [
        with_xattrs(&[("SCHILY.xattr.user.big", &big)], b"dir", b'5', b""),
        entry(b"file", b'0', &vec![1; 9 << 20]),
        entry(b"dir/.wh..wh..opq", b'0', b""),
    ]
    .concat();
    let image = image_of(&tar);
    assert!(image.windows(6).any(|bytes| bytes == b"opaque"));
}

#[test]
fn forgets_attribute_blocks_of_files_whose_contents_are_placed() {
    let big = [7_u8; 300];
    let file = |name: &[u8]| {
        with_xattrs(&[("SCHILY.xattr.user.big", &big)], name, b'0', &vec![1; 1 << 20])
    };
    image_of(&[file(b"a"), file(b"b"), file(b"c"), file(b"d")].concat());
}

#[test]
fn keeps_an_empty_attribute_block_when_an_entry_is_given_again_without() {
    let big = [7_u8; 300];
    let tar = [
        with_xattrs(
            &[("SCHILY.xattr.user.big", &big), ("SCHILY.xattr.user.a", b"1")],
            b"dir",
            b'5',
            b"",
        ),
        with_xattrs(&[("SCHILY.xattr.user.c", b"3")], b"dir", b'5', b""),
    ]
    .concat();
    let image = image_of(&tar);
    let has = |needle: &[u8]| image.windows(needle.len()).any(|bytes| bytes == needle);
    assert!(!has(&big[..]), "the block's attributes go");
    assert!(has(b"a\0\0\0c\0\0\0") || has(b"a\0\0\0\x01\x01"), "the inode's stay");
}

#[test]
fn writes_a_sparse_file_without_its_holes_in_memory() {
    let list: &[(&str, &[u8])] = &[
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"1000000,3"),
        ("GNU.sparse.size", b"3000000"),
    ];
    let sparse =
        image_of(&[entry(b"pax", b'x', &records(list)), entry(b"f", b'0', b"abc")].concat());
    let mut contents = vec![0; 3_000_000];
    contents[1_000_000..1_000_003].copy_from_slice(b"abc");
    assert!(sparse == image_of(&entry(b"f", b'0', &contents)));
}

#[test]
fn takes_a_global_header_for_an_empty_file_as_the_reference_does() {
    let global = entry(b"pax_global_header", b'g', &records(&[("comment", b"x")]));
    let image = image_of(&global);
    assert!(image.windows(17).any(|bytes| bytes == b"pax_global_header"));
}

#[test]
fn refuses_what_the_reference_refuses() {
    let file = |name: &[u8]| entry(name, b'0', b"x");
    refuses(
        &[file(b"a"), file(b"a")],
        "entry \"a\"",
        "replaces a file whose contents are already placed",
    );
    refuses(&[file(b"a"), file(b"a/b")], "entry \"a/b\"", "parent is not a directory");
    refuses(
        &[file(b"a"), entry(b"a", b'5', b"")],
        "entry \"a\"",
        "a directory and something else have the same path",
    );
    refuses(
        &[entry(b"..", b'0', b"")],
        "entry \"..\"",
        "a directory and something else have the same path",
    );
    refuses(
        &[entry(b"d/.wh.", b'0', b"")],
        "entry \"d/.wh.\"",
        "a directory and something else have the same path",
    );
    refuses(&[entry(b"n", b'1', b"")], "entry \"n\"", "link target \"\" is a directory");
    let link = |target: &[u8]| {
        let mut header = entry(b"n", b'1', b"");
        header[157..157 + target.len()].copy_from_slice(target);
        reseal(header)
    };
    refuses(&[link(b"nowhere")], "entry \"n\"", "link target \"nowhere\" is not in this layer");
    refuses(
        &[file(b"a"), file(b"n"), link(b"a")],
        "entry \"n\"",
        "a hard link would replace an existing entry",
    );
    refuses(&[block(b"cut", b'0', 100).to_vec()], "entry \"cut\"", "archive ends inside an entry");
    let long = with_xattrs(&[("path", &[b'a'; 256])], b"x", b'0', b"");
    refuses(
        &[long],
        &format!("entry {:?}", "a".repeat(200) + "…"),
        "a name in the path is empty or longer than 255 bytes",
    );
    let huge = with_xattrs(&[("SCHILY.xattr.user.huge", &[1; 5000])], b"f", b'0', b"");
    refuses(&[huge], "entry \"f\"", "extended attribute \"user.huge\" does not fit");
    let bomb: &[(&str, &[u8])] = &[
        ("GNU.sparse.numblocks", b"0"),
        ("GNU.sparse.map", b""),
        ("GNU.sparse.size", b"137438953473"),
        ("GNU.sparse.major", b"0"),
        ("GNU.sparse.minor", b"1"),
    ];
    refuses(&[with_xattrs(bomb, b"f", b'0', b"")], "entry \"f\"", "file larger than 128 GiB");
    let bomb: Vec<_> = bomb
        .iter()
        .map(|(key, value)| (*key, if value.len() == 12 { b"137438953472" } else { *value }))
        .collect();
    refuses(&[with_xattrs(&bomb, b"f", b'0', b"")], "entry \"f\"", "image larger than 128 GiB");
}

pub(crate) fn reseal(mut entry: Vec<u8>) -> Vec<u8> {
    entry[148..156].fill(b' ');
    let sum: u64 = entry[..512].iter().map(|byte| u64::from(*byte)).sum();
    entry[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    entry
}

#[test]
fn deep_paths_neither_overflow_the_stack_nor_take_quadratic_time() {
    let path = "d/".repeat(60_000) + "f";
    image_of(&with_xattrs(&[("path", path.as_bytes())], b"x", b'0', b"x"));
}

#[test]
fn root_hashes_are_lower_case() {
    let text = "0b18b9ee244a22539b7208072359d109da85447af31f5a85a5e2ef966a89486e";
    assert_eq!(text.parse::<RootHash>().unwrap().to_string(), text);
    assert!(text.to_uppercase().parse::<RootHash>().is_err());
    assert!(text[2..].parse::<RootHash>().is_err());
}

mod mutations {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// Whatever a tar becomes: no panic, and a hash exactly when there is an image.
        #[test]
        fn a_changed_tar_gives_an_error_or_an_image(
            which in 0..4_usize,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in proptest::option::of(any::<prop::sample::Index>()),
            fix in any::<bool>(),
        ) {
            let names = ["02-one-file.tar", "03-missing-parents.tar", "05-whiteouts.tar", "07-devices.tar"];
            let mut tar = vector(names[which]);
            for (at, byte) in changes {
                let length = tar.len();
                tar[at.index(length)] = byte;
            }
            if fix {
                // Right checksums let the changes reach deeper.
                for start in (0..tar.len()).step_by(512) {
                    if tar[start + 257..].starts_with(b"ustar") {
                        let fixed = reseal(tar[start..start + 512].to_vec());
                        tar[start..start + 512].copy_from_slice(&fixed);
                    }
                }
            }
            if let Some(cut) = cut {
                tar.truncate(cut.index(tar.len()));
            }
            let mut image = Cursor::new(Vec::new());
            match (measure(tar.as_slice()), write_ext4(tar.as_slice(), &mut image)) {
                (Ok(measured), Ok(_)) => prop_assert_eq!(measured.root_hash, plain_root(image.get_ref())),
                (Err(a), Err(b)) => prop_assert_eq!(a.fault().to_string(), b.fault().to_string()),
                (a, b) => prop_assert!(false, "{a:?} {b:?}"),
            }
        }
    }
}
