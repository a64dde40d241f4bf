//! PAX extended headers (POSIX.1-2001, "pax Extended Header"): records, and what they change.

use std::collections::BTreeMap;

use super::header::Raw;
use super::{ArchiveError, Stamp};

/// The records of one extended header; the last of a key counts.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where a GNU sparse map is.
pub(super) enum SparseVersion {
    /// 0.0 and 0.1: in the extended header.
    InHeader,
    /// 1.0: in front of the contents.
    InContents,
}

pub(super) fn parse(mut rest: &[u8]) -> Result<Records, ArchiveError> {
    let mut records = Records::new();
    // Sparse format 0.0 repeats two keys; they are joined to what 0.1 writes.
    let mut sparse: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() {
        let Record { key, value, after } = record(rest)?;
        rest = after;
        match key {
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let expected: &[u8] = if sparse.len().is_multiple_of(2) {
                    b"GNU.sparse.offset"
                } else {
                    b"GNU.sparse.numbytes"
                };
                if key != expected || value.contains(&b',') {
                    return Err(ArchiveError::Extended("sparse map out of order"));
                }
                sparse.push(value);
            }
            _ => {
                records.insert(key.to_vec(), value.to_vec());
            }
        }
    }
    if !sparse.is_empty() {
        records.insert(MAP.to_vec(), sparse.join(&b','));
    }
    Ok(records)
}

struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    after: &'a [u8],
}

/// `LENGTH KEY=VALUE\n`, where the length counts all of it.
fn record(bytes: &[u8]) -> Result<Record<'_>, ArchiveError> {
    let bad = || ArchiveError::Extended("record without length, key or end");
    let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
    let length =
        bytes.get(..space).and_then(decimal).filter(|length| *length >= 5).ok_or_else(bad)?;
    let length = usize::try_from(length).map_err(|_| bad())?;
    let body = bytes.get(space + 1..length).ok_or_else(bad)?;
    let after = bytes.get(length..).ok_or_else(bad)?;
    let [body @ .., b'\n'] = body else { return Err(bad()) };
    let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
    let (key, value) = body.split_at_checked(equals).ok_or_else(bad)?;
    let value = value.get(1..).unwrap_or_default();
    let checked =
        if matches!(key, b"path" | b"linkpath" | b"uname" | b"gname") { value } else { key };
    if key.is_empty() || checked.contains(&0) {
        return Err(bad());
    }
    Ok(Record { key, value, after })
}

/// Changes a header as its records say; a record with an empty value changes nothing.
pub(super) fn apply(raw: &mut Raw, records: &Records) -> Result<(), ArchiveError> {
    for (key, value) in records.iter().filter(|(_, value)| !value.is_empty()) {
        let number = || decimal(value).ok_or(ArchiveError::Extended("not a decimal number"));
        match key.as_slice() {
            b"path" => raw.name.clone_from(value),
            b"linkpath" => raw.link.clone_from(value),
            b"uid" => raw.uid = number()?,
            b"gid" => raw.gid = number()?,
            b"size" => raw.size = number()?,
            b"mtime" => raw.mtime = time(value)?,
            b"atime" => raw.atime = Some(time(value)?),
            b"ctime" => raw.ctime = Some(time(value)?),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn xattrs(records: &Records) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let strip = |(key, value): (&Vec<u8>, &Vec<u8>)| {
        Some((key.strip_prefix(XATTR)?.to_vec(), value.clone()))
    };
    records.iter().filter_map(strip).collect()
}

pub(super) fn sparse_version(records: &Records) -> Option<SparseVersion> {
    match (get(records, b"GNU.sparse.major"), get(records, b"GNU.sparse.minor")) {
        (b"0", b"0" | b"1") => Some(SparseVersion::InHeader),
        (b"1", b"0") => Some(SparseVersion::InContents),
        (b"", b"") if !get(records, MAP).is_empty() => Some(SparseVersion::InHeader),
        _ => None,
    }
}

/// The name and size of a sparse file are in its records.
pub(super) fn apply_sparse(raw: &mut Raw, records: &Records) -> Result<(), ArchiveError> {
    let name = get(records, b"GNU.sparse.name");
    if !name.is_empty() {
        raw.name = name.to_vec();
    }
    let size = [get(records, b"GNU.sparse.size"), get(records, b"GNU.sparse.realsize")];
    if let Some(size) = size.iter().find(|size| !size.is_empty()) {
        raw.size = decimal(size).ok_or(ArchiveError::Sparse("size is not a number"))?;
    }
    Ok(())
}

pub(super) fn get<'a>(records: &'a Records, key: &[u8]) -> &'a [u8] {
    records.get(key).map(Vec::as_slice).unwrap_or_default()
}

/// A decimal number with an optional sign, nothing else.
pub(super) fn decimal(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Seconds with an optional fraction, cut to nanoseconds.
fn time(value: &[u8]) -> Result<Stamp, ArchiveError> {
    let bad = || ArchiveError::Extended("not a time");
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => {
            (value.get(..dot).unwrap_or_default(), value.get(dot + 1..).unwrap_or_default())
        }
        None => (value, b"".as_slice()),
    };
    let seconds = decimal(whole).ok_or_else(bad)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Ok(if nanoseconds > 0 && whole.starts_with(b"-") {
        Stamp { seconds: seconds.wrapping_sub(1), nanoseconds: 1_000_000_000 - nanoseconds }
    } else {
        Stamp { seconds, nanoseconds }
    })
}

pub(super) const MAP: &[u8] = b"GNU.sparse.map";
const XATTR: &[u8] = b"SCHILY.xattr.";
