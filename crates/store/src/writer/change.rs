//! Changes of the log itself: a new barrier key, a new root key, a new beginning.

use super::{Attempt, Request, Writer};
use crate::{
    ChangeError, CommitError, Damage, FirstHeader, Head,
    body::{Change, Content},
    coverage::Exceeded,
    first::NextError,
    keys::Keys,
    log::Sent,
    state::State,
};

impl Writer {
    /// Makes a commit of its own, in the order: what is in doubt is settled and other servers are followed; a new header is stored and read back; the
    /// commit that names it, sealed under the old key; the new keys. Stopped before the commit, it leaves a header that counts for nothing.
    pub(super) async fn change(&mut self, request: &Request) -> Result<Head, ChangeError> {
        if let Err(halt) = self.prepare(true).await {
            return Err(self.explain(halt)().into());
        }
        loop {
            let after = self.shared.read_state(State::head);
            if let Err(Exceeded { anchored }) = self.shared.coverage.check(after) {
                return Err(CommitError::Uncovered { anchored, head: after }.into());
            }
            let change = self.prepare_change(request).await?;
            let n = after.n.saturating_add(1);
            let content = Content { identity: None, transactions: &[], change: Some(change) };
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

    async fn prepare_change(&mut self, request: &Request) -> Result<Change, ChangeError> {
        let keys = self.shared.keys();
        let rng = &*self.shared.rng;
        let rekey = match request {
            Request::Floor(floor) => return Ok(Change::Floor(*floor)),
            Request::Rotate => None,
            Request::Rekey(rekey) => Some(rekey),
        };
        let current = keys.reference.generation;
        if rekey.is_some_and(|rekey| rekey.generation != current.saturating_add(1)) {
            return Err(ChangeError::OtherGeneration { current });
        }
        let root = rekey.map_or(&keys.root, |rekey| &rekey.root);
        let keyring = keys.keyring.with_new_key(rng).map_err(CommitError::Seal)?;
        let sets = rekey.map(|rekey| (&rekey.shares, &rekey.recovery));
        let (header, reference, bytes) =
            keys.header.next((&keyring, root), sets, rng).map_err(|fault| match fault {
                NextError::Seal(fault) => ChangeError::Commit(CommitError::Seal(fault)),
                NextError::Malformed(fault) => ChangeError::Malformed(fault.0),
            })?;
        let path = reference.path();
        if let Sent::InDoubt(fault) = self.shared.log.create(&path, &bytes).await {
            return Err(ChangeError::Header(fault));
        }
        let kept = self.shared.log.read_object(&path).await.map_err(ChangeError::Header)?;
        let kept = kept.ok_or(Damage::MissingHeader { object: path.to_string() });
        kept.and_then(|kept| FirstHeader::stored(reference, &kept))
            .map_err(|damage| ChangeError::Commit(CommitError::Damaged(damage)))?;
        self.pending = Some(Keys { root: root.copy(), keyring, header, reference });
        Ok(Change::Header(reference))
    }
}
