//! What it takes to bring a change into force.

use manifest::Manifest;

use super::Side;
use super::change::Reach;
use super::server::Software;
use super::texts::{Key, Policies};
use crate::resource::Kind as ResourceKind;
use crate::resources::Names;

/// What it takes, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: the two mean the same.
    Nothing,
    /// A signer's signature on the manifest; running servers take it as it is.
    Signature,
    /// A signature, and a deploy that changes resources; the master key stays.
    Deploy,
    /// A new master key, to which a running server hands over.
    HandOver,
    /// Another deployment, with a store of its own.
    NewDeployment,
}

impl Need {
    /// The need's name for programs, which does not change.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Signature => "signature",
            Self::Deploy => "deploy",
            Self::HandOver => "hand-over",
            Self::NewDeployment => "new-deployment",
        }
    }

    /// The need as a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Signature => "a signer's signature; running servers take the manifest as it is",
            Self::Deploy => {
                "a signer's signature and a deploy, which changes resources; the master key stays"
            }
            Self::HandOver => {
                "a new master key and a hand-over: policies, image or trust root are others"
            }
            Self::NewDeployment => {
                "a new deployment: the old one and its store stay where they are"
            }
        }
    }
}

/// What becomes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is taken down and made anew.
    Replaced,
    /// Another one is made; the old one stays, and nothing looks at it any more.
    MadeBeside,
    /// `deploy` will refuse it, because Azure cannot change it.
    Refused,
}

impl Fate {
    /// The fate's name for programs, which does not change.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::MadeBeside => "made-beside",
            Self::Refused => "refused",
        }
    }
}

/// A resource that does not stay as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// What becomes of it.
    pub fate: Fate,
    /// Which kind of resource.
    pub kind: &'static str,
    /// Its name; the new one, if another is made.
    pub name: String,
    /// Why.
    pub reason: String,
}

pub(super) fn need(
    old: &Side<'_>,
    new: &Side<'_>,
    software: Software,
    policies: &Policies,
    reach: Reach,
) -> Need {
    let (a, b) = (old.manifest, new.manifest);
    let moved = a.deployment().name != b.deployment().name
        || a.master_key().address != b.master_key().address
        || a.storage().account != b.storage().account
        || a.storage().container != b.storage().container
        || a.azure().subscription != b.azure().subscription
        || a.azure().resource_group != b.azure().resource_group;
    match (moved, software, policies.key, reach) {
        (true, _, _, _) => Need::NewDeployment,
        (false, Software::Other, _, _) | (false, _, Key::Another, _) => Need::HandOver,
        (false, Software::Same, Key::Stays, Reach::Resources) => Need::Deploy,
        (false, Software::Same, Key::Stays, Reach::Rules) => Need::Signature,
        (false, Software::Same, Key::Stays, Reach::Nowhere) => Need::Nothing,
    }
}

pub(super) fn touched(old: &Manifest, new: &Manifest, software: Software) -> Vec<Touched> {
    let (before, after) = (Names::of(old), Names::of(new));
    let mut touched = Vec::new();
    for ((kind, was), (_, is)) in before.each().into_iter().zip(after.each()) {
        if !is.is(was.as_str()) {
            touched.push(Touched {
                fate: Fate::MadeBeside,
                kind: kind.label(),
                name: is.name().to_owned(),
                reason: format!("{} stays", was.as_str()),
            });
        }
    }
    let mut same = |id: &crate::ResourceId, fate, kind: ResourceKind, reason: String| {
        touched.push(Touched { fate, kind: kind.label(), name: id.name().to_owned(), reason });
    };
    if old.azure().location != new.azure().location && before.group.is(after.group.as_str()) {
        let reason = "Azure moves no resource to another location".to_owned();
        same(&after.group, Fate::Refused, ResourceKind::ResourceGroup, reason);
    }
    if before.provider.is(after.provider.as_str())
        && old.attestation().trust != new.attestation().trust
    {
        let reason = format!("its trust model becomes {}", new.attestation().trust);
        same(&after.provider, Fate::Replaced, ResourceKind::AttestationProvider, reason);
    }
    if before.vault.is(after.vault.as_str()) {
        let (was, is) = (old.master_key(), new.master_key());
        if was.retention_days != is.retention_days {
            let reason = "a vault's retention cannot be changed".to_owned();
            same(&after.vault, Fate::Refused, ResourceKind::KeyVault, reason);
        }
        if was.purge_protection && !is.purge_protection {
            let reason = "purge protection cannot be turned off".to_owned();
            same(&after.vault, Fate::Refused, ResourceKind::KeyVault, reason);
        }
    }
    if before.server.is(after.server.as_str()) {
        let reasons = group_reasons(old, new, software);
        if !reasons.is_empty() {
            let reason = format!("it changes {}", reasons.join(", "));
            same(&after.server, Fate::Replaced, ResourceKind::ContainerGroup, reason);
        }
    }
    touched
}

/// What of the container group is another; any of it makes Azure start it anew.
fn group_reasons(old: &Manifest, new: &Manifest, software: Software) -> Vec<&'static str> {
    let (a, b) = (old.server(), new.server());
    let reasons = [
        ("its software", software == Software::Other),
        ("its identity", a.identity != b.identity),
        ("its registry", a.registry != b.registry || a.repository != b.repository),
        ("its size", a.cpu != b.cpu || a.memory_gb.total_cmp(&b.memory_gb).is_ne()),
    ];
    reasons.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect()
}
