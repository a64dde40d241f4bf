//! Reading and writing of our fixed binary layouts: big-endian integers, bytes behind their length.

/// Reads from the front of a slice; every read is checked.
pub(crate) struct Reader<'a>(&'a [u8]);

/// There are fewer bytes than the layout needs.
#[derive(Debug)]
pub(crate) struct Short;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Short> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(|bytes| u8::from_be_bytes(*bytes))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Short> {
        self.array().map(|bytes| i64::from_be_bytes(*bytes))
    }

    /// Bytes behind a 32-bit length.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Short> {
        let length = usize::try_from(self.u32()?).map_err(|_| Short)?;
        self.take(length)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes that do not fit behind their length.
#[derive(Debug, thiserror::Error)]
#[error("{length} bytes do not fit behind a 32-bit length")]
pub(crate) struct TooLong {
    length: usize,
}

/// Appends a 32-bit length and the bytes.
pub(crate) fn put_sized(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TooLong> {
    let length = u32::try_from(bytes.len()).map_err(|_| TooLong { length: bytes.len() })?;
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
    Ok(())
}
