//! What measuring costs in memory, in a process of its own: `VmHWM`, the most that was ever resident.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::io::{self, Read, Write};

use image::layer::measure;
use image::oci::measure_layer;
use image::unpack::{Limits, unpack};

/// Bytes of the file in the layer; `VOUCHSAFE_EXHAUSTIVE` makes it more than four gigabytes.
fn large() -> u64 {
    if std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some() { (4 << 30) + 12_345 } else { 300 << 20 }
}

/// The most that this process ever had in memory, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// An archive that is made while it is read.
struct Stream<F> {
    next: F,
    block: Vec<u8>,
    at: usize,
}

impl<F: FnMut() -> Option<Vec<u8>>> Read for Stream<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            let Some(block) = (self.next)() else { return Ok(0) };
            self.block = block;
            self.at = 0;
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn header(path: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(1_700_000_000);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A hundred thousand entries, then one large file.
fn layer() -> impl Read {
    let (mut entries, mut left) = (0_u64, large());
    let piece = vec![0xa5; 1 << 16];
    let padded = large().next_multiple_of(512);
    let next = move || {
        if entries < 99_999 {
            entries += 1;
            let path = format!(
                "usr/share/folder-{:04}/some-file-of-usual-length-{entries:06}",
                entries / 100
            );
            let contents = [0x5a; 512];
            let header = header(&path, tar::EntryType::Regular, 512);
            return Some([header.as_slice(), &contents].concat());
        }
        if entries == 99_999 {
            entries += 1;
            left = padded;
            return Some(header("large", tar::EntryType::Regular, large()));
        }
        let count = left.min(1 << 16);
        left -= count;
        let count = usize::try_from(count).unwrap();
        (count > 0).then(|| piece[..count].to_vec())
    };
    Stream { next, block: Vec::new(), at: 0 }
}

#[test]
fn a_hundred_thousand_entries_and_a_large_file_stay_below_the_limit() {
    let before = peak();
    let measured = measure(layer()).unwrap();
    assert!(measured.ext4_size > large());
    let after = peak();
    assert!(after < LIMIT, "{before} bytes before, {after} after");

    // A bomb: a few kilobytes that say they are hundreds of gigabytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&header("bomb", tar::EntryType::Regular, 200 << 30)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..16 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let error = measure_layer(bomb.as_slice()).unwrap_err();
    let shown = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(shown, "entry \"bomb\"");

    // A header that says it is followed by a gigabyte of attributes.
    let pax = header("pax", tar::EntryType::XHeader, 1 << 30);
    let repeated = pax.as_slice().chain(io::repeat(b'x'));
    assert!(measure(repeated).is_err());

    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1 << 20, entries: 10 };
    let error = unpack(layer(), folder.path(), limits).unwrap_err();
    assert!(error.entry().is_some(), "{error}");
    assert!(peak() < LIMIT, "{} bytes at the end", peak());
}

const LIMIT: u64 = 64 << 20;
