//! An object storage that delays, reorders, fails before or after doing, does later what it said had failed, and lists what was there a while ago. A seeded
//! scheduler decides everything, one request at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::{
    ObjectMeta, ObjectStore, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use tokio::sync::oneshot;

use crate::{
    dice::Dice,
    weather::{Weather, Weathered, broken},
};

pub(super) type Hostile = Weathered<Scheduler>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Do,
    FailBefore,
    FailAfter,
    /// The answer is an error, and it is done some time after.
    Later,
    /// For listings: as it was some requests ago.
    Stale(usize),
}

struct Inner {
    dice: Dice,
    /// Requests that wait for their turn.
    waiting: Vec<oneshot::Sender<Verdict>>,
    /// When each object was first seen, by a count of requests.
    born: BTreeMap<Path, usize>,
    requests: usize,
    kind: bool,
}

/// Clones are the same one.
#[derive(Clone)]
pub(super) struct Scheduler(Arc<Mutex<Inner>>);

impl Scheduler {
    pub(super) fn new(seed: u64) -> Self {
        let inner = Inner {
            dice: Dice(seed),
            waiting: Vec::new(),
            born: BTreeMap::new(),
            requests: 0,
            kind: false,
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// From now on everything that waits is done.
    pub(super) fn be_kind(&self) {
        self.0.lock().unwrap().kind = true;
    }

    /// Lets one request go on; false if none waits.
    pub(super) fn turn(&self) -> bool {
        let mut inner = self.0.lock().unwrap();
        if inner.waiting.is_empty() {
            return false;
        }
        let count = inner.waiting.len();
        let chosen = inner.dice.roll(count);
        let waiting = inner.waiting.swap_remove(chosen);
        let verdict = match (inner.kind, inner.dice.roll(40)) {
            (true, _) => Verdict::Do,
            (false, 0) => Verdict::FailBefore,
            (false, 1) => Verdict::FailAfter,
            (false, 2) => Verdict::Later,
            (false, 3..=8) => Verdict::Stale(inner.dice.roll(30)),
            (false, _) => Verdict::Do,
        };
        // Whoever asked may have been dropped.
        let _dropped = waiting.send(verdict).is_err();
        true
    }

    async fn wait(&self) -> Verdict {
        let (turn, mine) = oneshot::channel();
        {
            let mut inner = self.0.lock().unwrap();
            inner.requests += 1;
            inner.waiting.push(turn);
        }
        mine.await.unwrap()
    }

    fn note(&self, path: &Path) {
        let mut inner = self.0.lock().unwrap();
        let now = inner.requests;
        inner.born.entry(path.clone()).or_insert(now);
    }
}

#[async_trait]
impl Weather for Scheduler {
    async fn put(
        &self,
        objects: &Arc<InMemory>,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let verdict = self.wait().await;
        match verdict {
            Verdict::FailBefore => return Err(broken()),
            Verdict::Later => {
                let (this, objects, path) = (self.clone(), Arc::clone(objects), path.clone());
                drop(tokio::spawn(async move {
                    let _turn = this.wait().await;
                    if objects.put_opts(&path, payload, options).await.is_ok() {
                        this.note(&path);
                    }
                }));
                return Err(broken());
            }
            Verdict::Do | Verdict::FailAfter | Verdict::Stale(_) => {}
        }
        let done = objects.put_opts(path, payload, options).await;
        if done.is_ok() {
            self.note(path);
        }
        if verdict == Verdict::FailAfter { Err(broken()) } else { done }
    }

    async fn read(&self) -> Result<()> {
        match self.wait().await {
            Verdict::Do | Verdict::Stale(_) => Ok(()),
            Verdict::FailBefore | Verdict::FailAfter | Verdict::Later => Err(broken()),
        }
    }

    async fn delete(&self) -> Result<()> {
        match self.wait().await {
            Verdict::Do | Verdict::Stale(_) | Verdict::FailAfter => Ok(()),
            Verdict::FailBefore | Verdict::Later => Err(broken()),
        }
    }

    async fn list(&self, objects: &InMemory, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let age = match self.wait().await {
            Verdict::Do => 0,
            Verdict::Stale(age) => age,
            Verdict::FailBefore | Verdict::FailAfter | Verdict::Later => return Err(broken()),
        };
        let mut shown: Vec<_> = objects.list(prefix).try_collect().await?;
        let inner = self.0.lock().unwrap();
        let until = inner.requests.saturating_sub(age);
        shown.retain(|meta| {
            age == 0 || inner.born.get(&meta.location).is_some_and(|born| *born <= until)
        });
        Ok(shown)
    }
}
