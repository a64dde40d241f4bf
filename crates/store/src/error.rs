//! What can be wrong, by operation.

use crate::{Hash, Head, IdentityId, Key, KeyId, seal::SealError};

/// The stored bytes are not what a store of ours wrote. No retry helps; what was seen is kept from being served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A commit is absent although a later one exists.
    #[error("commit {n} is missing and a later one exists")]
    Missing {
        /// The place.
        n: u64,
    },
    /// The commit was dropped by compaction, or somebody made it look so. A server that was stalled for so long opens the store again; without a snapshot
    /// that opens, the store is lost.
    #[error("commit {n} is no longer kept")]
    Forgotten {
        /// The place.
        n: u64,
    },
    /// A header that a commit names is not there.
    #[error("the header {object} is missing and a commit names it")]
    MissingHeader {
        /// Its path.
        object: String,
    },
    /// A header that a commit names is not what it was.
    #[error("the header {object} is not what was written: {what}")]
    Header {
        /// Its path.
        object: String,
        /// The fault.
        what: String,
    },
    /// A stored snapshot is not what was written. The log is read instead, as long as it is there.
    #[error("the snapshot {name} is not what was written: {what}")]
    Snapshot {
        /// Its folder.
        name: String,
        /// The fault.
        what: &'static str,
    },
    /// An object lies in the log's folder that is no commit's name.
    #[error("the log holds an object that is no commit: {path}")]
    UnexpectedObject {
        /// Its path.
        path: String,
    },
    /// Fewer bytes than the header says.
    #[error("commit {n} is truncated")]
    Truncated {
        /// The place.
        n: u64,
    },
    /// More bytes than the header says.
    #[error("commit {n} has bytes behind its end")]
    TrailingBytes {
        /// The place.
        n: u64,
    },
    /// The header is none of ours.
    #[error("commit {n} does not have the form of a commit")]
    NotACommit {
        /// The place.
        n: u64,
    },
    /// Another version of the format.
    #[error("commit {n} has format version {version}, known is 1")]
    UnknownFormat {
        /// The place.
        n: u64,
        /// As found.
        version: u16,
    },
    /// A commit stored at the place of another one.
    #[error("commit {found} is stored as commit {n}")]
    WrongPlace {
        /// The place.
        n: u64,
        /// What it says it is.
        found: u64,
    },
    /// A commit that does not follow the one before it.
    #[error("commit {n} follows {found} and the one before it is {expected}")]
    BrokenChain {
        /// The place.
        n: u64,
        /// Hash of the commit before it.
        expected: Hash,
        /// What it names.
        found: Hash,
    },
    /// Sealed under a key that the keyring does not hold.
    #[error("commit {n} is sealed under key {key}, which this store does not have")]
    UnknownKey {
        /// The place.
        n: u64,
        /// As found.
        key: KeyId,
    },
    /// Sealed under a key that a rotation had put out of force: whoever wrote it holds an old key and no more.
    #[error("commit {n} is sealed under key {key}, in force there is key {in_force}")]
    KeyNotInForce {
        /// The place.
        n: u64,
        /// As found.
        key: KeyId,
        /// As the log says.
        in_force: KeyId,
    },
    /// The seal does not open: changed bytes, or another store's commit.
    #[error("commit {n} was changed or was not written by this store")]
    NotOurs {
        /// The place.
        n: u64,
    },
    /// Sealed by us and still not readable: made by a newer version, or a fault of ours.
    #[error("the content of commit {n} is not readable: {what}")]
    MalformedBody {
        /// The place.
        n: u64,
        /// The fault.
        what: &'static str,
    },
    /// The first header is not readable.
    #[error("the first header is not readable: {what}")]
    MalformedFirst {
        /// The fault.
        what: String,
    },
    /// The identity key inside does not belong to the identity outside.
    #[error("the identity key inside commit 1 is not that of {named}")]
    OtherIdentityInside {
        /// What the first header names.
        named: IdentityId,
    },
    /// A commit that we already read is another one now.
    #[error("commit {n} was {expected} and is {found} now")]
    Replaced {
        /// The place.
        n: u64,
        /// As it was.
        expected: Hash,
        /// As it is.
        found: Hash,
    },
}

/// The object storage did not do what it was asked. The storage's own error is the source.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It answered with an error.
    #[error("{doing}")]
    Refused {
        /// What was being done.
        doing: String,
        /// Its answer.
        #[source]
        source: object_store::Error,
    },
    /// It did not answer in time.
    #[error("{doing}: no answer in time")]
    Silent {
        /// What was being done.
        doing: String,
    },
}

/// Why a store could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Somebody else made the first commit. What this server made for its own birth counts for nothing.
    #[error("another server gave birth to {winner}")]
    LostRace {
        /// The identity that the winner's header names, unverified.
        winner: IdentityId,
    },
    /// A first commit is there and is none.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The shares or recovery objects that are to be named break a bound of the format.
    #[error("{0}")]
    Malformed(String),
    /// The first commit could not be made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Whether the first commit exists is not known. Opening or creating again will tell.
    #[error("writing the first commit")]
    Unavailable(#[source] StorageError),
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no first commit.
    #[error("there is no store here")]
    NoStore,
    /// The store is another one.
    #[error("this is the store {found}, expected {expected}")]
    OtherStore {
        /// As demanded.
        expected: IdentityId,
        /// As the first header names it.
        found: IdentityId,
    },
    /// The root key is not this store's, or the keyring was changed.
    #[error("the root key does not open the keyring")]
    WrongRootKey,
    /// What is stored is not what we wrote.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The store is older than its anchor: acknowledged commits are missing. An operator restores the missing objects, or overrides with the recovery quorum.
    #[error("the store ends at commit {} and its anchor is at {}: it was rolled back", found.n, anchored.n)]
    RolledBack {
        /// What the anchor saw.
        anchored: Head,
        /// What there is.
        found: Head,
    },
    /// The store is not the one that was anchored. An operator restores the anchored history, or overrides with the recovery quorum.
    #[error("commit {} is {found} and was anchored as {}: the store was forked", anchored.n, anchored.hash)]
    Forked {
        /// What the anchor saw.
        anchored: Head,
        /// The hash of the commit at that place.
        found: Hash,
        /// The end of this history.
        head: Head,
    },
    /// No anchor, and one is demanded. An operator finds out who removed it, or overrides with the recovery quorum.
    #[error("the store ends at commit {} ({}) and has no anchor", found.n, found.hash)]
    Unanchored {
        /// What there is.
        found: Head,
    },
    /// The anchor is there and cannot be believed.
    #[error("the anchor is not one of this store: {reason}; the store ends at commit {} ({})", found.n, found.hash)]
    AnchorNotOurs {
        /// Which check it failed.
        reason: &'static str,
        /// What there is.
        found: Head,
    },
    /// The anchor could not be read.
    #[error("reading the anchor")]
    AnchorUnavailable(#[source] crate::AnchorStoreError),
    /// The root key is an older one, or one whose keyring no commit names: shares of another generation are needed.
    #[error("the root key opens generation {given}, the store is at generation {current}")]
    OtherGeneration {
        /// Of the root key.
        given: u32,
        /// As the log says.
        current: u32,
    },
    /// The anchor is older than everything that the log still has, so the two cannot be compared. Servers never leave it so far behind.
    #[error("the anchor is at commit {} and the log begins at {floor}", anchored.n)]
    AnchorTooOld {
        /// What the anchor saw.
        anchored: Head,
        /// The first commit that is kept.
        floor: u64,
    },
    /// The objects could not be read.
    #[error("reading the store")]
    Unavailable(#[source] StorageError),
}

/// Why a transaction was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A precondition does not hold. Nothing was written.
    #[error("a key is not in the state that was required")]
    Conflict {
        /// The first key that differs.
        key: Key,
    },
    /// Nothing to write.
    #[error("the transaction writes nothing")]
    Empty,
    /// Beyond the bound. Nothing was written.
    #[error("the transaction has {size} bytes, at most {most} are possible")]
    TooLarge {
        /// As given.
        size: usize,
        /// The bound.
        most: usize,
    },
    /// It could not be sealed. Nothing was written.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The storage could not be reached before anything of it was sent. Nothing was written.
    #[error("reaching the storage")]
    Unavailable(#[source] std::sync::Arc<StorageError>),
    /// It was sent and the answer never came: it may be durable now, become so later, or never. The state tells once the storage answers again.
    #[error("the storage did not say whether the commit was kept")]
    InDoubt(#[source] std::sync::Arc<StorageError>),
    /// Too much is acknowledged and not anchored: the anchor's place does not answer. Nothing was written; it goes on by itself once the anchor is raised.
    #[error("commits after {anchored} are not anchored, none follows {} before they are", head.n)]
    Uncovered {
        /// The number of the newest commit that is covered.
        anchored: u64,
        /// The end of the log.
        head: Head,
    },
    /// The log is damaged; this store takes no more commits.
    #[error("the log is damaged")]
    Damaged(#[source] Damage),
    /// The store has a new root key that this process does not have: it stops, and opens the store again with shares of that generation.
    #[error("the store was rekeyed to generation {generation}")]
    Rekeyed {
        /// Of the new root key.
        generation: u32,
    },
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
}

/// Why something could not be read back from the log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is stored is not what we wrote.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The objects could not be read.
    #[error("reading the log")]
    Unavailable(#[source] StorageError),
}

/// Why a new barrier key or root key is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Another change came first; what was made for this one counts for nothing.
    #[error("the store is at generation {current} already")]
    OtherGeneration {
        /// As the log says.
        current: u32,
    },
    /// Another change came first, and this one was made for what was in force before. Nothing was written; it is to be made again.
    #[error("another change of the log came first")]
    Superseded,
    /// No snapshot could be stored under the new key, and the log alone does not open this store any more.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The shares or recovery objects that are to be named break a bound of the format.
    #[error("{0}")]
    Malformed(String),
    /// The new header could not be stored, or not be read back. It counts for nothing.
    #[error("storing the new header")]
    Header(#[source] StorageError),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why no snapshot was stored.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Something else lies where it was to be.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The storage did not take it. What is there without an index counts for nothing.
    #[error("storing a snapshot")]
    Unavailable(#[source] StorageError),
}

/// Why nothing, or not everything, was dropped. Doing it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// Two snapshots have to open: if the newest one is damaged later, the store has to open from the other.
    #[error("{found} of 2 snapshots open")]
    TooFewSnapshots {
        /// How many open.
        found: usize,
    },
    /// The anchor could not be raised, and nothing is dropped that it does not cover.
    #[error("raising the anchor")]
    Anchor(#[from] crate::AnchorError),
    /// The new beginning could not be committed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The storage did not do as asked.
    #[error("dropping old objects")]
    Unavailable(#[source] StorageError),
}

/// Why the audit log was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tree of so few records is no longer known, or was never there.
    #[error("the tree of {size} records is not kept")]
    NotKept {
        /// How many.
        size: u64,
    },
    /// The reader's checkpoint is not within what is exported.
    #[error("a proof from {old} records on needs at least as many, the export ends at {size}")]
    Beyond {
        /// Of the reader.
        old: u64,
        /// Of the export.
        size: u64,
    },
    /// It could not be signed.
    #[error(transparent)]
    Randomness(#[from] crate::RandomnessUnavailable),
    /// It could not be written as JSON.
    #[error("the export cannot be written")]
    Unwritable,
}
