//! A layer's archive, decompressed and hashed on both sides while it is read.

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use flate2::read::MultiGzDecoder;

use super::digest::Digest;
use super::read::{Compression, LayerBlob};
use crate::archive::widen;

/// Reads the uncompressed archive of a layer blob. What was read counts only after [`LayerReader::finish`].
pub struct LayerReader<R> {
    layer: LayerBlob,
    diff_id: Digest,
    source: Source<R>,
    hash: Context,
    length: u64,
}

enum Source<R> {
    Plain(Compressed<R>),
    Gzip(Box<MultiGzDecoder<Compressed<R>>>),
}

/// The blob as it is stored.
struct Compressed<R> {
    input: R,
    hash: Context,
    length: u64,
    limit: u64,
}

impl<R: Read> LayerReader<R> {
    /// Reads a blob that a manifest names, and whose contents a configuration names by `diff_id`.
    pub fn new(layer: LayerBlob, diff_id: Digest, input: R) -> Self {
        let blob =
            Compressed { input, hash: Context::new(&SHA256), length: 0, limit: layer.blob.size };
        let source = match layer.compression {
            Compression::None => Source::Plain(blob),
            Compression::Gzip => Source::Gzip(Box::new(MultiGzDecoder::new(blob))),
        };
        Self { layer, diff_id, source, hash: Context::new(&SHA256), length: 0 }
    }

    /// Reads what is left and compares sizes and digests.
    pub fn finish(mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        while self.read(&mut buffer)? > 0 {}
        let mut blob = match self.source {
            Source::Plain(blob) => blob,
            Source::Gzip(decoder) => decoder.into_inner(),
        };
        while blob.read(&mut buffer)? > 0 {}
        let expected = self.layer.blob;
        if blob.length != expected.size {
            return Err(invalid(format!("blob has {} bytes, not {}", blob.length, expected.size)));
        }
        let found = Digest::from_hash(&blob.hash.finish());
        if found != expected.digest {
            return Err(invalid(format!("blob has digest {found}, not {}", expected.digest)));
        }
        let found = Digest::from_hash(&self.hash.finish());
        if found != self.diff_id {
            return Err(invalid(format!("archive has digest {found}, not {}", self.diff_id)));
        }
        Ok(())
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            Source::Plain(blob) => blob.read(buffer)?,
            Source::Gzip(decoder) => decoder.read(buffer)?,
        };
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.length += widen(count);
        if self.length > ARCHIVE_MAX {
            return Err(invalid(format!("archive exceeds {ARCHIVE_MAX} bytes")));
        }
        Ok(count)
    }
}

impl<R: Read> Read for Compressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.length += widen(count);
        if self.length > self.limit {
            return Err(invalid(format!("blob exceeds its {} bytes", self.limit)));
        }
        Ok(count)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The largest image has 128 GiB; this leaves room for headers.
const ARCHIVE_MAX: u64 = 144 << 30;
const BUFFER: usize = 64 * 1024;
