//! The store: born once, opened by its root key, written by transactions.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::rand::SecureRandom;
use jiff::Timestamp;
use object_store::ObjectStore;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    AnchorError, AnchorStore, AuditRecord, Audited, CommitError, Committed, Entry, FirstHeader,
    Head, Identity, IdentityKey, Key, Page, ReadError, RecoverySet, SealError, SealedAnchor,
    ShareSet, Signature, Snapshot, Transaction, Uncovered, Value, anchor, audit,
    coverage::Coverage,
    keys::Keys,
    log::{Log, Patience},
    seal::RandomnessUnavailable,
    state::State,
    writer::{Command, Writer},
};

mod create;
mod history;
#[cfg(test)]
mod old_keys;
mod open;
mod rotate;
mod save;

pub(crate) use history::read as read_again;
pub use history::{Earlier, Recorded, Watched};
pub use open::Origin;
pub use rotate::Rekey;
pub use save::{Compacted, Retention};

/// An open store. Clones are the same store; it lives as long as one of them.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

/// What a birth has made before the first commit. Share values and recovery objects are stored and have been read back.
pub struct Newborn {
    /// The new identity.
    pub identity: IdentityKey,
    /// The wrapped automatic shares.
    pub shares: ShareSet,
    /// The recovery shares.
    pub recovery: RecoverySet,
}

/// How a store meets the world.
#[derive(Clone)]
pub struct Settings {
    /// Where salts and keys come from.
    pub rng: Arc<dyn SecureRandom + Send + Sync>,
    /// How long one request to the storage may take.
    pub request: Duration,
    /// How long a commit is tried before its writers are told that it is in doubt.
    pub patience: Duration,
    /// How much may be acknowledged that no anchor covers.
    pub uncovered: Uncovered,
}

impl Settings {
    /// A request may take 20 seconds, a commit a minute.
    pub fn new(rng: Arc<dyn SecureRandom + Send + Sync>) -> Self {
        Self {
            rng,
            request: Duration::from_secs(20),
            patience: Duration::from_secs(60),
            uncovered: Uncovered::default(),
        }
    }

    fn log(&self, objects: &Arc<dyn ObjectStore>) -> Log {
        Log::new(Arc::clone(objects))
            .with_patience(Patience { request: self.request, write: self.patience })
    }
}

impl Store {
    /// The public half of the identity.
    pub fn identity(&self) -> &Identity {
        self.shared.identity.public()
    }

    /// The first header, now known to be true.
    pub fn first(&self) -> &FirstHeader {
        &self.shared.first
    }

    /// The header in force: the first one, or that of the newest barrier key or root key.
    pub fn header(&self) -> FirstHeader {
        self.shared.keys().header.clone()
    }

    /// What the state was made from when the store was opened.
    pub fn origin(&self) -> &Origin {
        &self.shared.origin
    }

    /// The newest commit that the state holds.
    pub fn head(&self) -> Head {
        self.shared.read_state(State::head)
    }

    /// Tells of every new head; intermediate ones may be skipped.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.shared.heads.subscribe()
    }

    /// The latest time that any transaction was made at; a clock that says less is wrong.
    pub fn latest_time(&self) -> Option<Timestamp> {
        self.shared.read_state(State::time)
    }

    /// The value of a key, now.
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.shared.read_state(|state| state.get(key))
    }

    /// At most `limit` entries whose names begin with `prefix` and follow `after`, in order. Pages of one listing may see different commits; take
    /// a [`Snapshot`] if they must not.
    pub fn range(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Page {
        self.shared.read_state(|state| state.range(prefix, after, limit, state.version()))
    }

    /// The state as it is now, for as long as it is held.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(Arc::clone(&self.shared))
    }

    /// Commits a transaction. When this returns `Committed`, it is durable and visible. A caller who stops waiting does not stop the commit.
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        self.write(transaction).await.map(|(committed, _)| committed)
    }

    /// Appends one audit record. When this returns `Audited`, it is durable: what it is about may happen now and not before.
    pub async fn append_audit(
        &self,
        now: Timestamp,
        record: Value,
    ) -> Result<Audited, CommitError> {
        let (committed, sequence) = self.write(Transaction::new(now).audit(record)).await?;
        Ok(Audited { sequence, head: committed.head })
    }

    /// Commits a transaction; also answers the number of its last audit record.
    async fn write(&self, transaction: Transaction) -> Result<(Committed, u64), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Commit { transaction, reply })
            .await
            .map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }

    /// Reads what other servers committed.
    pub async fn refresh(&self) -> Result<Head, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Refresh { reply }).await.map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }

    /// Waits until the state holds commit `n`, for a caller who has seen that commit at another server. It looks at the log at once and then now and then; whoever asks for a
    /// commit that nobody makes waits for ever, and sets a limit of their own.
    pub async fn at_least(&self, n: u64) -> Result<Head, CommitError> {
        let mut heads = self.heads();
        loop {
            let head = self.head();
            if head.n >= n {
                return Ok(head);
            }
            let head = self.refresh().await?;
            if head.n < n {
                // Our own writer may get there first.
                drop(tokio::time::timeout(LOOK, heads.wait_for(|head| head.n >= n)).await);
            }
        }
    }

    /// The number of the last audit record; 0 if there is none.
    pub fn audited(&self) -> u64 {
        self.shared.read_state(State::audited)
    }

    /// At most `limit` audit records from number `from` on, read from the storage and checked.
    pub async fn audit(&self, from: u64, limit: usize) -> Result<Vec<AuditRecord>, ReadError> {
        audit::read(&self.shared, from, limit).await
    }

    /// Raises the anchor to the head, or finds it there or further already. Answers what is anchored.
    pub async fn raise_anchor(&self, anchors: &dyn AnchorStore) -> Result<Head, AnchorError> {
        match anchor::raise(anchors, &self.shared).await {
            // Also under a key that another server has put in force since.
            Err(AnchorError::Ahead { .. } | AnchorError::NotOurs(_)) => {
                let read = self.refresh().await;
                read.map_err(|error| AnchorError::Follow(Box::new(error)))?;
                anchor::raise(anchors, &self.shared).await
            }
            done => done,
        }
    }

    /// Sets the anchor to the head, whatever it was: for a store that a quorum restored to an earlier commit. From then on the later history is refused.
    pub async fn danger_reset_anchor(
        &self,
        anchors: &dyn AnchorStore,
    ) -> Result<Head, AnchorError> {
        anchor::reset(anchors, &self.shared).await
    }

    /// An anchor at the head, to be put into its place by somebody else: for a store that a quorum opened where the anchor cannot be reached.
    pub fn danger_anchor(&self) -> Result<SealedAnchor, SealError> {
        anchor::here(&self.shared)
    }

    /// Signs a message that says what it is with the store's identity.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, RandomnessUnavailable> {
        self.shared.identity.sign(message)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn start(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let (commands, receiver) = mpsc::channel(QUEUE);
        drop(tokio::spawn(Writer::new(Arc::clone(&shared)).run(receiver)));
        Self { shared, commands }
    }
}

/// What the store's handles, its writer and its snapshots share.
pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) identity: IdentityKey,
    pub(crate) rng: Arc<dyn SecureRandom + Send + Sync>,
    pub(crate) first: FirstHeader,
    keys: Mutex<Arc<Keys>>,
    origin: Origin,
    state: RwLock<State>,
    heads: watch::Sender<Head>,
    pub(crate) coverage: Coverage,
}

impl Shared {
    /// Looks at the state. No caller's code runs inside, so a poisoned lock guards a whole state.
    pub(crate) fn read_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state.
    pub(crate) fn write_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over the keys that a commit names.
    pub(crate) fn replace_keys(&self, keys: Keys) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Tells those who wait for a new head.
    pub(crate) fn announce(&self) {
        let head = self.read_state(State::head);
        self.coverage.grown(head);
        let _previous = self.heads.send_replace(head);
    }
}

/// How long to wait before looking at the log again.
const LOOK: Duration = Duration::from_millis(50);
/// How many writers may wait in line.
const QUEUE: usize = 4096;
