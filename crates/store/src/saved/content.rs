//! What is inside the objects of a snapshot.
//!
//! The bytes of a part are its kind (1) and records:
//! - 1, entries in order: key (sized), version (8), value (sized);
//! - 2, commits: hash (32), version (8), audited (8);
//! - 3, audit leaves: hash (32).
//!
//! Those of the index: the commit's hash (32), version (8), latest time in milliseconds (8, signed; the smallest for none), floor (8), the commit before the
//! floor (hash, version, audited), the header in force (4, 4, 32) and the commit that put it there (8), number of audit leaves that are not kept (8), roots of their whole subtrees (sized), identity key as
//! PKCS#8 (sized), and the parts' hashes (32 each).

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Name;
use crate::{
    Damage, Entry, Hash, Head, IdentityKey, Key, Value, Version,
    first::HeaderRef,
    merkle::Tree,
    seal::SealError,
    slot::Slot,
    state::{Past, Spine, State},
    wire::{Reader, Short, put_sized},
};

/// Collects records until a part is full.
pub(crate) struct Part {
    kind: u8,
    bytes: Zeroizing<Vec<u8>>,
}

impl Part {
    pub(crate) fn entries() -> Self {
        Self::of(ENTRIES, PART + PART_ROOM)
    }

    fn of(kind: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + room));
        bytes.push(kind);
        Self { kind, bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() <= 1
    }

    /// Is it time to begin another one?
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= PART
    }

    pub(crate) fn add(&mut self, entry: &Entry) -> Result<(), SealError> {
        put_sized(&mut self.bytes, entry.key.as_str().as_bytes())
            .map_err(|_| SealError::TooLarge)?;
        self.bytes.extend_from_slice(&entry.version.number().to_be_bytes());
        put_sized(&mut self.bytes, entry.value.expose_secret()).map_err(|_| SealError::TooLarge)
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.bytes
    }

    /// The same buffer for the next part.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(0);
        self.bytes.push(self.kind);
    }
}

/// The parts that hold the spine's two long lists.
pub(crate) fn lists(spine: &Spine) -> Vec<Zeroizing<Vec<u8>>> {
    let mut parts = Vec::new();
    for some in spine.past.chunks(PART / PAST_LENGTH) {
        let mut part = Part::of(COMMITS, some.len() * PAST_LENGTH);
        some.iter().for_each(|past| put_past(&mut part.bytes, past));
        parts.push(part.bytes);
    }
    for some in spine.audit.leaves().chunks(PART / 32) {
        let mut part = Part::of(LEAVES, some.len() * 32);
        some.iter().for_each(|leaf| part.bytes.extend_from_slice(leaf.as_bytes()));
        parts.push(part.bytes);
    }
    parts
}

/// The index over parts that are stored.
pub(crate) fn index(
    spine: &Spine,
    identity: &IdentityKey,
    parts: &[Hash],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut to = Zeroizing::new(Vec::with_capacity(parts.len() * 32 + 4096));
    to.extend_from_slice(spine.head.hash.as_bytes());
    to.extend_from_slice(&spine.version.number().to_be_bytes());
    let time = spine.time.map_or(i64::MIN, |time| time.as_millisecond());
    to.extend_from_slice(&time.to_be_bytes());
    to.extend_from_slice(&spine.floor.to_be_bytes());
    put_past(&mut to, &spine.before);
    to.extend_from_slice(&spine.header.generation.to_be_bytes());
    to.extend_from_slice(&spine.header.sequence.to_be_bytes());
    to.extend_from_slice(spine.header.sha256.as_bytes());
    to.extend_from_slice(&spine.since.to_be_bytes());
    to.extend_from_slice(&spine.audit.first().to_be_bytes());
    let edge: Vec<u8> = spine
        .audit
        .edge()
        .ok_or(SealError::Cipher)?
        .iter()
        .flat_map(|hash| *hash.as_bytes())
        .collect();
    put_sized(&mut to, &edge).map_err(|_| SealError::TooLarge)?;
    let pkcs8 = identity.to_pkcs8().map_err(|_| SealError::Cipher)?;
    put_sized(&mut to, &pkcs8).map_err(|_| SealError::TooLarge)?;
    parts.iter().for_each(|hash| to.extend_from_slice(hash.as_bytes()));
    Ok(to)
}

/// An index, read; what its parts hold is added one by one.
pub(crate) struct Loading {
    name: Name,
    spine: Spine,
    identity: IdentityKey,
    parts: Vec<Hash>,
    keys: Vec<(Key, Slot)>,
}

impl Loading {
    pub(crate) fn parse(name: Name, index: &[u8]) -> Result<Self, Damage> {
        parse_index(name, index).map_err(|Malformed(what)| name.damage(what))
    }

    /// The commit that it is of.
    pub(crate) fn head(&self) -> Head {
        self.spine.head
    }

    /// The parts' hashes, in order.
    pub(crate) fn parts(&self) -> &[Hash] {
        &self.parts
    }

    /// Adds the next part.
    pub(crate) fn add(&mut self, records: Records) {
        match records {
            Records::Entries(mut keys) => self.keys.append(&mut keys),
            Records::Commits(mut past) => self.spine.past.append(&mut past),
            Records::Leaves(leaves) => {
                leaves.into_iter().for_each(|leaf| self.spine.audit.push(leaf));
            }
        }
    }

    /// The whole state, when every part is added.
    pub(crate) fn finish(self) -> Result<(State, IdentityKey), Damage> {
        let Self { name, spine, identity, keys, .. } = self;
        let newest = spine.past.last().unwrap_or(&spine.before);
        let expected =
            Past { hash: spine.head.hash, version: spine.version, audited: spine.audit.size() };
        let count = u64::try_from(spine.past.len()).unwrap_or(u64::MAX);
        if *newest != expected || spine.floor.saturating_add(count) != name.n.saturating_add(1) {
            return Err(name.damage("its lists do not end where it does"));
        }
        if keys.windows(2).any(|pair| matches!(pair, [one, next] if one.0 >= next.0)) {
            return Err(name.damage("its keys are not in order"));
        }
        Ok((State::restored(spine, keys), identity))
    }
}

/// What one part holds.
pub(crate) enum Records {
    Entries(Vec<(Key, Slot)>),
    Commits(Vec<Past>),
    Leaves(Vec<Hash>),
}

impl Records {
    /// Reads a part; it needs nothing of the others.
    pub(crate) fn parse(name: Name, content: &[u8]) -> Result<Self, Damage> {
        parse_part(content).map_err(|Malformed(what)| name.damage(what))
    }
}

fn parse_part(content: &[u8]) -> Result<Records, Malformed> {
    let mut reader = Reader::new(content);
    match reader.u8()? {
        ENTRIES => all(reader, parse_entry).map(Records::Entries),
        COMMITS => all(reader, |reader| Ok(parse_past(reader)?)).map(Records::Commits),
        LEAVES => all(reader, |reader| Ok(Hash::new(*reader.array()?))).map(Records::Leaves),
        _ => Err(Malformed("a kind of part that is not known")),
    }
}

fn all<'a, T>(
    mut reader: Reader<'a>,
    parse: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut records = Vec::new();
    while !reader.is_empty() {
        records.push(parse(&mut reader)?);
    }
    Ok(records)
}

fn parse_entry(reader: &mut Reader<'_>) -> Result<(Key, Slot), Malformed> {
    let name =
        std::str::from_utf8(reader.sized()?).map_err(|_| Malformed("a key that is not UTF-8"))?;
    let key = Key::parse(name).map_err(|_| Malformed("a key of a length that is not allowed"))?;
    let version = Version::new(reader.u64()?);
    let value =
        Value::copied(reader.sized()?).map_err(|_| Malformed("a value that is too large"))?;
    Ok((key, Slot::new(version, Some(value))))
}

fn parse_index(name: Name, index: &[u8]) -> Result<Loading, Malformed> {
    let mut reader = Reader::new(index);
    let hash = Hash::new(*reader.array()?);
    let version = Version::new(reader.u64()?);
    let time = match reader.i64()? {
        i64::MIN => None,
        at => Some(Timestamp::from_millisecond(at).map_err(|_| Malformed("a time out of range"))?),
    };
    let floor = reader.u64()?;
    let before = parse_past(&mut reader)?;
    let header = HeaderRef {
        generation: reader.u32()?,
        sequence: reader.u32()?,
        sha256: Hash::new(*reader.array()?),
    };
    let since = reader.u64()?;
    let first = reader.u64()?;
    let edge = hashes(reader.sized()?)?;
    let audit = Tree::restore(first, &edge)
        .filter(|_| before.audited == first)
        .ok_or(Malformed("an audit tree that is none"))?;
    let identity = IdentityKey::from_pkcs8(reader.sized()?)
        .map_err(|_| Malformed("an identity key that is none"))?;
    let parts = hashes(reader.rest())?;
    let head = Head { n: name.n, hash };
    let past = Vec::new();
    let spine = Spine { head, version, time, audit, before, past, floor, header, since };
    Ok(Loading { name, spine, identity, parts, keys: Vec::new() })
}

fn hashes(bytes: &[u8]) -> Result<Vec<Hash>, Malformed> {
    let (whole, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(Malformed("a hash that is cut"));
    }
    Ok(whole.iter().map(|bytes| Hash::new(*bytes)).collect())
}

fn put_past(to: &mut Vec<u8>, past: &Past) {
    to.extend_from_slice(past.hash.as_bytes());
    to.extend_from_slice(&past.version.number().to_be_bytes());
    to.extend_from_slice(&past.audited.to_be_bytes());
}

fn parse_past(reader: &mut Reader<'_>) -> Result<Past, Short> {
    Ok(Past {
        hash: Hash::new(*reader.array()?),
        version: Version::new(reader.u64()?),
        audited: reader.u64()?,
    })
}

struct Malformed(&'static str);

impl From<Short> for Malformed {
    fn from(_: Short) -> Self {
        Self("fewer bytes than its lengths say")
    }
}

const ENTRIES: u8 = 1;
const COMMITS: u8 = 2;
const LEAVES: u8 = 3;
/// A part ends with the record that makes it this large.
const PART: usize = 4 << 20;
/// The largest record: a key of 1 KiB, a value of 1 MiB and their lengths.
const PART_ROOM: usize = (1 << 20) + 2048;
const PAST_LENGTH: usize = 48;
