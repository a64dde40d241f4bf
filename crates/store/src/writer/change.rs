//! Changes of the log itself: a new barrier key, a new root key, a new beginning.

use super::{Attempt, Prepared, Request, Writer};
use crate::{
    ChangeError, CommitError, Head, HeaderRef,
    body::{Change, Content},
    coverage::Exceeded,
    log::Sent,
    state::State,
};

impl Writer {
    /// Makes a commit of its own, in the order: what is in doubt is settled and other servers are followed; the commit, sealed under the key in force; the new keys.
    ///
    /// What was prepared for another state of the log than the one it would follow is refused: another rotation, or a floor above the snapshots that it relies on.
    pub(super) async fn change(&mut self, request: Request) -> Result<Head, ChangeError> {
        if let Err(halt) = self.prepare(true).await {
            return Err(self.explain(halt)().into());
        }
        let wanted = match request {
            Request::Floor { floor, under } => {
                Wanted { change: Change::Floor(floor), under, saved: None }
            }
            Request::Header(prepared) => {
                let Prepared { keys, after, saved } = *prepared;
                let change = Change::Header(keys.reference);
                self.pending = Some(keys);
                Wanted { change, under: after, saved }
            }
        };
        loop {
            let after = self.shared.read_state(State::head);
            if let Err(Exceeded { anchored }) = self.shared.coverage.check(after) {
                return Err(CommitError::Uncovered { anchored, head: after }.into());
            }
            self.shared.read_state(|state| wanted.check(state))?;
            let n = after.n.saturating_add(1);
            let content =
                Content { identity: None, transactions: &[], change: Some(wanted.change) };
            let bytes = self.seal(after, content).map_err(CommitError::Seal)?;
            let settled = match self.shared.log.send(n, &bytes).await {
                Sent::Kept => self.adopt(&bytes).await.map(|()| true),
                Sent::Lost(winner) => match self.adopt(&winner).await {
                    Ok(()) => self.follow().await.map(|()| false),
                    Err(halt) => Err(halt),
                },
                Sent::InDoubt(fault) => {
                    self.doubt = Some(Attempt { n, bytes, transactions: Vec::new() });
                    return Err(CommitError::InDoubt(fault.into()).into());
                }
            };
            match settled {
                Ok(true) => return Ok(self.shared.read_state(State::head)),
                Ok(false) => {}
                Err(halt) => return Err(self.explain(halt)().into()),
            }
        }
    }
}

/// A change, and what it was prepared for.
struct Wanted {
    change: Change,
    /// The header that was in force.
    under: HeaderRef,
    /// The older of the snapshots that it relies on.
    saved: Option<u64>,
}

impl Wanted {
    fn check(&self, state: &State) -> Result<(), ChangeError> {
        let compacted =
            matches!(self.change, Change::Header(_)) && state.floor() > self.saved.unwrap_or(1);
        if state.header() != self.under || compacted {
            return Err(ChangeError::Superseded);
        }
        Ok(())
    }
}
