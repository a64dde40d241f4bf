//! The place of one run of a group: its record, and the two signals between it and those who stop it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::group::Group;
use super::view::{Record, Status};

/// One run.
#[derive(Debug)]
pub(super) struct Slot {
    status: Mutex<Status>,
    stop: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl Slot {
    pub(super) fn new(group: &Group) -> Self {
        Self {
            status: Mutex::new(Status::new(group)),
            stop: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        }
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Status) -> R) -> R {
        look(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change(&self, alter: impl FnOnce(&mut Status)) {
        alter(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn record(&self, container: &str, alter: impl FnOnce(&mut Record)) {
        self.change(|status| {
            if let Some(record) = status.containers.get_mut(container) {
                alter(record);
            }
        });
    }

    /// Ask the run to stop.
    pub(super) fn stop(&self) {
        self.change(|status| status.stopped = true);
        self.stop.send_replace(true);
    }

    pub(super) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) async fn stop_asked(&self) {
        let mut seen = self.stop.subscribe();
        // The sender lives in self, so this fails only when nobody is left to care.
        let _ = seen.wait_for(|stop| *stop).await.is_ok();
    }

    /// The run is over.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    pub(super) async fn ended(&self) {
        let mut seen = self.ended.subscribe();
        let _ = seen.wait_for(|ended| *ended).await.is_ok();
    }
}
