//! The plan: what is to be done so that Azure is as the manifest says, why, and what is refused.
//!
//! [`plan`] is pure. It takes what should be, what is, and what this machine and the lock know, and leaves nothing to
//! choose: applying a plan only fills in what Azure makes up meanwhile (a principal, a key's version). What cannot be
//! repaired without losing or trusting something is a [`Refusal`] with its remedy, and a plan with one is not applied.

mod action;
mod compare;
mod documents;
mod key;
mod resources;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use infra::Rendered;
use jiff::Timestamp;
use manifest::Manifest;

use crate::inventory::Inventory;
use crate::lock::Lock;
use crate::record::Record;
use crate::tls::Certificate;

pub use action::{Action, BundleDraft, Effect, KeyChoice, Operation};
pub use compare::{Change, compare};
pub(crate) use key::check_key;
pub(crate) use resources::{name, signer_fingerprint};

/// What should be.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// What it means in Azure.
    pub rendered: &'a Rendered,
    /// The time.
    pub now: Timestamp,
}

/// What is known apart from Azure.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// The lock.
    pub lock: Option<Lock>,
    /// What this machine asked for and has not seen confirmed.
    pub record: Option<Record>,
    /// A version of the master key that the user vouches for.
    pub adopt: Option<String>,
    /// Whether an empty store may take the place of one that is gone.
    pub new_store: NewStore,
    /// The certificate in the PKCS#12 file that the manifest names, if the file is at hand and opens.
    pub brought: Option<Certificate>,
}

/// Whether an empty store may take the place of one that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewStore {
    /// It may not.
    #[default]
    Refused,
    /// The user said so.
    Permitted,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The deployment's name.
    pub deployment: String,
    /// The manifest's revision.
    pub revision: u64,
    /// The steps, in order.
    pub actions: Vec<Action>,
    /// What is not done.
    pub refusals: Vec<Refusal>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// What could not be looked at before some of the steps are done; then there is another plan.
    pub unread: BTreeSet<&'static str>,
}

/// Something that differs and is not repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Plan {
    /// Whether Azure is as it should be.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if !self.refusals.is_empty() {
            Outcome::Refused
        } else if self.actions.is_empty() && self.unread.is_empty() {
            Outcome::NoChanges
        } else {
            Outcome::Changes
        }
    }

    fn refuse(
        &mut self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refusals.push(Refusal {
            subject: subject.into(),
            reason: reason.into(),
            remedy: remedy.into(),
        });
    }

    fn act(&mut self, operation: Operation, subject: impl Into<String>, reason: impl Into<String>) {
        self.actions.push(Action {
            operation,
            subject: subject.into(),
            reason: reason.into(),
            changes: Vec::new(),
        });
    }
}

/// What a plan comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is to be done.
    NoChanges,
    /// Something is.
    Changes,
    /// Something would have to be done that is never done silently.
    Refused,
}

/// Compares what should be with what is.
#[must_use]
pub fn plan(intent: Intent<'_>, have: &Inventory, local: &Local) -> Plan {
    let mut plan = Plan {
        deployment: intent.manifest.deployment().name.to_string(),
        revision: intent.manifest.deployment().revision,
        actions: Vec::new(),
        refusals: Vec::new(),
        notes: Vec::new(),
        unread: BTreeSet::new(),
    };
    notes(intent, &mut plan);
    resources::foundation(intent, have, &mut plan);
    resources::image(intent, have, &mut plan);
    resources::attestation_policy(intent, have, &mut plan);
    documents::history(have, &mut plan);
    let choice = key::choose(intent, have, local, &mut plan);
    resources::after_key(intent, have, &choice, &mut plan);
    documents::plan(intent, have, local, choice, &mut plan);
    plan
}

/// Older images that may still have the key, until when.
fn notes(intent: Intent<'_>, plan: &mut Plan) {
    let today = intent.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    for image in &intent.manifest.server().permitted {
        let host_data = image.host_data;
        plan.notes.push(if image.until < today {
            format!(
                "the older image {host_data} was permitted until {} and is not any more",
                image.until
            )
        } else {
            format!("the older image {host_data} may have the master key until {}", image.until)
        });
    }
}
