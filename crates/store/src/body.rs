//! The inside of a commit: transactions in order, and in commit 1 the identity key before them.
//!
//! Layout, version 1: version (1), length of the records (4), the records, zeros up to the padded size.
//! A record is its kind (1), its length (4) and its content:
//! - 1, identity key: PKCS#8; the first record of commit 1 and nowhere else;
//! - 3, new keyring: generation (4), sequence (4), SHA-256 of the header's object (32); the only record of its commit;
//! - 4, floor: the number (8) of the first commit that is kept besides commit 1; the only record of its commit;
//! - 2, transaction: time in milliseconds since 1970 (8, signed), number of writes (4), then the writes, each its kind (1) and:
//!   1, put: key (sized), value (sized); 2, delete: key (sized); 3, audit record: bytes (sized).
//!
//! "Sized" is a 32-bit length and the bytes. Preconditions are not kept: they held when the commit was made. What is unknown is refused.
//! The padded size is the next Padmé length (Nikitin and others, 2019) of at least 512 bytes: a reader of sizes learns O(log log) bits.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{
    Hash, IdentityKey, Key, Transaction, Value, Write,
    first::HeaderRef,
    seal::SealError,
    wire::{Reader, Short, put_sized},
};

/// What a commit holds, parsed.
pub(crate) struct Body {
    /// In commit 1.
    pub(crate) identity: Option<IdentityKey>,
    /// In order.
    pub(crate) transactions: Vec<Transaction>,
    /// Alone in its commit.
    pub(crate) change: Option<Change>,
}

/// What a commit says about the log itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Later commits are sealed under the newest key of this header's keyring.
    Header(HeaderRef),
    /// Commits between 1 and this one are kept no longer.
    Floor(u64),
}

/// What goes into a body.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    /// In commit 1.
    pub(crate) identity: Option<&'a IdentityKey>,
    pub(crate) transactions: &'a [&'a Transaction],
    pub(crate) change: Option<Change>,
}

/// Writes the body behind what `to` holds already, padded. It makes room first, so that no copy is left behind by growing.
pub(crate) fn write(to: &mut Vec<u8>, content: Content<'_>) -> Result<(), SealError> {
    let records = Zeroizing::new(records(content)?);
    let padded = padded(PREFIX_LENGTH + records.len());
    to.reserve_exact(padded + crate::seal::TAG_LENGTH);
    let end = to.len() + padded;
    to.push(FORMAT);
    put_sized(to, &records).map_err(|_| SealError::TooLarge)?;
    to.resize(end, 0);
    Ok(())
}

fn records(content: Content<'_>) -> Result<Vec<u8>, SealError> {
    let Content { identity, transactions, change } = content;
    let sizes = transactions
        .iter()
        .map(|one| one.size() + RECORD_OVERHEAD)
        .fold(IDENTITY_ROOM, usize::saturating_add);
    let mut records = Vec::with_capacity(sizes);
    if let Some(key) = identity {
        records.push(IDENTITY_KEY);
        let pkcs8 = key.to_pkcs8().map_err(|_| SealError::Cipher)?;
        put_sized(&mut records, &pkcs8).map_err(|_| SealError::TooLarge)?;
    }
    match change {
        None => {}
        Some(Change::Header(header)) => {
            records.push(HEADER);
            let parts: [&[u8]; 3] = [
                &header.generation.to_be_bytes(),
                &header.sequence.to_be_bytes(),
                header.sha256.as_bytes(),
            ];
            put_sized(&mut records, &parts.concat()).map_err(|_| SealError::TooLarge)?;
        }
        Some(Change::Floor(floor)) => {
            records.push(FLOOR);
            put_sized(&mut records, &floor.to_be_bytes()).map_err(|_| SealError::TooLarge)?;
        }
    }
    for one in transactions {
        let mut content = Zeroizing::new(Vec::with_capacity(one.size() + RECORD_OVERHEAD));
        transaction(&mut content, one)?;
        records.push(TRANSACTION);
        put_sized(&mut records, &content).map_err(|_| SealError::TooLarge)?;
    }
    Ok(records)
}

fn transaction(to: &mut Vec<u8>, transaction: &Transaction) -> Result<(), SealError> {
    to.extend_from_slice(&transaction.at.as_millisecond().to_be_bytes());
    let count = u32::try_from(transaction.writes.len()).map_err(|_| SealError::TooLarge)?;
    to.extend_from_slice(&count.to_be_bytes());
    for write in &transaction.writes {
        let parts = match write {
            Write::Put(key, value) => (PUT, Some(key), Some(value)),
            Write::Delete(key) => (DELETE, Some(key), None),
            Write::Audit(value) => (AUDIT, None, Some(value)),
        };
        to.push(parts.0);
        if let Some(key) = parts.1 {
            put_sized(to, key.as_str().as_bytes()).map_err(|_| SealError::TooLarge)?;
        }
        if let Some(value) = parts.2 {
            put_sized(to, value.expose_secret()).map_err(|_| SealError::TooLarge)?;
        }
    }
    Ok(())
}

/// Reads a body. Only our own servers make bodies, so a fault here is a version that we do not know or a fault of ours; still nothing panics.
pub(crate) fn parse(text: &[u8]) -> Result<Body, MalformedBody> {
    let mut reader = Reader::new(text);
    let version = reader.u8()?;
    if version != FORMAT {
        return Err(MalformedBody("a version that is not known"));
    }
    let mut records = Reader::new(reader.sized()?);
    if reader.rest().iter().any(|byte| *byte != 0) {
        return Err(MalformedBody("padding that is not zero"));
    }
    let mut body = Body { identity: None, transactions: Vec::new(), change: None };
    let mut first = true;
    while !records.is_empty() {
        let kind = records.u8()?;
        let content = records.sized()?;
        match kind {
            IDENTITY_KEY if first => {
                let key = IdentityKey::from_pkcs8(content)
                    .map_err(|_| MalformedBody("an identity key that is none"))?;
                body.identity = Some(key);
            }
            HEADER | FLOOR if first && records.is_empty() => {
                body.change = Some(parse_change(kind, content)?);
            }
            TRANSACTION => body.transactions.push(parse_transaction(content)?),
            IDENTITY_KEY => return Err(MalformedBody("an identity key out of place")),
            HEADER | FLOOR => return Err(MalformedBody("a change of the log beside others")),
            _ => return Err(MalformedBody("a kind of record that is not known")),
        }
        first = false;
    }
    Ok(body)
}

fn parse_change(kind: u8, content: &[u8]) -> Result<Change, MalformedBody> {
    let mut reader = Reader::new(content);
    let change = if kind == HEADER {
        Change::Header(HeaderRef {
            generation: reader.u32()?,
            sequence: reader.u32()?,
            sha256: Hash::new(*reader.array()?),
        })
    } else {
        Change::Floor(reader.u64()?)
    };
    if reader.is_empty() { Ok(change) } else { Err(MalformedBody("bytes behind a change")) }
}

fn parse_transaction(content: &[u8]) -> Result<Transaction, MalformedBody> {
    let mut reader = Reader::new(content);
    let at = Timestamp::from_millisecond(reader.i64()?)
        .map_err(|_| MalformedBody("a time out of range"))?;
    let count = reader.u32()?;
    let mut transaction = Transaction::new(at);
    for _ in 0..count {
        let write = match reader.u8()? {
            PUT => Write::Put(parse_key(&mut reader)?, parse_value(&mut reader)?),
            DELETE => Write::Delete(parse_key(&mut reader)?),
            AUDIT => Write::Audit(parse_value(&mut reader)?),
            _ => return Err(MalformedBody("a kind of write that is not known")),
        };
        transaction.writes.push(write);
    }
    if !reader.is_empty() {
        return Err(MalformedBody("bytes behind a transaction"));
    }
    Ok(transaction)
}

fn parse_key(reader: &mut Reader<'_>) -> Result<Key, MalformedBody> {
    let name = std::str::from_utf8(reader.sized()?)
        .map_err(|_| MalformedBody("a key that is not UTF-8"))?;
    Key::parse(name).map_err(|_| MalformedBody("a key of a length that is not allowed"))
}

fn parse_value(reader: &mut Reader<'_>) -> Result<Value, MalformedBody> {
    Value::copied(reader.sized()?).map_err(|_| MalformedBody("a value that is too large"))
}

/// The smallest Padmé length that holds `length` bytes: its last E−S bits are zero, E the exponent of the length and S the exponent of E, plus one.
pub(crate) fn padded(length: usize) -> usize {
    let length = length.max(SMALLEST);
    let exponent = length.ilog2();
    let zeros = exponent.saturating_sub(exponent.ilog2() + 1);
    let mask = (1_usize << zeros) - 1;
    (length + mask) & !mask
}

/// The sealed text of a commit is ours and still not a body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MalformedBody(pub(crate) &'static str);

impl From<Short> for MalformedBody {
    fn from(_: Short) -> Self {
        Self("fewer bytes than its lengths say")
    }
}

const FORMAT: u8 = 1;
const PREFIX_LENGTH: usize = 1 + 4;
const IDENTITY_KEY: u8 = 1;
const TRANSACTION: u8 = 2;
const HEADER: u8 = 3;
const FLOOR: u8 = 4;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const AUDIT: u8 = 3;
const SMALLEST: usize = 512;
const RECORD_OVERHEAD: usize = 32;
const IDENTITY_ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Transaction {
        let key = |name| Key::parse(name).unwrap();
        let value = |bytes: &[u8]| Value::copied(bytes).unwrap();
        Transaction::new("2026-01-02T03:04:05.006Z".parse().unwrap())
            .put(key("a/b"), value(b"one"))
            .put(key("a/c"), value(b""))
            .delete(key("d"))
            .audit(value(b"somebody read a/b"))
    }

    fn written(identity: Option<&IdentityKey>, transactions: &[&Transaction]) -> Vec<u8> {
        let mut text = Vec::new();
        write(&mut text, Content { identity, transactions, change: None }).unwrap();
        text
    }

    #[test]
    fn what_is_written_is_read() {
        let key = IdentityKey::generate().unwrap();
        let body = parse(&written(
            Some(&key),
            &[&sample(), &Transaction::new(Timestamp::UNIX_EPOCH), &sample()],
        ))
        .unwrap();
        assert_eq!(body.identity.unwrap().public(), key.public());
        assert_eq!(body.transactions.len(), 3);
        let [Write::Put(a, one), Write::Put(_, empty), Write::Delete(d), Write::Audit(record)] =
            body.transactions[2].writes.as_slice()
        else {
            panic!("other writes");
        };
        assert_eq!(body.transactions[2].at, sample().at);
        assert_eq!((a.as_str(), one.expose_secret()), ("a/b", b"one".as_slice()));
        assert_eq!(empty.expose_secret(), b"");
        assert_eq!(d.as_str(), "d");
        assert_eq!(record.expose_secret(), b"somebody read a/b");
    }

    #[test]
    fn sizes_are_padded_to_few_classes() {
        let sizes: std::collections::BTreeSet<usize> = (1..=4096).map(padded).collect();
        assert!(
            (1..=4096).all(|length| padded(length) >= length
                && padded(length) <= (length + length / 8).max(512))
        );
        assert!(sizes.len() < 50, "{}", sizes.len());
        assert_eq!(written(None, &[]).len(), written(None, &[&sample()]).len());
    }

    #[test]
    fn no_shorter_text_is_read_as_something_else() {
        let text = written(None, &[&sample()]);
        let used = text.iter().rposition(|byte| *byte != 0).unwrap();
        for length in 0..=used {
            assert!(parse(&text[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn unknown_kinds_and_versions_are_refused() {
        let text = written(None, &[&sample()]);
        // Version of the body, kind of the record, kind of the first write.
        for at in [0, PREFIX_LENGTH, PREFIX_LENGTH + 5 + 12] {
            let mut bad = text.clone();
            bad[at] = 99;
            assert!(parse(&bad).is_err(), "byte {at}");
        }
        let mut padding = text;
        *padding.last_mut().unwrap() = 1;
        assert!(parse(&padding).is_err());
    }

    #[test]
    fn a_change_of_the_log_stands_alone() {
        let header = HeaderRef { generation: 2, sequence: 7, sha256: Hash::of(b"header") };
        for change in [Change::Header(header), Change::Floor(u64::MAX)] {
            let written = |transactions: &[&Transaction]| {
                let mut text = Vec::new();
                let content = Content { identity: None, transactions, change: Some(change) };
                write(&mut text, content).unwrap();
                text
            };
            assert_eq!(parse(&written(&[])).unwrap().change, Some(change));
            assert!(parse(&written(&[&sample()])).is_err());
        }
    }

    #[test]
    fn an_identity_key_stands_first_or_nowhere() {
        let pkcs8 = IdentityKey::generate().unwrap().to_pkcs8().unwrap();
        let mut record = vec![IDENTITY_KEY];
        put_sized(&mut record, &pkcs8).unwrap();
        let text = |records: &[u8]| {
            let mut text = vec![FORMAT];
            put_sized(&mut text, records).unwrap();
            text
        };
        assert!(parse(&text(&record)).is_ok());
        assert!(parse(&text(&[record.as_slice(), &record].concat())).is_err());
    }
}
