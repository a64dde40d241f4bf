//! Images and trees as other programs see them: e2fsck and debugfs (e2fsprogs), veritysetup (cryptsetup-bin).

use std::path::Path;
use std::process::{Command, Output};

use crate::layer::{measure, write_ext4};

#[test]
fn e2fsck_accepts_every_image() {
    let large = [700 << 20, 17 << 30].map(|size| (format!("{size}"), holes(size)));
    for (name, tar) in tars().into_iter().chain(large) {
        let folder = tempfile::tempdir().unwrap();
        let image = written(folder.path(), &tar);
        // The reference leaves the padding of inode bitmaps unset; nothing else may be wrong.
        let Some(output) = run("/usr/sbin/e2fsck", "e2fsprogs", &["-fn", &image]) else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Vec<_> = text.lines().filter(|line| line.contains('?')).collect();
        assert_eq!(found, ["Padding at end of inode bitmap is not set. Fix? no"], "{name}: {text}");
        assert_eq!(output.status.code(), Some(4), "{name}: {text}");
    }
}

#[test]
fn debugfs_reads_what_was_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let image = written(folder.path(), &everything());
    let ask = |question: &str| peer("/usr/sbin/debugfs", "e2fsprogs", &["-R", question, &image]);
    let Some(listing) = ask("ls -l /dir") else { return };
    for name in ["file", "hard", "gone", "link", "long", "null", "pipe"] {
        assert!(listing.contains(name), "{listing}");
    }
    assert_eq!(ask("cat /dir/file").unwrap(), "contents");
    assert_eq!(ask("cat /dir/hard").unwrap(), "contents");
    let attributes = ask("ea_list /dir").unwrap();
    assert!(attributes.contains("trusted.overlay.opaque (1) = \"y\""), "{attributes}");
    assert!(attributes.contains("user.large (300)"), "{attributes}");
    let stat = ask("stat /dir/gone").unwrap();
    assert!(
        stat.contains("Type: character special")
            && stat.contains("Device major/minor number: 00:00"),
        "{stat}"
    );
    assert!(ask("stat /dir/link").unwrap().contains("Fast link dest: \"short\""));
}

#[test]
fn debugfs_reads_the_later_of_two_entries() {
    let folder = tempfile::tempdir().unwrap();
    let image = written(folder.path(), &again());
    let ask = |question: &str| peer("/usr/sbin/debugfs", "e2fsprogs", &["-R", question, &image]);
    let Some(stat) = ask("stat /dir") else { return };
    assert!(stat.contains("Mode:  0700"), "{stat}");
    assert_eq!(ask("cat /filled").unwrap(), "now it has contents");
    assert_eq!(ask("cat /was-a-link").unwrap(), "now a file");
    assert_eq!(ask("cat /was-a-device").unwrap(), "now a file");
    assert!(ask("stat /was-a-file").unwrap().contains("Fast link dest: \"elsewhere\""));
    assert!(ask("stat /gone").unwrap().contains("Type: character special"));
    // A name of two is parted from the other, which keeps its contents.
    assert_eq!(ask("cat /one").unwrap(), "of two names");
    assert_eq!(ask("cat /two").unwrap(), "alone");
    assert_eq!(ask("cat /dir/below").unwrap(), "kept");
    let attributes = ask("ea_list /").unwrap();
    assert!(attributes.contains("trusted.overlay.opaque (1) = \"y\""), "{attributes}");
}

#[test]
fn veritysetup_makes_and_verifies_the_same_root() {
    for (name, tar) in tars() {
        let folder = tempfile::tempdir().unwrap();
        let image = written(folder.path(), &tar);
        let tree = folder.path().join("tree").display().to_string();
        let root = measure(tar.as_slice()).unwrap().root_hash.to_string();
        let salt = format!("--salt={}", "0".repeat(64));
        let made = peer(
            "/usr/sbin/veritysetup",
            "cryptsetup-bin",
            &["format", "--no-superblock", &salt, &image, &tree],
        );
        let Some(made) = made else { return };
        assert!(made.contains(&root), "{name}: {root}\n{made}");
        peer(
            "/usr/sbin/veritysetup",
            "cryptsetup-bin",
            &["verify", "--no-superblock", &salt, &image, &tree, &root],
        );
    }
}

/// A file of holes, to reach extent leaves (above 512 MiB) and a second block of group descriptors (above 16 GiB).
fn holes(size: u64) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let size = size.to_string();
    let list =
        [("GNU.sparse.major", "0"), ("GNU.sparse.minor", "1"), ("GNU.sparse.numblocks", "0")];
    let list = list.into_iter().chain([("GNU.sparse.size", size.as_str())]);
    builder.append_pax_extensions(list.map(|(key, value)| (key, value.as_bytes()))).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_mode(0o644);
    builder.append_data(&mut header, "holes", std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

fn tars() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layer-vectors");
    let mut tars = vec![("everything".to_owned(), everything()), ("again".to_owned(), again())];
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            tars.push((path.display().to_string(), std::fs::read(path).unwrap()));
        }
    }
    tars
}

/// One of each kind of entry, with attributes in the inode and in a block.
fn everything() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, link: &str, contents: &[u8], attributes: &[(&str, &[u8])]| {
        builder.append_pax_extensions(attributes.iter().copied()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(contents.len().try_into().unwrap());
        header.set_mtime(1_700_000_000);
        header.set_uid(70_000);
        header.set_gid(70_001);
        if kind == tar::EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(300).unwrap();
        }
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        builder.append_data(&mut header, path, contents).unwrap();
    };
    let large = [b'x'; 300];
    let mode: (&str, &[u8]) = ("mtime", b"1700000000.123456789");
    add(
        "dir/",
        tar::EntryType::Directory,
        "",
        b"",
        &[mode, ("SCHILY.xattr.user.large", &large), ("SCHILY.xattr.user.small", b"1")],
    );
    add(
        "dir/file",
        tar::EntryType::Regular,
        "",
        b"contents",
        &[("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0")],
    );
    add("dir/hard", tar::EntryType::Link, "dir/file", b"", &[mode]);
    add("dir/link", tar::EntryType::Symlink, "short", b"", &[mode]);
    let long = "l".repeat(90);
    add("dir/long", tar::EntryType::Symlink, &long, b"", &[mode]);
    add("dir/null", tar::EntryType::Char, "", b"", &[mode]);
    add("dir/pipe", tar::EntryType::Fifo, "", b"", &[mode]);
    add("dir/.wh.gone", tar::EntryType::Regular, "", b"", &[mode]);
    add("missing/parents/file", tar::EntryType::Regular, "", &[7; 10_000], &[mode]);
    add("dir/.wh..wh..opq", tar::EntryType::Regular, "", b"", &[mode]);
    builder.into_inner().unwrap()
}

/// Paths that are there twice, in every way that the reference accepts, and a whiteout of the whole root.
fn again() -> Vec<u8> {
    use tar::EntryType as Kind;
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, link: &str, contents: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(contents.len().try_into().unwrap());
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        builder.append_data(&mut header, path, contents).unwrap();
    };
    add("dir/", Kind::Directory, 0o755, "", b"");
    add("dir/below", Kind::Regular, 0o644, "", b"kept");
    add("dir/", Kind::Directory, 0o700, "", b"");
    add("filled", Kind::Regular, 0o644, "", b"");
    add("filled", Kind::Regular, 0o644, "", b"now it has contents");
    add("was-a-link", Kind::Symlink, 0o777, "target", b"");
    add("was-a-link", Kind::Regular, 0o644, "", b"now a file");
    add("was-a-device", Kind::Char, 0o600, "", b"");
    add("was-a-device", Kind::Regular, 0o644, "", b"now a file");
    add("was-a-file", Kind::Regular, 0o644, "", b"");
    add("was-a-file", Kind::Symlink, 0o777, "elsewhere", b"");
    add("gone", Kind::Regular, 0o644, "", b"");
    add(".wh.gone", Kind::Regular, 0, "", b"");
    add("one", Kind::Regular, 0o644, "", b"of two names");
    add("two", Kind::Link, 0o644, "one", b"");
    add("two", Kind::Regular, 0o644, "", b"alone");
    add("./dir/./new", Kind::Fifo, 0o644, "", b"");
    add(".wh..wh..opq", Kind::Regular, 0, "", b"");
    builder.into_inner().unwrap()
}

fn written(folder: &Path, tar: &[u8]) -> String {
    let path = folder.join("image");
    write_ext4(tar, std::fs::File::create(&path).unwrap()).unwrap();
    path.display().to_string()
}

/// What a program says, or `None` if peers are not wanted. It must succeed.
fn peer(program: &str, package: &str, arguments: &[&str]) -> Option<String> {
    let output = run(program, package, arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
    Some(text)
}

fn run(program: &str, package: &str, arguments: &[&str]) -> Option<Output> {
    if std::env::var_os("VOUCHSAFE_WITHOUT_PEERS").is_some() {
        return None;
    }
    let output = Command::new(program).args(arguments).output();
    Some(output.unwrap_or_else(|error| panic!("{program}: {error}; install {package}")))
}
