//! Keys, values and versions, as callers see them.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretSlice};

/// The name of a value: 1 to 1024 bytes of UTF-8. Order is that of the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this name.
    pub fn parse(name: &str) -> Result<Self, MalformedKey> {
        if name.is_empty() || name.len() > KEY_MAX {
            return Err(MalformedKey { length: name.len() });
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints the length only: a path is sealed at rest and does not belong into a log either.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// A name of no bytes or too many.
#[derive(Debug, thiserror::Error)]
#[error("a key has 1 to {KEY_MAX} bytes, found {length}")]
pub struct MalformedKey {
    length: usize,
}

/// Opaque bytes, shared and not copied when cloned, zeroized when the last holder drops them.
#[derive(Clone)]
pub struct Value(Arc<SecretSlice<u8>>);

impl Value {
    /// A value of these bytes, at most 1 MiB. A vector with spare capacity is moved to an exact one and zeroized.
    pub fn new(bytes: Vec<u8>) -> Result<Self, ValueTooLarge> {
        let bytes = zeroize::Zeroizing::new(bytes);
        Self::copied(&bytes)
    }

    /// A value of a copy of these bytes.
    pub fn copied(bytes: &[u8]) -> Result<Self, ValueTooLarge> {
        if bytes.len() > VALUE_MAX {
            return Err(ValueTooLarge { length: bytes.len() });
        }
        Ok(Self(Arc::new(SecretSlice::new(bytes.into()))))
    }

    /// The bytes.
    pub fn expose_secret(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.expose_secret().len())
    }
}

/// A value beyond the bound.
#[derive(Debug, thiserror::Error)]
#[error("a value has at most {VALUE_MAX} bytes, found {length}")]
pub struct ValueTooLarge {
    length: usize,
}

/// The place of a transaction in the one total order of all transactions of a store. A key's version is that of the transaction that last wrote it,
/// so no two contents of a key ever have the same version, deletions in between included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// Before the first transaction.
    pub(crate) const START: Self = Self(0);

    /// A version that was written down.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Self {
        // 2^64 transactions do not happen.
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value with the version that wrote it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name.
    pub key: Key,
    /// The bytes.
    pub value: Value,
    /// What a check-and-set names.
    pub version: Version,
}

/// Part of a range, in order.
#[derive(Clone, Debug)]
pub struct Page {
    /// At most as many as were asked for.
    pub entries: Vec<Entry>,
    /// Where to go on, if there is more: pass it as `after`.
    pub next: Option<Key>,
}

/// The longest key.
const KEY_MAX: usize = 1024;
/// The largest value.
const VALUE_MAX: usize = 1 << 20;
