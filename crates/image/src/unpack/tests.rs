use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;

use super::*;
use crate::archive::tests::{entry, records};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 100 };

/// A directory that holds the root and something beside it that must not change.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.root()).unwrap();
        fs::write(place.0.path().join("outside"), "untouched").unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn unpack(&self, parts: &[Vec<u8>]) -> Result<Unpacked, String> {
        let unpacked = unpack(parts.concat().as_slice(), &self.root(), LIMITS);
        self.check();
        unpacked.map_err(|error| format!("{error}: {}", error.fault()))
    }

    fn check(&self) {
        assert_eq!(fs::read_to_string(self.0.path().join("outside")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 2);
    }

    /// Everything below the root, with contents and targets.
    fn listing(&self) -> Vec<String> {
        let (mut found, mut left) = (Vec::new(), vec![self.root()]);
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.root()).unwrap().display().to_string();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let mode = metadata.mode() & 0o7777;
                found.push(if metadata.is_dir() {
                    left.push(path);
                    format!("{name}/ {mode:o}")
                } else if metadata.is_symlink() {
                    format!("{name} -> {}", fs::read_link(path).unwrap().display())
                } else {
                    format!("{name} {mode:o} {}", fs::read_to_string(path).unwrap())
                });
            }
        }
        found.sort();
        found
    }
}

fn file(name: &[u8], contents: &[u8]) -> Vec<u8> {
    entry(name, b'0', contents)
}

fn link(name: &[u8], flag: u8, target: &str) -> Vec<u8> {
    [entry(b"pax", b'x', &records(&[("linkpath", target.as_bytes())])), entry(name, flag, b"")]
        .concat()
}

#[track_caller]
fn refuses(parts: &[Vec<u8>], expected: &str) {
    assert_eq!(Place::new().unpack(parts).unwrap_err(), expected);
}

#[test]
fn writes_files_directories_and_links() {
    let place = Place::new();
    let layer = [
        entry(b"./", b'5', b""),
        entry(b"dir/", b'5', b""),
        file(b"dir/file", b"contents"),
        link(b"dir/hard", b'1', "dir/file"),
        link(b"dir/soft", b'2', "../dir/file"),
        file(b"made/parents/file", b""),
        entry(b"global", b'g', b""),
    ];
    assert_eq!(place.unpack(&layer).unwrap(), Unpacked { bytes: 8, entries: 7 });
    let expected = [
        "dir/ 744",
        "dir/file 644 contents",
        "dir/hard 644 contents",
        "dir/soft -> ../dir/file",
        "made/ 755",
        "made/parents/ 755",
        "made/parents/file 644 ",
    ];
    assert_eq!(place.listing(), expected);
}

#[test]
fn later_layers_replace_and_whiteouts_remove() {
    let place = Place::new();
    let below = [
        file(b"a", b"1"),
        file(b"b/x", b"1"),
        file(b"c/x", b"1"),
        file(b"c/d/x", b"1"),
        file(b"e/x", b"1"),
        link(b"l", b'2', "a"),
    ];
    place.unpack(&below).unwrap();
    let above = [
        file(b"a", b"2"),
        file(b"b/.wh.x", b""),
        file(b"c/d/y", b"2"),
        file(b"c/.wh..wh..opq", b""),
        file(b".wh.e", b""),
        file(b".wh.never", b""),
        file(b"l", b"2"),
    ];
    place.unpack(&above).unwrap();
    assert_eq!(
        place.listing(),
        ["a 644 2", "b/ 755", "c/ 755", "c/d/ 755", "c/d/y 644 2", "l 644 2"]
    );
}

#[test]
fn refuses_names_that_leave_the_root() {
    refuses(&[file(b"/etc/passwd", b"")], "entry \"/etc/passwd\": name is absolute");
    refuses(&[file(b"a/../../outside", b"x")], "entry \"a/../../outside\": name has a part \"..\"");
    refuses(&[file(b"..", b"x")], "entry \"..\": name has a part \"..\"");
    refuses(&[entry(b"", b'0', b"")], "entry \"\": name is empty or too long");
}

#[test]
fn refuses_links_that_leave_the_root() {
    for target in ["/etc/passwd", "../outside", "..", "", "a/../..", "a/.."] {
        let fault = format!("entry \"l\": link leaves the root: {target:?}");
        if !target.is_empty() {
            refuses(&[link(b"l", b'2', target)], &fault);
        }
    }
    refuses(&[entry(b"l", b'2', b"")], "entry \"l\": link leaves the root: \"\"");
    refuses(&[link(b"h", b'1', "../outside")], "entry \"h\": link leaves the root: \"../outside\"");
    refuses(&[link(b"h", b'1', "/outside")], "entry \"h\": link leaves the root: \"/outside\"");
    refuses(
        &[link(b"h", b'1', "nowhere")],
        "entry \"h\": link target \"nowhere\" is no file of the image",
    );
    refuses(
        &[file(b"f", b""), link(b"l", b'2', "f"), link(b"h", b'1', "l")],
        "entry \"h\": link target \"l\" is no file of the image",
    );
}

#[test]
fn follows_no_link_not_even_inside() {
    let place = Place::new();
    let layer = [entry(b"d", b'5', b""), link(b"l", b'2', "d"), file(b"l/x", b"1")];
    assert_eq!(place.unpack(&layer).unwrap_err(), "entry \"l/x\": a parent is not a directory");
    // Should one be there that leads out, whoever made it, it is not followed either.
    let place = Place::new();
    symlink("../outside", place.root().join("evil")).unwrap();
    symlink("..", place.root().join("up")).unwrap();
    assert_eq!(
        place.unpack(&[file(b"up/outside", b"x")]).unwrap_err(),
        "entry \"up/outside\": a parent is not a directory"
    );
    place.unpack(&[file(b"evil", b"x"), file(b".wh.up", b"")]).unwrap();
    assert_eq!(place.listing(), ["evil 644 x"]);
}

#[test]
fn refuses_what_cannot_be_or_needs_privileges() {
    refuses(&[file(b"f", b""), file(b"f/x", b"")], "entry \"f/x\": a parent is not a directory");
    refuses(
        &[file(b"d/x", b""), file(b"d", b"")],
        "entry \"d\": conflicts with an earlier entry of this layer",
    );
    refuses(
        &[file(b"d/x", b""), file(b".wh.d", b"")],
        "entry \".wh.d\": conflicts with an earlier entry of this layer",
    );
    for name in [".wh.", ".wh..", ".wh..."] {
        refuses(&[file(name.as_bytes(), b"")], &format!("entry {name:?}: whiteout names nothing"));
    }
    refuses(&[entry(b"n", b'3', b"")], "entry \"n\": a device is not supported");
    refuses(&[entry(b"n", b'6', b"")], "entry \"n\": a pipe is not supported");
    refuses(&[entry(b"n", b'V', b"")], "entry \"n\": its type is not supported");
    refuses(&[file(b"n", b"abc")[..514].to_vec()], "entry \"n\": archive ends inside an entry");
}

#[test]
fn stops_at_its_limits() {
    refuses(&[file(b"f", &vec![0; (1 << 20) + 1])], "entry \"f\": layer exceeds 1048576 bytes");
    let sparse: &[(&str, &[u8])] = &[
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"9999999,0"),
        ("GNU.sparse.size", b"9999999"),
    ];
    refuses(
        &[entry(b"p", b'x', &records(sparse)), file(b"f", b"")],
        "entry \"f\": layer exceeds 1048576 bytes",
    );
    let many: Vec<_> = (0..101).map(|at| file(format!("{at}").as_bytes(), b"")).collect();
    refuses(&many, "entry \"100\": layer exceeds 100 entries");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_layer_says_nothing_outside_changes(
        entries in proptest::collection::vec(
            (
                prop::sample::select(vec![b'0', b'1', b'2', b'5']),
                "(a|b|\\.\\.|\\.|/|\\.wh\\.a|\\.wh\\.\\.wh\\.\\.opq|outside){1,5}",
                "(a|b|\\.\\.|\\.|/|outside){1,5}",
            ),
            1..12,
        ),
    ) {
        let place = Place::new();
        for (flag, name, target) in entries {
            let list: &[(&str, &[u8])] = &[("path", name.as_bytes()), ("linkpath", target.as_bytes())];
            let layer = [entry(b"pax", b'x', &records(list)), entry(b"x", flag, if flag == b'0' { b"new" } else { b"" })];
            let _refused = place.unpack(&layer);
        }
    }
}
