use super::*;

/// A header block with a right checksum.
pub(crate) fn block(name: &[u8], flag: u8, size: u64) -> Block {
    let mut block = ZERO;
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(block)
}

fn seal(mut block: Block) -> Block {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

pub(crate) fn entry(name: &[u8], flag: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = block(name, flag, widen(contents.len())).to_vec();
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..).find(|digits| (rest + digits).to_string().len() == *digits).unwrap() + rest;
        bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

fn pax(list: &[(&str, &[u8])]) -> Vec<u8> {
    entry(b"pax", b'x', &records(list))
}

fn contents<R: Read>(reader: &mut Reader<R>) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 100];
    loop {
        match reader.next_piece(&mut buffer)? {
            Piece::Data(length) => bytes.extend_from_slice(&buffer[..length]),
            Piece::Hole(length) => bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0),
            Piece::End => return Ok(bytes),
        }
    }
}

fn read(parts: &[Vec<u8>]) -> Result<Vec<(Header, Vec<u8>)>, ArchiveError> {
    let bytes = parts.concat();
    let mut reader = Reader::new(bytes.as_slice());
    let mut found = Vec::new();
    while let Some(header) = reader.next_entry()? {
        found.push((header, contents(&mut reader)?));
    }
    Ok(found)
}

fn names(parts: &[Vec<u8>]) -> Vec<String> {
    let shown = |(header, contents): (Header, Vec<u8>)| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!(
            "{:?} {} -> {} [{}]",
            header.kind,
            text(&header.name),
            text(&header.link),
            text(&contents)
        )
    };
    read(parts).unwrap().into_iter().map(shown).collect()
}

#[track_caller]
fn refuses(parts: &[Vec<u8>], expected: &str) {
    assert_eq!(read(parts).unwrap_err().to_string(), expected);
}

#[test]
fn reads_names_from_ustar_pax_and_gnu() {
    let mut prefixed = block(b"name", b'0', 0);
    prefixed[345..351].copy_from_slice(b"prefix");
    assert_eq!(names(&[seal(prefixed).to_vec()]), ["File prefix/name ->  []"]);
    assert_eq!(
        names(&[pax(&[("path", b"long"), ("linkpath", b"target")]), entry(b"short", b'2', b"")]),
        ["Symlink long -> target []"]
    );
    assert_eq!(
        names(&[
            entry(b"l", b'L', b"long\0x"),
            entry(b"k", b'K', b"target\0"),
            entry(b"short", b'1', b"")
        ]),
        ["HardLink long -> target []"]
    );
    assert_eq!(
        names(&[entry(b"old/", 0, b""), entry(b"old", 0, b"x")]),
        ["Directory old/ ->  []", "File old ->  [x]"]
    );
}

#[test]
fn hands_out_global_headers_and_drops_what_was_said_before_them() {
    let global = entry(b"global", b'g', &records(&[("comment", b"x")]));
    assert_eq!(
        names(&[pax(&[("path", b"gone")]), global, entry(b"file", b'0', b"")]),
        ["GlobalHeader global ->  []", "File file ->  []"]
    );
}

#[test]
fn reads_times_owners_and_attributes() {
    let list: &[(&str, &[u8])] = &[
        ("mtime", b"-1.25"),
        ("atime", b"7.1234567899"),
        ("uid", b"4294967296"),
        ("SCHILY.xattr.user.a", b"1\0\n2"),
        ("SCHILY.xattr.user.b", b""),
    ];
    let (header, _) = read(&[pax(list), entry(b"f", b'0', b"")]).unwrap().remove(0);
    assert_eq!(header.mtime, Some(Stamp { seconds: -2, nanoseconds: 750_000_000 }));
    assert_eq!(header.atime, Some(Stamp { seconds: 7, nanoseconds: 123_456_789 }));
    assert_eq!(header.ctime, None);
    assert_eq!(header.uid, 1 << 32);
    assert_eq!(header.xattrs[b"user.a".as_slice()], b"1\0\n2");
    assert_eq!(header.xattrs[b"user.b".as_slice()], b"");
}

#[test]
fn reads_base_256_numbers() {
    for (bytes, expected) in [
        (vec![0x80, 0, 0, 0, 0, 0, 1, 0], Some(256)),
        (vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], Some(-2)),
        (vec![0x80, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0], None),
        (b" 0000644\0".to_vec(), Some(0o644)),
        (b"0000648\0".to_vec(), None),
        (b"+1\0".to_vec(), None),
        (b"\0\0".to_vec(), Some(0)),
    ] {
        assert_eq!(header::numeric(&bytes).ok(), expected, "{bytes:?}");
    }
}

#[test]
fn reads_sparse_files_of_every_form() {
    let old = |realsize: &[u8]| {
        let mut header = block(b"sparse", b'S', 512);
        header[257..265].copy_from_slice(b"ustar  \0");
        header[386..398].copy_from_slice(b"00000001000\0");
        header[398..410].copy_from_slice(b"00000000003\0");
        header[483..495].copy_from_slice(realsize);
        header[124..135].copy_from_slice(b"00000000003");
        [seal(header).to_vec(), entry(b"", b'0', b"abc")[512..].to_vec()].concat()
    };
    let mut expected = vec![0; 512];
    expected.extend_from_slice(b"abc");
    expected.resize(600, 0);
    let sparse = |list: &[(&str, &[u8])], stored: &[u8]| {
        read(&[pax(list), entry(b"f", b'0', stored)]).unwrap().remove(0)
    };
    assert_eq!(read(&[old(b"00000001130\0")]).unwrap()[0].1, expected);
    let size: (&str, &[u8]) = ("GNU.sparse.size", b"600");
    let (header, contents) = sparse(
        &[
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.offset", b"512"),
            ("GNU.sparse.numbytes", b"3"),
            size,
        ],
        b"abc",
    );
    assert_eq!((header.size, contents), (600, expected.clone()));
    let (_, contents) =
        sparse(&[("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"512,3"), size], b"abc");
    assert_eq!(contents, expected);
    let mut stored = b"1\n512\n3\n".to_vec();
    stored.resize(512, 0);
    stored.extend_from_slice(b"abc");
    let (header, contents) = sparse(
        &[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"real"),
            ("GNU.sparse.realsize", b"600"),
        ],
        &stored,
    );
    assert_eq!((header.name, contents), (b"real".to_vec(), expected));
}

#[test]
fn refuses_sparse_maps_that_do_not_fit() {
    let sparse = |map: &[u8], size: &[u8], stored: &[u8]| {
        vec![
            pax(&[
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.map", map),
                ("GNU.sparse.size", size),
            ]),
            entry(b"f", b'0', stored),
        ]
    };
    refuses(&sparse(b"0,5", b"4", b"12345"), "invalid sparse file: map does not fit the file");
    refuses(&sparse(b"0,-1", b"4", b""), "invalid sparse file: map does not fit the file");
    refuses(
        &sparse(b"0,5", b"5", b"1234"),
        "invalid sparse file: map names more data than there is",
    );
    refuses(
        &sparse(b"0,3", b"5", b"1234"),
        "invalid sparse file: data that no part of the map names",
    );
    refuses(&sparse(b"0", b"5", b"1234"), "invalid sparse file: map is not a list of numbers");
}

#[test]
fn ends_where_the_reference_ends() {
    let file = entry(b"f", b'0', b"abc");
    for (bytes, expected) in [
        (file[..515].to_vec(), Ok(1)),
        (file[..514].to_vec(), Err("archive ends inside an entry")),
        (file[..100].to_vec(), Err("archive ends inside an entry")),
        ([file.as_slice(), &[0; 512]].concat(), Ok(1)),
        ([file.as_slice(), &[0; 1024], b"anything"].concat(), Ok(1)),
        (
            [file.as_slice(), &[0; 512], file.as_slice()].concat(),
            Err("invalid tar header: one zero block, then none"),
        ),
        (Vec::new(), Ok(0)),
    ] {
        let found = read(&[bytes]).map(|entries| entries.len()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }
}

#[test]
fn refuses_headers_that_are_none() {
    let mut wrong = block(b"f", b'0', 0);
    wrong[0] ^= 1;
    refuses(&[wrong.to_vec()], "invalid tar header: checksum does not match");
    refuses(
        &[entry(b"p", b'x', b"9 a=b\n")],
        "invalid extended header: record without length, key or end",
    );
    refuses(
        &[pax(&[("size", b"-1")]), entry(b"f", b'0', b"")],
        "invalid tar header: negative size",
    );
    refuses(&[block(b"p", b'x', (1 << 20) + 1).to_vec()], "extended header exceeds 1048576 bytes");
}
