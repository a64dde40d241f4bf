//! The encrypted, hash-chained commit log over object storage.
//!
//! Everything that the server keeps is one log: commit `n` is the object `log/<n>`, created only if absent, and that one
//! conditional write is the whole of the ordering. The state is the fold of the log, held in memory.
//!
//! It trusts the process that it runs in, the root key that it is given, and, for freshness, the anchor. It does not trust the object
//! storage: whatever is truncated, changed, swapped, duplicated, taken from another store or rolled back behind the anchor is refused
//! with an error that says which. It cannot defend against deletion, and without an anchor it cannot tell an older copy of itself
//! from the newest.
//!
//! What the storage operator sees: the store's public identity, how many commits there are and when, their size in coarse steps, key ids,
//! and where shares of the root key are kept. No key, no value, no path.

mod anchor;
mod audit;
mod backend;
mod backup;
mod body;
mod checkpoint;
mod commit;
mod coverage;
mod digest;
mod entry;
mod error;
mod export;
mod first;
pub mod formats;
mod identity;
mod keyring;
mod keys;
mod log;
mod merkle;
mod recovery;
mod root_key;
mod saved;
mod seal;
mod shamir;
mod slot;
mod snapshot;
mod state;
mod store;
mod transaction;
mod wire;
mod writer;

pub use anchor::{
    AnchorError, AnchorStore, AnchorStoreError, Demand, MalformedAnchor, SealedAnchor,
};
pub use audit::AuditRecord;
pub use backend::directory;
pub use backup::{BackupError, Copied, backup, restore};
pub use checkpoint::{Checkpoint, CheckpointFault};
pub use coverage::Uncovered;
pub use digest::{Hash, MalformedHash};
pub use entry::{Entry, Key, MalformedKey, Page, Value, ValueTooLarge, Version};
pub use error::{
    ChangeError, CommitError, CompactError, CreateError, Damage, ExportError, OpenError, ReadError,
    SaveError, StorageError,
};
pub use export::{AuditFault, VerifiedAudit, VerifiedRecord, verify_audit, verify_record};
pub(crate) use first::HeaderRef;
pub use first::{
    FirstHeader, RecoveryRef, RecoverySet, ShareRef, ShareSet, read_first, read_headers,
};
pub use identity::{BadSignature, Identity, IdentityId, IdentityKey, MalformedIdentity, Signature};
pub use keyring::KeyId;
pub use log::Head;
pub use recovery::{Meeting, holders_share, seal_to_meeting};
pub use recovery::{
    Recipient, RecoveryError, UnsealError, unseal_share, write_later_recovery, write_recovery,
};
pub use root_key::{CombineError, MalformedShare, RootKey, Share, SplitError};
pub use seal::{RandomnessUnavailable, SealError};
pub use snapshot::Snapshot;
pub use store::{
    Compacted, Earlier, Newborn, Origin, Recorded, Rekey, Retention, Settings, Store, Watched,
};
pub use transaction::{Audited, Committed, Precondition, Transaction, Write};
