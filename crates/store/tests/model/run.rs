//! One seed: servers, their callers, the storage, and the judgement.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use object_store::ObjectStore;
use store::{
    AnchorError, ChangeError, CommitError, CompactError, Damage, Demand, OpenError, Retention,
    Settings, Store, Transaction, Uncovered,
};
use tokio::task::{JoinHandle, LocalSet, yield_now};

use super::{
    hostile::{Hostile, Scheduler},
    register::{Event, KEYS, Operation, linearizable},
};
use crate::{
    conformance::{World, key, now, settings, value},
    dice::Dice,
};

/// What happened, summed up.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) operations: usize,
    pub(super) acknowledged: usize,
    pub(super) conflicts: usize,
    pub(super) in_doubt: usize,
    pub(super) reopened: usize,
    pub(super) rotated: usize,
    pub(super) saved: usize,
    pub(super) compacted: usize,
    pub(super) sealed: usize,
}

impl Outcome {
    pub(super) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.conflicts += other.conflicts;
        self.in_doubt += other.in_doubt;
        self.reopened += other.reopened;
        self.rotated += other.rotated;
        self.saved += other.saved;
        self.compacted += other.compacted;
        self.sealed += other.sealed;
    }
}

/// What all tasks of one seed share. There is one thread.
struct Shared {
    world: World,
    storage: Hostile,
    dice: RefCell<Dice>,
    events: RefCell<Vec<(usize, Event)>>,
    doubted: RefCell<Vec<(usize, Operation)>>,
    servers: RefCell<Vec<Store>>,
    outcome: RefCell<Outcome>,
    next: RefCell<u32>,
    busy: RefCell<usize>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
}

impl Shared {
    fn roll(&self, sides: usize) -> usize {
        self.dice.borrow_mut().roll(sides)
    }

    fn server(&self) -> Store {
        let chosen = self.roll(SERVERS);
        self.servers.borrow()[chosen].clone()
    }

    fn call(&self, operation: Operation) -> usize {
        let mut outcome = self.outcome.borrow_mut();
        let id = outcome.operations;
        outcome.operations += 1;
        self.events.borrow_mut().push((id, Event::Call(operation)));
        id
    }

    fn returned(&self, id: usize, operation: Operation) {
        self.outcome.borrow_mut().acknowledged += 1;
        self.events.borrow_mut().push((id, Event::Return(operation)));
    }

    /// It had no effect, whatever else happens.
    fn withdrawn(&self, id: usize) {
        self.events.borrow_mut().retain(|(one, _)| *one != id);
    }

    fn doubt(&self, id: usize, operation: Operation) {
        self.outcome.borrow_mut().in_doubt += 1;
        self.doubted.borrow_mut().push((id, operation));
    }

    fn fresh(&self) -> u32 {
        *self.next.borrow_mut() += 1;
        *self.next.borrow()
    }
}

pub(super) fn run(seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    LocalSet::new().block_on(&runtime, scheduled(seed))
}

fn patient() -> Settings {
    Settings {
        // One try: what fails is in doubt, and settled by the next write. Nothing waits for a clock.
        request: Duration::from_secs(3600),
        patience: Duration::ZERO,
        uncovered: Uncovered { commits: u64::MAX, age: Duration::MAX },
        ..settings()
    }
}

async fn scheduled(seed: u64) -> Outcome {
    let storage = Hostile::under(Scheduler::new(seed ^ 0x5eed));
    let (mut world, store) = World::birth(storage.honest()).await;
    drop(store);
    world.objects = storage.objects();
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(reopened(&world, &storage.honest()).await.unwrap());
    }
    // Those servers see an honest storage only while they open.
    servers.clear();
    let shared = Rc::new(Shared {
        world,
        storage,
        dice: RefCell::new(Dice(seed)),
        events: RefCell::default(),
        doubted: RefCell::default(),
        servers: RefCell::new(servers),
        outcome: RefCell::default(),
        next: RefCell::new(0),
        busy: RefCell::new(0),
        tasks: RefCell::default(),
    });
    let opening = tokio::task::spawn_local({
        let shared = Rc::clone(&shared);
        async move {
            while shared.servers.borrow().len() < SERVERS {
                if let Ok(store) = reopened(&shared.world, &shared.world.objects).await {
                    shared.servers.borrow_mut().push(store);
                }
            }
            for _ in 0..CALLERS {
                start(&shared, caller);
            }
            start(&shared, maintainer);
        }
    });
    loop {
        // Until everybody waits for the storage.
        for _ in 0..40 {
            yield_now().await;
        }
        let waited = shared.storage.weather.turn();
        if !waited && opening.is_finished() && *shared.busy.borrow() == 0 {
            break;
        }
    }
    opening.await.unwrap();
    judge(seed, &shared).await
}

fn start<F: Future<Output = ()> + 'static>(shared: &Rc<Shared>, task: fn(Rc<Shared>) -> F) {
    *shared.busy.borrow_mut() += 1;
    let its = Rc::clone(shared);
    let running = tokio::task::spawn_local(async move {
        let guard = Busy(Rc::clone(&its));
        task(its).await;
        drop(guard);
    });
    shared.tasks.borrow_mut().push(running);
}

struct Busy(Rc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.busy.borrow_mut() -= 1;
    }
}

async fn reopened(world: &World, objects: &Arc<dyn ObjectStore>) -> Result<Store, OpenError> {
    let demand = world.anchored(Demand::Anchored);
    let opened = Store::open(objects, &world.root, &world.id, demand, &patient()).await;
    if let Err(fault) = &opened {
        // A stale listing may hide the newest snapshot of a compacted log; nothing else may look like damage.
        let lagging = matches!(fault, OpenError::Unavailable(_))
            || matches!(
                fault,
                OpenError::Damaged(Damage::Forgotten { .. } | Damage::Snapshot { .. })
            );
        assert!(lagging, "{fault}");
    }
    opened
}

/// Somebody who asks one thing after the other, of any server.
async fn caller(shared: Rc<Shared>) {
    for _ in 0..OPERATIONS {
        let server = shared.server();
        match shared.roll(10) {
            0..=2 => read(&shared, &server).await,
            3..=6 => {
                let first = shared.roll(KEYS);
                let mut keys = vec![first];
                if shared.roll(3) == 0 {
                    keys.push((first + 1) % KEYS);
                }
                write(&shared, &server, keys, None).await;
            }
            _ => {
                let chosen = shared.roll(KEYS);
                let expected = seen(&server)[chosen];
                write(&shared, &server, vec![chosen], Some(expected)).await;
            }
        }
    }
}

/// Keys as a server has them now.
fn seen(server: &Store) -> [u32; KEYS] {
    let snapshot = server.snapshot();
    std::array::from_fn(|i| {
        snapshot
            .entry(&key(&format!("key/{i}")))
            .map_or(0, |entry| u32::from_be_bytes(entry.value.expose_secret().try_into().unwrap()))
    })
}

async fn read(shared: &Shared, server: &Store) {
    let id = shared.call(Operation::Read { seen: [0; KEYS] });
    match server.refresh().await {
        Ok(_) => shared.returned(id, Operation::Read { seen: seen(server) }),
        Err(fault) => {
            harmless(&fault);
            shared.withdrawn(id);
        }
    }
}

async fn write(shared: &Shared, server: &Store, keys: Vec<usize>, expected: Option<u32>) {
    let number = shared.fresh();
    let name = |i: &usize| key(&format!("key/{i}"));
    let mut transaction = Transaction::new(now());
    for i in &keys {
        transaction = transaction.put(name(i), value(&number.to_be_bytes()));
    }
    if let Some(expected) = expected {
        // A value is written once, so it stands for its version.
        transaction = match server.entry(&name(&keys[0])) {
            Some(entry) => transaction.require(name(&keys[0]), entry.version),
            None => transaction.require_absent(name(&keys[0])),
        };
        assert_eq!(seen(server)[keys[0]], expected, "nothing ran in between");
    }
    let transaction = transaction.audit(value(&number.to_be_bytes()));
    let doubted = Operation::Doubted { keys: keys.clone(), expected, value: number };
    let done = match expected {
        None => Operation::Write { keys: keys.clone(), value: number },
        Some(expected) => Operation::Set { key: keys[0], expected, value: number },
    };
    let id = shared.call(done.clone());
    match (server.commit(transaction).await, expected) {
        (Ok(_), _) => shared.returned(id, done),
        (Err(CommitError::Conflict { .. }), Some(expected)) => {
            shared.outcome.borrow_mut().conflicts += 1;
            shared.returned(id, Operation::Refused { key: keys[0], expected });
        }
        (Err(CommitError::InDoubt(_)), _) => shared.doubt(id, doubted),
        // The server was dropped before it answered.
        (Err(CommitError::Closed), _) => shared.doubt(id, doubted),
        (Err(fault), _) => {
            harmless(&fault);
            shared.withdrawn(id);
        }
    }
}

/// The storage failed, or the server was stalled for so long that what it has to read is gone. Anything else is a fault of ours.
fn harmless(fault: &CommitError) {
    let harmless = matches!(
        fault,
        CommitError::Unavailable(_)
            | CommitError::InDoubt(_)
            | CommitError::Damaged(Damage::Forgotten { .. })
    );
    assert!(harmless, "{fault}");
}

/// Rotates, saves, compacts, anchors, and replaces servers as if they had died.
async fn maintainer(shared: Rc<Shared>) {
    for _ in 0..MAINTENANCE {
        let server = shared.server();
        let anchors = &shared.world.anchors;
        match shared.roll(12) {
            0 | 1 => match server.rotate().await {
                Ok(_) => shared.outcome.borrow_mut().rotated += 1,
                Err(fault) => harmless_change(&fault),
            },
            2..=5 => {
                let saved = server.save().await.is_ok();
                shared.outcome.borrow_mut().saved += usize::from(saved);
            }
            6 | 7 => match server.compact(Retention { commits: 2 }, anchors).await {
                Ok(compacted) => {
                    shared.outcome.borrow_mut().compacted += usize::from(compacted.dropped > 0);
                }
                Err(CompactError::Change(fault)) => harmless_change(&fault),
                Err(CompactError::TooFewSnapshots { .. } | CompactError::Unavailable(_)) => {}
                Err(CompactError::Anchor(fault)) => lags(&fault),
            },
            8 | 9 => {
                if let Err(fault) = server.raise_anchor(anchors).await {
                    lags(&fault);
                }
            }
            _ => {
                let replaced = shared.roll(SERVERS);
                if let Ok(store) = reopened(&shared.world, &shared.world.objects).await {
                    shared.servers.borrow_mut()[replaced] = store;
                    shared.outcome.borrow_mut().reopened += 1;
                }
            }
        }
    }
}

/// The anchor is under a key that this server has not followed to yet, or it was stalled since before a compaction.
fn lags(fault: &AnchorError) {
    // A server behind the anchor reads the log first, which the storage may refuse.
    let harmless = matches!(
        fault,
        AnchorError::NotOurs(_)
            | AnchorError::TooOld { .. }
            | AnchorError::Ahead { .. }
            | AnchorError::Follow(_)
    );
    assert!(harmless, "{fault}");
}

fn harmless_change(fault: &ChangeError) {
    match fault {
        ChangeError::Commit(fault) => harmless(fault),
        ChangeError::Header(_) | ChangeError::Save(_) | ChangeError::Superseded => {}
        ChangeError::OtherGeneration { .. } | ChangeError::Malformed(_) => panic!("{fault}"),
    }
}

async fn judge(seed: u64, shared: &Shared) -> Outcome {
    for task in shared.tasks.take() {
        task.await.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
    shared.storage.weather.be_kind();
    while shared.storage.weather.turn() {
        yield_now().await;
    }
    // A process that comes after all of them, over what is really there.
    let last = reopened(&shared.world, &shared.storage.honest()).await.unwrap();
    let id = shared.call(Operation::Read { seen: [0; KEYS] });
    shared.returned(id, Operation::Read { seen: seen(&last) });
    let mut events = shared.events.take();
    events.extend(shared.doubted.take().into_iter().map(|(id, one)| (id, Event::Return(one))));
    let history = || events.iter().map(|(id, one)| format!("{id} {one:?}\n")).collect::<String>();
    assert!(linearizable(events.clone()), "seed {seed} is not linearizable:\n{}", history());

    let mut outcome = shared.outcome.take();
    outcome.sealed = each_salt_once(&shared.storage);
    outcome
}

/// Every sealing has a key of its own, derived from a salt, and one nonce. So no pair seals two texts if no salt is beside two.
fn each_salt_once(storage: &Hostile) -> usize {
    let mut texts: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (path, bytes) in storage.sent() {
        let folder = path.as_ref().split('/').next().unwrap().to_owned();
        let salt = match folder.as_str() {
            "log" if bytes.as_ref() == b"vouchgap" => continue,
            "log" => bytes[56..88].to_vec(),
            "snapshot" => bytes[44..76].to_vec(),
            "keyring" => {
                let header: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                let keyring = header["keyring"].as_str().unwrap();
                URL_SAFE_NO_PAD.decode(keyring).unwrap()[1..33].to_vec()
            }
            other => panic!("an object in {other}"),
        };
        let before = texts.insert(salt, bytes.to_vec());
        assert!(before.is_none_or(|before| before == bytes), "one salt, two texts: {path}");
    }
    texts.len()
}

const SERVERS: usize = 3;
const CALLERS: usize = 5;
const OPERATIONS: usize = 14;
const MAINTENANCE: usize = 30;
