//! A layer's archive, decompressed and hashed on both sides while it is read.

use std::io::{self, BufRead, BufReader, Read};

use aws_lc_rs::digest::{Context, SHA256};
use flate2::bufread::MultiGzDecoder;

use super::digest::Digest;
use super::read::{Compression, Described, LayerBlob};
use super::zstd::Frames;
use crate::archive::widen;

/// Reads the uncompressed archive of a layer blob. What was read counts only after [`LayerReader::finish`].
pub struct LayerReader<R> {
    blob: Option<Described>,
    diff_id: Option<Digest>,
    source: Source<R>,
    hash: Context,
    length: u64,
}

/// What a layer turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The digest of the blob as it is stored.
    pub blob: Digest,
    /// The digest of the archive.
    pub diff_id: Digest,
}

enum Source<R> {
    Plain(Compressed<R>),
    Gzip(Box<MultiGzDecoder<Compressed<R>>>),
    Zstd(Box<Frames<Compressed<R>>>),
}

/// The blob as it is stored.
struct Compressed<R> {
    input: BufReader<R>,
    hash: Context,
    length: u64,
    limit: u64,
}

impl<R: Read> LayerReader<R> {
    /// Reads a blob that a manifest names, and whose contents a configuration names by `diff_id`.
    pub fn new(layer: LayerBlob, diff_id: Digest, input: R) -> Self {
        let blob = Compressed::new(input, layer.blob.size);
        Self::over(blob, layer.compression, Some(layer.blob), Some(diff_id))
    }

    /// Reads a layer that no manifest names, plain or compressed; given a `diff_id`, only that one.
    pub fn unnamed(diff_id: Option<Digest>, input: R) -> io::Result<Self> {
        let mut blob = Compressed::new(input, ARCHIVE_MAX);
        let compression = Compression::of(blob.input.fill_buf()?);
        Ok(Self::over(blob, compression, None, diff_id))
    }

    fn over(
        input: Compressed<R>,
        compression: Compression,
        blob: Option<Described>,
        diff_id: Option<Digest>,
    ) -> Self {
        let source = match compression {
            Compression::None => Source::Plain(input),
            Compression::Gzip => Source::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => Source::Zstd(Box::new(Frames::new(input))),
        };
        Self { blob, diff_id, source, hash: Context::new(&SHA256), length: 0 }
    }

    /// Reads what is left, compares sizes and digests, and says what they are.
    pub fn finish(mut self) -> io::Result<Found> {
        let mut buffer = vec![0; BUFFER];
        while self.read(&mut buffer)? > 0 {}
        let mut blob = match self.source {
            Source::Plain(blob) => blob,
            Source::Gzip(decoder) => decoder.into_inner(),
            Source::Zstd(frames) => frames.into_inner(),
        };
        while blob.read(&mut buffer)? > 0 {}
        let found = Found {
            blob: Digest::from_hash(&blob.hash.finish()),
            diff_id: Digest::from_hash(&self.hash.finish()),
        };
        if let Some(expected) = self.blob {
            if blob.length != expected.size {
                let text = format!("blob has {} bytes, not {}", blob.length, expected.size);
                return Err(invalid(text));
            }
            if found.blob != expected.digest {
                let text = format!("blob has digest {}, not {}", found.blob, expected.digest);
                return Err(invalid(text));
            }
        }
        match self.diff_id {
            Some(expected) if found.diff_id != expected => {
                Err(invalid(format!("archive has digest {}, not {expected}", found.diff_id)))
            }
            _ => Ok(found),
        }
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            Source::Plain(blob) => blob.read(buffer)?,
            Source::Gzip(decoder) => decoder.read(buffer)?,
            Source::Zstd(frames) => frames.read(buffer)?,
        };
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.length += widen(count);
        if self.length > ARCHIVE_MAX {
            return Err(invalid(format!("archive exceeds {ARCHIVE_MAX} bytes")));
        }
        Ok(count)
    }
}

impl<R: Read> Compressed<R> {
    fn new(input: R, limit: u64) -> Self {
        let input = BufReader::with_capacity(BUFFER, input);
        Self { input, hash: Context::new(&SHA256), length: 0, limit }
    }

    fn grow(&mut self, count: usize) {
        self.length += widen(count);
    }

    fn check(&self) -> io::Result<()> {
        if self.length > self.limit {
            return Err(invalid(format!("blob exceeds its {} bytes", self.limit)));
        }
        Ok(())
    }
}

impl<R: Read> Read for Compressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.grow(count);
        self.check()?;
        Ok(count)
    }
}

impl<R: Read> BufRead for Compressed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.hash.update(self.input.buffer().get(..count).unwrap_or_default());
        self.input.consume(count);
        self.grow(count);
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The largest image has 128 GiB; this leaves room for headers.
const ARCHIVE_MAX: u64 = 144 << 30;
const BUFFER: usize = 64 * 1024;
