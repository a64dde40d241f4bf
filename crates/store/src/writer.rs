//! The one task of a store that writes to its log.
//!
//! It takes all transactions that wait, checks each against the state and those before it, and puts them into one commit. If another server's commit
//! took the place, it follows that log and checks again. If the storage will not say, the attempt is kept, and nothing else is sent before its
//! fate is known.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    CommitError, Committed, Damage, Hash, Head, StorageError, Transaction,
    commit::{Draft, Sealed},
    coverage::Exceeded,
    log::Sent,
    state::{Applied, Pending, State},
    store::Shared,
};

/// What the handles ask for.
pub(crate) enum Command {
    Commit { transaction: Transaction, reply: Reply<(Committed, u64)> },
    Refresh { reply: Reply<Head> },
}

type Reply<T> = oneshot::Sender<Result<T, CommitError>>;
type Waiting = (Transaction, Reply<(Committed, u64)>);

pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Sent, with an unknown fate.
    doubt: Option<Attempt>,
    /// Found in the log; nothing is written any more.
    damage: Option<Damage>,
}

struct Attempt {
    n: u64,
    bytes: Bytes,
    transactions: Vec<Transaction>,
}

/// Why nothing can be sent now.
enum Halt {
    Damaged(Damage),
    Unavailable(StorageError),
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, doubt: None, damage: None }
    }

    /// Runs until every handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            let mut batch = Batch::default();
            batch.add(command);
            while batch.size < MOST_OF_A_COMMIT
                && let Ok(command) = commands.try_recv()
            {
                batch.add(command);
            }
            self.serve(batch).await;
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
                let replies = batch.waiting.into_iter().map(|(_, reply)| reply).collect();
                refuse_all(replies, || CommitError::Uncovered { anchored, head });
            }
        }
    }

    /// Settles what is in doubt, and follows other servers if asked.
    async fn prepare(&mut self, follow: bool) -> Result<(), Halt> {
        if let Some(damage) = &self.damage {
            return Err(Halt::Damaged(damage.clone()));
        }
        if let Some(attempt) = self.doubt.take() {
            match self.shared.log.send(attempt.n, &attempt.bytes).await {
                Sent::Kept => drop(self.apply(&attempt.bytes, attempt.n, &attempt.transactions)),
                Sent::Lost(winner) => self.adopt(&winner)?,
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

    async fn write(&mut self, mut waiting: Vec<Waiting>) {
        loop {
            waiting = self.check(waiting);
            if waiting.is_empty() {
                return;
            }
            let (transactions, replies): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
            let after = self.shared.read_state(State::head);
            let n = after.n.saturating_add(1);
            let bytes = match self.seal(after, &transactions) {
                Ok(bytes) => bytes,
                Err(fault) => return refuse_all(replies, || CommitError::Seal(fault)),
            };
            let halt = match self.shared.log.send(n, &bytes).await {
                Sent::Kept => {
                    let (head, applied) = self.apply(&bytes, n, &transactions);
                    for (reply, one) in replies.into_iter().zip(applied) {
                        answer(reply, Ok((Committed { head, version: one.version }, one.audited)));
                    }
                    return;
                }
                Sent::Lost(winner) => match self.adopt(&winner) {
                    Ok(()) => self.follow().await.err(),
                    Err(halt) => Some(halt),
                },
                Sent::InDoubt(fault) => {
                    self.doubt = Some(Attempt { n, bytes, transactions });
                    let fault = Arc::new(fault);
                    return refuse_all(replies, || CommitError::InDoubt(Arc::clone(&fault)));
                }
            };
            if let Some(halt) = halt {
                return refuse_all(replies, self.explain(halt));
            }
            waiting = transactions.into_iter().zip(replies).collect();
        }
    }

    /// Refuses what cannot be written; what is left goes together.
    fn check(&self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        self.shared.read_state(|state| {
            let mut pending = Pending::after(state);
            let mut kept = Vec::with_capacity(waiting.len());
            for (transaction, reply) in waiting {
                let size = transaction.size();
                let fault = if transaction.is_empty() {
                    Some(CommitError::Empty)
                } else if size > MOST_OF_A_TRANSACTION {
                    Some(CommitError::TooLarge { size, most: MOST_OF_A_TRANSACTION })
                } else {
                    state
                        .check(&transaction, &pending)
                        .err()
                        .map(|key| CommitError::Conflict { key })
                };
                if let Some(fault) = fault {
                    answer(reply, Err(fault));
                } else {
                    pending.add(&transaction);
                    kept.push((transaction, reply));
                }
            }
            kept
        })
    }

    fn seal(&self, after: Head, transactions: &[Transaction]) -> Result<Bytes, crate::SealError> {
        let transactions: Vec<&Transaction> = transactions.iter().collect();
        let identity = self.shared.identity.public().id();
        let draft = Draft { identity, after, clear: &[], key: None, transactions: &transactions };
        draft.seal(&self.shared.keyring, &*self.shared.rng)
    }

    /// Applies our own commit.
    fn apply(&self, bytes: &[u8], n: u64, transactions: &[Transaction]) -> (Head, Vec<Applied>) {
        let head = Head { n, hash: Hash::of(bytes) };
        let applied = self.shared.write_state(|state| state.apply(head, transactions));
        self.shared.announce();
        (head, applied)
    }

    /// Verifies and applies another server's commit.
    fn adopt(&self, object: &[u8]) -> Result<(), Halt> {
        let after = self.shared.read_state(State::head);
        let opened = Sealed::parse(after.n.saturating_add(1), object)
            .and_then(|sealed| {
                sealed.open(self.shared.identity.public().id(), after, &self.shared.keyring)
            })
            .map_err(Halt::Damaged)?;
        let _applied =
            self.shared.write_state(|state| state.apply(opened.head, &opened.body.transactions));
        self.shared.announce();
        Ok(())
    }

    async fn follow(&self) -> Result<(), Halt> {
        loop {
            let n = self.shared.read_state(State::head).n.saturating_add(1);
            match self.shared.log.read(n).await.map_err(Halt::Unavailable)? {
                None => return Ok(()),
                Some(object) => self.adopt(&object)?,
            }
        }
    }

    /// Remembers damage, and makes the answer for each who waits.
    fn explain(&mut self, halt: Halt) -> impl Fn() -> CommitError + use<> {
        let halt = match halt {
            Halt::Damaged(damage) => {
                tracing::error!(%damage, "the log is damaged, no more commits are made");
                self.damage = Some(damage.clone());
                Err(damage)
            }
            Halt::Unavailable(fault) => Ok(Arc::new(fault)),
        };
        move || match &halt {
            Err(damage) => CommitError::Damaged(damage.clone()),
            Ok(fault) => CommitError::Unavailable(Arc::clone(fault)),
        }
    }
}

/// All that waits when the writer looks.
#[derive(Default)]
struct Batch {
    waiting: Vec<Waiting>,
    refreshes: Vec<Reply<Head>>,
    size: usize,
}

impl Batch {
    fn add(&mut self, command: Command) {
        match command {
            Command::Commit { transaction, reply } => {
                self.size = self.size.saturating_add(transaction.size().min(MOST_OF_A_TRANSACTION));
                self.waiting.push((transaction, reply));
            }
            Command::Refresh { reply } => self.refreshes.push(reply),
        }
    }

    fn refuse(self, fault: impl Fn() -> CommitError) {
        for reply in self.refreshes {
            answer(reply, Err(fault()));
        }
        refuse_all(self.waiting.into_iter().map(|(_, reply)| reply).collect(), fault);
    }
}

fn refuse_all<T>(replies: Vec<Reply<T>>, fault: impl Fn() -> CommitError) {
    for reply in replies {
        answer(reply, Err(fault()));
    }
}

/// A caller who stopped waiting is not told.
fn answer<T>(reply: Reply<T>, result: Result<T, CommitError>) {
    drop(reply.send(result));
}

const MOST_OF_A_TRANSACTION: usize = 4 << 20;
const MOST_OF_A_COMMIT: usize = 4 << 20;
