//! An object storage in memory that fails by a script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::{
    Error, ObjectMeta, ObjectStore, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};

use crate::weather::{Weather, Weathered, broken};

pub(super) type Faulty = Weathered<Script>;

/// What happens to the next put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// An error, and nothing is kept.
    Before,
    /// It is kept, and the answer is an error.
    After,
    /// It is kept, and no answer ever comes.
    Silence,
    /// The answer is a success, and nothing is kept.
    Lie,
    /// An error for want of a permission.
    Forbidden,
    /// The process that is being served dies before the put: this and everything later fails.
    DeathBefore,
    /// The process dies after the put.
    DeathAfter,
}

/// What happens to the next puts, one each; later ones are well.
#[derive(Default)]
pub(super) struct Script(Mutex<(VecDeque<Fault>, Life)>);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Alive,
    Dead,
}

impl Faulty {
    pub(super) fn new() -> Self {
        Self::under(Script::default())
    }

    /// What happens to the next puts.
    pub(super) fn next(&self, faults: &[Fault]) {
        self.weather.0.lock().unwrap().0 = faults.iter().copied().collect();
    }
}

impl Script {
    fn alive(&self) -> Result<()> {
        if self.0.lock().unwrap().1 == Life::Alive { Ok(()) } else { Err(broken()) }
    }
}

#[async_trait]
impl Weather for Script {
    async fn put(
        &self,
        objects: &Arc<InMemory>,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.alive()?;
        let fault = {
            let (faults, life) = &mut *self.0.lock().unwrap();
            let fault = faults.pop_front().unwrap_or(Fault::None);
            if matches!(fault, Fault::DeathBefore | Fault::DeathAfter) {
                *life = Life::Dead;
            }
            fault
        };
        match fault {
            Fault::Before | Fault::DeathBefore => return Err(broken()),
            Fault::Lie => {
                return Ok(PutResult { e_tag: None, version: None, extensions: <_>::default() });
            }
            Fault::Forbidden => {
                return Err(Error::PermissionDenied {
                    path: path.to_string(),
                    source: "no".into(),
                });
            }
            Fault::None | Fault::After | Fault::Silence | Fault::DeathAfter => {}
        }
        let result = objects.put_opts(path, payload, options).await;
        match fault {
            Fault::After | Fault::DeathAfter => Err(broken()),
            Fault::Silence => futures::future::pending().await,
            Fault::None | Fault::Before | Fault::Lie | Fault::Forbidden | Fault::DeathBefore => {
                result
            }
        }
    }

    async fn read(&self) -> Result<()> {
        self.alive()
    }

    async fn delete(&self) -> Result<()> {
        self.alive()
    }

    async fn list(&self, objects: &InMemory, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        self.alive()?;
        objects.list(prefix).try_collect().await
    }
}
