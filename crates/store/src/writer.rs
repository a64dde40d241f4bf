//! The one task of a store that writes to its log.
//!
//! It takes all transactions that wait, checks each against the state and those before it, and puts them into one commit. If another server's commit
//! took the place, it follows that log and checks again. If the storage will not say, the attempt is kept, and nothing else is sent before its
//! fate is known.
//!
//! Changes of the log itself, a new header or a new beginning, are commits of their own.

mod batch;
mod change;
mod halt;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use batch::{Batch, Checked, MOST_OF_A_COMMIT, Reply, Waiting, answer, refuse_all, replies};
use halt::{Halt, Stopped};

use crate::{
    ChangeError, CommitError, Committed, Hash, Head, HeaderRef, Transaction,
    body::{Change, Content},
    commit::{Draft, Sealed},
    coverage::Exceeded,
    keys::Keys,
    log::Sent,
    state::{Applied, State},
    store::Shared,
};

/// What the handles ask for.
pub(crate) enum Command {
    Commit { transaction: Transaction, reply: Reply<(Committed, u64)> },
    Refresh { reply: Reply<Head> },
    Change { request: Request, reply: oneshot::Sender<Result<Head, ChangeError>> },
}

/// A change of the log itself.
pub(crate) enum Request {
    /// A new barrier key, perhaps with a new root key.
    Header(Box<Prepared>),
    /// A new first commit, chosen by snapshots that count as long as this header is in force.
    Floor { floor: u64, under: HeaderRef },
}

/// A header that is stored, to be put in force.
pub(crate) struct Prepared {
    pub(crate) keys: Keys,
    /// The header that it follows.
    pub(crate) after: HeaderRef,
    /// The older of the snapshots under its key, where the log alone does not do.
    pub(crate) saved: Option<u64>,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Sent, with an unknown fate.
    doubt: Option<Attempt>,
    /// Nothing is written any more.
    stopped: Option<Stopped>,
    /// Of a header that was stored and is about to be named.
    pending: Option<Keys>,
}

struct Attempt {
    n: u64,
    bytes: Bytes,
    transactions: Vec<Transaction>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, doubt: None, stopped: None, pending: None }
    }

    /// Runs until every handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            let mut batch = Batch::default();
            let mut change = batch.add(command);
            while change.is_none()
                && batch.size < MOST_OF_A_COMMIT
                && let Ok(command) = commands.try_recv()
            {
                change = batch.add(command);
            }
            if !batch.is_empty() {
                self.serve(batch).await;
            }
            if let Some((request, reply)) = change {
                drop(reply.send(self.change(request).await));
            }
        }
    }

    async fn serve(&mut self, batch: Batch) {
        if let Err(halt) = self.prepare(!batch.refreshes.is_empty()).await {
            batch.refuse(self.explain(halt));
            return;
        }
        let head = self.shared.read_state(State::head);
        for reply in batch.refreshes {
            answer(reply, Ok(head));
        }
        match self.shared.coverage.check(head) {
            Ok(()) => self.write(batch.waiting).await,
            Err(Exceeded { anchored }) => {
                refuse_all(replies(batch.waiting), || CommitError::Uncovered { anchored, head });
            }
        }
    }

    /// Settles what is in doubt, and follows other servers if asked.
    async fn prepare(&mut self, follow: bool) -> Result<(), Halt> {
        if let Some(stopped) = &self.stopped {
            return Err(Halt::Stopped(stopped.clone()));
        }
        if let Some(attempt) = self.doubt.take() {
            match self.shared.log.send(attempt.n, &attempt.bytes).await {
                Sent::Kept if attempt.transactions.is_empty() => {
                    self.adopt(&attempt.bytes).await?;
                }
                Sent::Kept => drop(self.apply(&attempt.bytes, attempt.n, &attempt.transactions)),
                Sent::Lost(winner) => self.adopt(&winner).await?,
                Sent::InDoubt(fault) => {
                    self.doubt = Some(attempt);
                    return Err(Halt::Unavailable(fault));
                }
            }
        }
        if follow {
            self.follow().await?;
        }
        Ok(())
    }

    /// Writes what waits, in as few commits as it takes. A conflict is answered when it is one with what is durable, and was looked at after whoever waits had asked:
    /// a conflict with a transaction beside it waits until that one is durable, and before the first one the log is followed to its end.
    async fn write(&mut self, mut waiting: Vec<Waiting>) {
        let mut looked = Looked::NotYet;
        loop {
            let Checked { kept, later, conflicts } =
                self.shared.read_state(|state| Checked::sort(state, waiting));
            if !conflicts.is_empty() && looked == Looked::NotYet {
                waiting =
                    conflicts.into_iter().map(|(_, one)| one).chain(kept).chain(later).collect();
                if let Err(halt) = self.follow().await {
                    return refuse_all(replies(waiting), self.explain(halt));
                }
                looked = Looked::AtTheEnd;
                continue;
            }
            for (key, (_, reply)) in conflicts {
                answer(reply, Err(CommitError::Conflict { key }));
            }
            if kept.is_empty() {
                return;
            }
            let (transactions, answers): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
            let after = self.shared.read_state(State::head);
            let n = after.n.saturating_add(1);
            let references: Vec<&Transaction> = transactions.iter().collect();
            let content = Content { identity: None, transactions: &references, change: None };
            let bytes = match self.seal(after, content) {
                Ok(bytes) => bytes,
                Err(fault) => {
                    let all = answers.into_iter().chain(replies(later)).collect();
                    return refuse_all(all, || CommitError::Seal(fault));
                }
            };
            let halt = match self.shared.log.send(n, &bytes).await {
                Sent::Kept => {
                    let (head, applied) = self.apply(&bytes, n, &transactions);
                    for (reply, one) in answers.into_iter().zip(applied) {
                        answer(reply, Ok((Committed { head, version: one.version }, one.audited)));
                    }
                    looked = Looked::AtTheEnd;
                    waiting = later;
                    continue;
                }
                Sent::Lost(winner) => match self.adopt(&winner).await {
                    Ok(()) => self.follow().await.err(),
                    Err(halt) => Some(halt),
                },
                Sent::InDoubt(fault) => {
                    self.doubt = Some(Attempt { n, bytes, transactions });
                    let fault = Arc::new(fault);
                    refuse_all(answers, || CommitError::InDoubt(Arc::clone(&fault)));
                    return refuse_all(replies(later), || {
                        CommitError::Unavailable(Arc::clone(&fault))
                    });
                }
            };
            waiting = transactions.into_iter().zip(answers).chain(later).collect();
            if let Some(halt) = halt {
                return refuse_all(replies(waiting), self.explain(halt));
            }
            looked = Looked::AtTheEnd;
        }
    }

    fn seal(&self, after: Head, content: Content<'_>) -> Result<Bytes, crate::SealError> {
        let identity = self.shared.identity.public().id();
        let draft = Draft { identity, after, clear: &[], content };
        draft.seal(&self.shared.keys().keyring, &*self.shared.rng)
    }

    /// Applies our own commit.
    fn apply(&self, bytes: &[u8], n: u64, transactions: &[Transaction]) -> (Head, Vec<Applied>) {
        let head = Head { n, hash: Hash::of(bytes) };
        let applied = self.shared.write_state(|state| state.apply(head, transactions));
        self.shared.announce();
        (head, applied)
    }

    /// Verifies and applies another server's commit, or our own change of the log.
    async fn adopt(&mut self, object: &[u8]) -> Result<(), Halt> {
        let after = self.shared.read_state(State::head);
        let keys = self.shared.keys();
        let opened = Sealed::parse(after.n.saturating_add(1), object).and_then(|sealed| {
            let in_force = self.shared.read_state(State::header).key();
            sealed.open(keys.identity(), after, (&keys.keyring, in_force))
        })?;
        // Before anything is applied, so that a header that does not answer leaves all as it was.
        let keys = match opened.body.change {
            Some(Change::Header(reference)) => {
                match self.pending.take_if(|pending| pending.reference == reference) {
                    Some(pending) => Some(pending),
                    None => {
                        Some(keys.follow(&self.shared.log, &self.shared.first, reference).await?)
                    }
                }
            }
            Some(Change::Floor(_)) | None => None,
        };
        // The keys first: whoever looks at the state before the keys finds all that it names.
        if let Some(keys) = keys {
            self.shared.replace_keys(keys);
        }
        self.shared.write_state(|state| {
            let _applied = state.apply(opened.head, &opened.body.transactions);
            if let Some(change) = opened.body.change {
                state.change(change);
            }
        });
        self.shared.announce();
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Halt> {
        loop {
            let n = self.shared.read_state(State::head).n.saturating_add(1);
            match self.shared.log.read(n).await.map_err(Halt::Unavailable)? {
                None => return Ok(()),
                Some(object) => self.adopt(&object).await?,
            }
        }
    }
}

/// Whether the state was the end of the log at some moment since a batch was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    NotYet,
    AtTheEnd,
}
