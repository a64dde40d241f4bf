//! What is shown of a group: provisioning state, instance views, events (azure.md D.6).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::group::Group;
use super::logs::Log;
use super::prepare::Unfit;

/// How far a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provisioning {
    /// Accepted, not begun.
    Pending,
    /// Images are pulled and judged.
    Creating,
    /// Its processes were started.
    Succeeded,
    /// It cannot run.
    Failed {
        /// Why, in a word.
        code: String,
        /// Why, in a sentence.
        message: String,
    },
}

/// What is shown of a group.
#[derive(Debug, Clone)]
pub struct View {
    /// How far it is.
    pub provisioning: Provisioning,
    /// `Pending`, `Running`, `Stopped`, `Succeeded` or `Failed`.
    pub state: &'static str,
    /// Events of the group.
    pub events: Vec<Value>,
    /// Instance views by container.
    pub containers: BTreeMap<String, Value>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting(&'static str),
    Running { since: Timestamp, process: u32 },
    Terminated { since: Timestamp, until: Timestamp, exit_code: i32 },
}

/// A container's record.
#[derive(Debug)]
pub(super) struct Record {
    pub phase: Phase,
    pub previous: Option<Phase>,
    pub restarts: u32,
    pub events: Vec<Event>,
    pub log: Log,
}

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    at: Timestamp,
    name: &'static str,
    message: String,
    kind: &'static str,
}

/// A group's record.
#[derive(Debug)]
pub(super) struct Status {
    pub provisioning: Provisioning,
    pub stopped: bool,
    pub events: Vec<Event>,
    pub containers: BTreeMap<String, Record>,
}

impl Status {
    pub(super) fn new(group: &Group) -> Self {
        let record = || Record {
            phase: Phase::Waiting("Waiting"),
            previous: None,
            restarts: 0,
            events: Vec::new(),
            log: Log::default(),
        };
        Self {
            provisioning: Provisioning::Pending,
            stopped: false,
            events: Vec::new(),
            containers: group
                .containers
                .iter()
                .map(|container| (container.name.clone(), record()))
                .collect(),
        }
    }

    pub(super) fn fail(&mut self, now: Timestamp, unfit: &Unfit) {
        self.events.push(Event::warning(now, "Failed", unfit.message.clone()));
        self.provisioning =
            Provisioning::Failed { code: unfit.code.to_owned(), message: unfit.message.clone() };
    }

    pub(super) fn view(&self) -> View {
        let phases = || self.containers.values().map(|record| &record.phase);
        let ended = |phase: &Phase| matches!(phase, Phase::Terminated { exit_code: 0, .. });
        let state = match &self.provisioning {
            Provisioning::Failed { .. } => "Failed",
            Provisioning::Pending | Provisioning::Creating => "Pending",
            Provisioning::Succeeded if self.stopped => "Stopped",
            Provisioning::Succeeded
                if phases().any(|phase| !matches!(phase, Phase::Terminated { .. })) =>
            {
                "Running"
            }
            Provisioning::Succeeded if phases().all(ended) => "Succeeded",
            Provisioning::Succeeded => "Failed",
        };
        View {
            provisioning: self.provisioning.clone(),
            state,
            events: self.events.iter().map(Event::shown).collect(),
            containers: self
                .containers
                .iter()
                .map(|(name, record)| (name.clone(), record.shown()))
                .collect(),
        }
    }
}

impl Record {
    fn shown(&self) -> Value {
        let mut shown = json!({
            "restartCount": self.restarts,
            "currentState": self.phase.shown(),
            "events": self.events.iter().map(Event::shown).collect::<Vec<_>>(),
        });
        if let (Some(previous), Some(shown)) = (&self.previous, shown.as_object_mut()) {
            shown.insert("previousState".to_owned(), previous.shown());
        }
        shown
    }
}

impl Phase {
    fn shown(&self) -> Value {
        match self {
            Self::Waiting(why) => json!({ "state": "Waiting", "detailStatus": why }),
            Self::Running { since, .. } => {
                json!({ "state": "Running", "startTime": since.to_string(), "detailStatus": "" })
            }
            Self::Terminated { since, until, exit_code } => json!({
                "state": "Terminated",
                "startTime": since.to_string(),
                "finishTime": until.to_string(),
                "exitCode": exit_code,
                "detailStatus": if *exit_code == 0 { "Completed" } else { "Error" },
            }),
        }
    }
}

impl Event {
    pub(super) fn normal(at: Timestamp, name: &'static str, message: impl Into<String>) -> Self {
        Self { at, name, message: message.into(), kind: "Normal" }
    }

    pub(super) fn warning(at: Timestamp, name: &'static str, message: impl Into<String>) -> Self {
        Self { at, name, message: message.into(), kind: "Warning" }
    }

    fn shown(&self) -> Value {
        let at = self.at.to_string();
        json!({ "count": 1, "firstTimestamp": at, "lastTimestamp": at, "name": self.name, "message": self.message, "type": self.kind })
    }
}
