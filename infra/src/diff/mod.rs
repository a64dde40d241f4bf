//! What a change of a manifest means: who gains and who loses what, which protections are weaker, and what it takes.
//!
//! [`diff`] compares two manifests by meaning. The order of keys, comments and the names that only people read (of a
//! workload, an operator, a signer, a holder) mean nothing and give nothing; a workload is what its evidence must show,
//! an operator is who logs in.
//!
//! A change weakens if somebody gains something that was there before, or if a protection is lower; whoever can only be
//! told from others by what this crate does not know (an image that was not measured) is taken for a stranger.
//! The image is not measured here, so the server's own HOST_DATA is not known: texts have a name in its place.
//!
//! It trusts its arguments, decides nothing for any program, and renders nothing that is deployed.

mod anchors;
mod change;
mod keeping;
mod matching;
mod needs;
mod operators;
mod requirements;
mod server;
mod show;
mod texts;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use manifest::{Manifest, Name};
use protocol::SignerId;

use crate::RenderError;

pub use change::{Change, Effect, Kind};
pub use needs::{Fate, Need, Touched};
pub use show::{json, markdown, text};
pub use texts::TextDiff;

use change::Changes;

/// A manifest with what is known of its signers.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    /// What messages call it.
    pub name: String,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its signers.
    pub signers: BTreeMap<Name, SignerKey>,
}

/// What is known of a signer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignerKey {
    /// Its key.
    Known(SignerId),
    /// Its certificate could not be read, only where it should be.
    Unread(String),
}

/// What two manifests mean differently.
#[derive(Debug, Clone)]
pub struct Diff {
    /// What messages call the two sides.
    pub names: [String; 2],
    /// The deployment and its revision on both sides.
    pub revisions: [u64; 2],
    /// Every change, the worst first.
    pub changes: Vec<Change>,
    /// What it takes to bring it into force.
    pub need: Need,
    /// The resources that do not stay as they are.
    pub touched: Vec<Touched>,
    /// The policies' texts, where they differ.
    pub texts: Vec<TextDiff>,
    /// What the comparison could not see.
    pub unseen: Vec<String>,
}

/// Whether somebody has to look twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is weaker than it was.
    NothingWeakened,
    /// Something is.
    Weakened,
}

impl Diff {
    /// Whether anything is weaker.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.changes.iter().any(|change| change.effect == Effect::Weakens) {
            true => Verdict::Weakened,
            false => Verdict::NothingWeakened,
        }
    }

    /// Whether the two mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.touched.is_empty() && self.texts.is_empty()
    }
}

/// Compares two manifests. `today` decides which older images are still permitted, on both sides.
///
/// # Errors
/// A policy that cannot be rendered.
pub fn diff(old: &Side<'_>, new: &Side<'_>, today: Date) -> Result<Diff, RenderError> {
    let mut changes = Changes::default();
    anchors::compare(old, new, &mut changes);
    let software = server::compare(old, new, today, &mut changes);
    keeping::compare(old.manifest, new.manifest, &mut changes);
    operators::compare(old.manifest, new.manifest, &mut changes);
    workloads::compare(old.manifest, new.manifest, &mut changes);
    let policies = texts::policies(old, new, software, today)?;
    let touched = needs::touched(old.manifest, new.manifest, software);
    let need = needs::need(old, new, software, &policies, changes.reach());
    keeping::revision(old.manifest, new.manifest, need, &mut changes);
    Ok(Diff {
        names: [old.name.clone(), new.name.clone()],
        revisions: [old, new].map(|side| side.manifest.deployment().revision),
        changes: changes.sorted(),
        need,
        touched,
        texts: policies.texts,
        unseen: unseen(old, new).into_iter().collect(),
    })
}

fn unseen(old: &Side<'_>, new: &Side<'_>) -> Option<String> {
    let unread = [old, new].into_iter().flat_map(|side| &side.signers);
    let unread = unread.filter(|(_, key)| matches!(key, SignerKey::Unread(_)));
    let names: BTreeSet<&str> = unread.map(|(name, _)| name.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| {
        format!(
            "the certificates of the signers {names} could not be read: whether these are the same keys is not known"
        )
    })
}
