//! Why the writer does not write, and what it says of that.

use std::sync::Arc;

use super::Writer;
use crate::{CommitError, Damage, StorageError, keys::Unfollowed};

/// Why nothing is written any more.
#[derive(Clone)]
pub(super) enum Stopped {
    /// Found in the log.
    Damaged(Damage),
    /// To this generation.
    Rekeyed(u32),
}

/// Why nothing can be sent now.
pub(super) enum Halt {
    Stopped(Stopped),
    Unavailable(StorageError),
}

impl From<Damage> for Halt {
    fn from(damage: Damage) -> Self {
        Self::Stopped(Stopped::Damaged(damage))
    }
}

impl From<Unfollowed> for Halt {
    fn from(fault: Unfollowed) -> Self {
        match fault {
            Unfollowed::Damaged(damage) => damage.into(),
            Unfollowed::Unavailable(fault) => Self::Unavailable(fault),
            // Of a store that is open, ours is the one in force.
            Unfollowed::OtherRoot(reference) => {
                let object = reference.path().to_string();
                Damage::Header { object, what: "its keyring does not open".into() }.into()
            }
            Unfollowed::Rekeyed(generation) => Self::Stopped(Stopped::Rekeyed(generation)),
        }
    }
}

impl Writer {
    /// Remembers damage, and makes the answer for each who waits.
    pub(super) fn explain(&mut self, halt: Halt) -> impl Fn() -> CommitError + use<> {
        let halt = match halt {
            Halt::Stopped(stopped) => {
                match &stopped {
                    Stopped::Damaged(damage) => {
                        tracing::error!(%damage, "the log is damaged, no more commits are made");
                    }
                    Stopped::Rekeyed(generation) => {
                        tracing::error!(generation, "rekeyed elsewhere, no more commits are made");
                    }
                }
                self.stopped = Some(stopped.clone());
                Err(stopped)
            }
            Halt::Unavailable(fault) => Ok(Arc::new(fault)),
        };
        move || match &halt {
            Err(Stopped::Damaged(damage)) => CommitError::Damaged(damage.clone()),
            Err(Stopped::Rekeyed(generation)) => CommitError::Rekeyed { generation: *generation },
            Ok(fault) => CommitError::Unavailable(Arc::clone(fault)),
        }
    }
}
