//! What waits for the writer: taken together, sorted, answered.

use tokio::sync::oneshot;

use super::{Command, Request};
use crate::{
    ChangeError, CommitError, Committed, Head, Key, Transaction,
    state::{Pending, State},
};

pub(super) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;
pub(super) type Changing = (Request, oneshot::Sender<Result<Head, ChangeError>>);
pub(super) type Waiting = (Transaction, Reply<(Committed, u64)>);

/// All that waits when the writer looks.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) waiting: Vec<Waiting>,
    pub(super) refreshes: Vec<Reply<Head>>,
    pub(super) size: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.refreshes.is_empty()
    }

    /// A change is given back: it is made after the others.
    pub(super) fn add(&mut self, command: Command) -> Option<Changing> {
        match command {
            Command::Commit { transaction, reply } => {
                self.size = self.size.saturating_add(transaction.size().min(MOST_OF_A_TRANSACTION));
                self.waiting.push((transaction, reply));
            }
            Command::Refresh { reply } => self.refreshes.push(reply),
            Command::Change { request, reply } => return Some((request, reply)),
        }
        None
    }

    pub(super) fn refuse(self, fault: impl Fn() -> CommitError) {
        for reply in self.refreshes {
            answer(reply, Err(fault()));
        }
        refuse_all(self.waiting.into_iter().map(|(_, reply)| reply).collect(), fault);
    }
}

/// What can be written now, and what cannot.
#[derive(Default)]
pub(super) struct Checked {
    /// These go together.
    pub(super) kept: Vec<Waiting>,
    /// In conflict with one of those, and not with the state.
    pub(super) later: Vec<Waiting>,
    /// In conflict with the state, over this key.
    pub(super) conflicts: Vec<(Key, Waiting)>,
}

impl Checked {
    /// Refuses what can never be written, and sorts the rest.
    pub(super) fn sort(state: &State, waiting: Vec<Waiting>) -> Self {
        let nothing = Pending::after(state);
        let mut pending = Pending::after(state);
        let mut checked = Self::default();
        for (transaction, reply) in waiting {
            let size = transaction.size();
            if transaction.is_empty() {
                answer(reply, Err(CommitError::Empty));
            } else if size > MOST_OF_A_TRANSACTION {
                let most = MOST_OF_A_TRANSACTION;
                answer(reply, Err(CommitError::TooLarge { size, most }));
            } else if state.check(&transaction, &pending).is_ok() {
                pending.add(&transaction);
                checked.kept.push((transaction, reply));
            } else if let Err(key) = state.check(&transaction, &nothing) {
                checked.conflicts.push((key, (transaction, reply)));
            } else {
                checked.later.push((transaction, reply));
            }
        }
        checked
    }
}

pub(super) fn replies(waiting: Vec<Waiting>) -> Vec<Reply<(Committed, u64)>> {
    waiting.into_iter().map(|(_, reply)| reply).collect()
}

pub(super) fn refuse_all<T>(replies: Vec<Reply<T>>, fault: impl Fn() -> CommitError) {
    for reply in replies {
        answer(reply, Err(fault()));
    }
}

/// A caller who stopped waiting is not told.
pub(super) fn answer<T>(reply: Reply<T>, result: Result<T, CommitError>) {
    drop(reply.send(result));
}

const MOST_OF_A_TRANSACTION: usize = 4 << 20;
pub(super) const MOST_OF_A_COMMIT: usize = 4 << 20;
