//! Birth: the first commit.

use std::sync::{Arc, Mutex, RwLock};

use object_store::ObjectStore;
use tokio::sync::watch;

use super::{Newborn, Origin, Settings, Shared, Store};
use crate::{
    CreateError, Damage, FirstHeader, Head, HeaderRef, KeyId, OpenError, RootKey, Transaction,
    body::Content,
    commit::{Draft, Sealed},
    coverage::Coverage,
    first::{FIRST_GENERATION, first_header},
    keyring::Keyring,
    keys::Keys,
    log::{Log, Sent},
    seal::SealError,
    state::State,
};

impl Store {
    /// Gives birth to a store by writing its first commit, in the order:
    /// 1. there is no log yet;
    /// 2. a new barrier key, sealed under the root key; the header; the commit, which holds the identity key and the first transaction;
    /// 3. the commit, parsed and opened again from its bytes and the root key alone, as every later boot will;
    /// 4. create-if-absent, until its fate is known;
    /// 5. the commit, read back.
    ///
    /// Stopped anywhere it leaves nothing, or a store that opens.
    pub async fn create(
        objects: &Arc<dyn ObjectStore>,
        root: &RootKey,
        newborn: Newborn,
        first: Transaction,
        settings: &Settings,
    ) -> Result<Self, CreateError> {
        let log = settings.log(objects);
        refuse_existing(&log).await?;

        let id = newborn.identity.public().id();
        let keyring = Keyring::generate(&*settings.rng).map_err(SealError::from)?;
        let sealed = keyring.seal(root, id, FIRST_GENERATION, &*settings.rng)?;
        let header = FirstHeader::new(
            newborn.identity.public().clone(),
            sealed,
            newborn.shares,
            newborn.recovery,
        )
        .map_err(|fault| CreateError::Malformed(fault.0))?;
        let clear = header.to_bytes().map_err(|fault| CreateError::Malformed(fault.0))?;
        let transactions = [&first];
        let draft = Draft {
            identity: id,
            after: Head::START,
            clear: &clear,
            content: Content {
                identity: Some(&newborn.identity),
                transactions: &transactions,
                change: None,
            },
        };
        let attempt = draft.seal(&keyring, &*settings.rng)?;
        let head = reopened(&attempt, root)?;

        match log.send(1, &attempt).await {
            Sent::Kept => {}
            Sent::Lost(winner) => return Err(lost(&winner)),
            Sent::InDoubt(fault) => return Err(CreateError::Unavailable(fault)),
        }
        match log.read(1).await.map_err(CreateError::Unavailable)? {
            Some(kept) if kept == attempt => {}
            Some(_) => return Err(Damage::NotOurs { n: 1 }.into()),
            None => return Err(Damage::Missing { n: 1 }.into()),
        }

        let mut state = State::new();
        let _applied = state.apply(head, [&first]);
        let (heads, _) = watch::channel(head);
        let rng = Arc::clone(&settings.rng);
        let identity = newborn.identity;
        Ok(Self::start(Shared {
            log,
            identity,
            rng,
            first: header.clone(),
            keys: Mutex::new(Arc::new(Keys {
                root: root.copy(),
                keyring,
                header,
                reference: HeaderRef::FIRST,
            })),
            origin: Origin::default(),
            state: RwLock::new(state),
            heads,
            coverage: Coverage::new(settings.uncovered, head),
        }))
    }
}

async fn refuse_existing(log: &Log) -> Result<(), CreateError> {
    match log.first().await {
        Ok(None) => Ok(()),
        Ok(Some(winner)) => Err(lost(&winner)),
        Err(OpenError::Damaged(damage)) => Err(damage.into()),
        Err(OpenError::Unavailable(fault)) => Err(CreateError::Unavailable(fault)),
        Err(other) => Err(CreateError::Malformed(other.to_string())),
    }
}

/// Opens the attempt as a later boot will. A fault here is ours, and nothing has been written yet.
fn reopened(attempt: &[u8], root: &RootKey) -> Result<Head, CreateError> {
    let header = first_header(attempt)?;
    let id = header.identity().id();
    let keyring = Keyring::open(header.keyring(), root, id, header.generation())
        .map_err(|_| SealError::Cipher)?;
    let opened = Sealed::parse(1, attempt)?.open(id, Head::START, (&keyring, KeyId::FIRST))?;
    Ok(opened.head)
}

fn lost(winner: &[u8]) -> CreateError {
    match first_header(winner) {
        Ok(header) => CreateError::LostRace { winner: header.identity().id() },
        Err(damage) => damage.into(),
    }
}
