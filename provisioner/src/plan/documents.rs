//! The steps about what the provisioner signs: artefacts, bundle, manifest, and, once a server was born, its identity.

use std::collections::{BTreeMap, BTreeSet};

use evidence::Sha256;
use jiff::SignedDuration;
use manifest::{StorageAuth, TlsSource};
use protocol::bundle::{Artefact, BundleBody, Identity, SecretRef, StoreAuth, StoreRef};

use super::resources::StoreChange;
use super::{BundleDraft, Intent, KeyChoice, Local, NewStore, Operation, Plan, resources};
use crate::inventory::{
    Birth, FoundArtefact, FoundBundle, FoundManifest, Inventory, Reading, Vault,
};
use crate::tls::Certificate;

pub(super) fn plan(
    intent: Intent<'_>,
    have: &Inventory,
    local: &Local,
    key: Option<KeyChoice>,
    plan: &mut Plan,
) {
    let manifest = signed_manifest(intent, have, local, plan);
    // What must be signed, and so whether a group can start on it, is known only when the container can be looked at.
    if matches!(have.store, Reading::Denied) {
        return;
    }
    let Some(key) = key else { return };
    let nothing = Vault::default();
    let vault = have.vault.found().unwrap_or(&nothing);
    // One older than the lock was put back by somebody; nothing of it is signed again.
    let known = local.lock.as_ref().map_or(0, |lock| lock.serial);
    let signed = match &vault.bundle {
        FoundBundle::Signed(body) if body.serial >= known => Some(&**body),
        FoundBundle::Signed(_) | FoundBundle::Missing | FoundBundle::Invalid(_) => None,
    };
    let Ok(identity) = identity(have, local, signed, plan) else { return };
    let (keep, wrap) = artefacts(intent, have, local, (vault, signed), &key, plan);
    let birth = signed.filter(|body| body.identity.is_none()).and_then(|body| body.birth);
    if identity.is_none() && birth.is_none() && born(have) {
        plan.refuse(
            "store",
            "its container holds one that no bundle in force names or permits",
            "`destroy` it, or empty the container; or put back the lock of the deployment that it belongs to",
        );
        return;
    }
    let draft = BundleDraft {
        serial: next_serial(signed, local),
        minimum_revision: signed.map_or(plan.revision, |body| body.minimum_revision),
        key,
        keep,
        wrap,
        store: store(intent),
        host_data: intent.rendered.permitted.clone(),
        identity,
        birth,
    };
    let unconfirmed = draft.identity.is_none();
    let serial = match unsigned_because(&draft, vault, local) {
        Some(reason) => {
            let serial = draft.serial;
            let subject = format!("serial {serial}");
            plan.act(Operation::SignBundle(Box::new(draft)), subject, reason);
            serial
        }
        None => signed.map_or(0, |body| body.serial),
    };
    if let Some(reason) = manifest {
        let subject = format!("revision {}", plan.revision);
        plan.act(Operation::SignManifest, subject, reason);
    }
    let had_one = signed.is_some_and(|body| body.identity.is_some());
    let store = if unconfirmed && had_one { StoreChange::BegunAnew } else { StoreChange::None };
    resources::group(intent, have, store, plan);
    if unconfirmed {
        let reason = "no signed bundle names the identity of a store";
        plan.act(Operation::ConfirmStore, intent.manifest.storage().container.as_str(), reason);
    }
    if let Some(reason) = lock(intent, local, signed, serial, plan) {
        plan.act(Operation::WriteLock, format!("revision {}", plan.revision), reason);
    }
}

/// The bundle's history says what is deployed, also beyond what an old lock knows, so all of it must be there to be read.
pub(super) fn history(have: &Inventory, plan: &mut Plan) {
    let hidden = have.vault.found().map_or(&[][..], |vault| &vault.hidden);
    if !hidden.is_empty() {
        let hidden = hidden.join(", ");
        plan.refuse(
            "bundle",
            format!("every version counts, and some cannot be read: {hidden}"),
            "enable, or recover, these versions of the bundle's secret",
        );
    }
}

fn next_serial(signed: Option<&BundleBody>, local: &Local) -> u64 {
    let known = local.lock.as_ref().map_or(0, |lock| lock.serial);
    signed.map_or(0, |body| body.serial).max(known).saturating_add(1)
}

/// Whether the manifest in force is this one, and why not. An older one, or another of the same revision, is refused.
fn signed_manifest(
    intent: Intent<'_>,
    have: &Inventory,
    local: &Local,
    plan: &mut Plan,
) -> Option<String> {
    let ours = plan.revision;
    let digest = intent.manifest.digest();
    let mut known: Vec<(u64, Sha256, &str)> = Vec::new();
    let found = match &have.store {
        Reading::Absent => Some(&FoundManifest::Missing),
        Reading::Denied => {
            plan.unread.insert("the storage container");
            None
        }
        Reading::Found(objects) => Some(&objects.manifest),
    };
    if let Some(FoundManifest::Signed { revision, digest }) = found {
        known.push((*revision, *digest, "in force"));
    }
    if let Some(lock) = &local.lock {
        known.push((lock.revision, lock.manifest_sha256, "in the lock"));
    }
    for (revision, other, place) in known {
        let newer = revision > ours;
        if newer || (revision == ours && other != digest) {
            let reason = match newer {
                true => format!("revision {revision} is {place}, this is revision {ours}"),
                false => format!("revision {revision} is {place} with another content"),
            };
            plan.refuse(
                "manifest",
                reason,
                format!("say revision = {}", revision.saturating_add(1)),
            );
            return None;
        }
    }
    match found? {
        FoundManifest::Missing => Some("there is none".to_owned()),
        FoundManifest::Invalid(why) => Some(format!("what is there is not ours: {why}")),
        FoundManifest::Signed { revision, digest: other }
            if *revision == ours && *other == digest =>
        {
            None
        }
        FoundManifest::Signed { revision, .. } => Some(format!("revision {revision} is in force")),
    }
}

/// The store that the bundle is to name. A store that was confirmed and is gone is not replaced without a word.
fn identity(
    have: &Inventory,
    local: &Local,
    signed: Option<&BundleBody>,
    plan: &mut Plan,
) -> Result<Option<Identity>, ()> {
    let lock = local.lock.as_ref();
    let current = signed.filter(|body| body.serial >= lock.map_or(0, |lock| lock.serial));
    let known = match (current, lock) {
        (Some(body), _) => body.identity.clone(),
        (None, Some(lock)) => Some(Identity { public_key: lock.store.public_key.clone() }),
        (None, None) => None,
    };
    let Some(identity) = known else { return Ok(None) };
    let gone = match &have.store {
        Reading::Denied => return Ok(Some(identity)),
        Reading::Absent => true,
        Reading::Found(objects) => objects.birth == Birth::Unborn,
    };
    match (gone, local.new_store) {
        (false, _) => Ok(Some(identity)),
        (true, NewStore::Permitted) => {
            plan.notes.push(format!(
                "the store {} is gone; an empty one is begun, and every secret has to be written again",
                identity.id()
            ));
            Ok(None)
        }
        (true, NewStore::Refused) => {
            plan.refuse(
                "store",
                format!("the store {} is not in its container", identity.id()),
                "restore the container's objects from a backup; or deploy with --begin-new-store, which loses every secret",
            );
            Err(())
        }
    }
}

fn born(have: &Inventory) -> bool {
    have.store.found().is_some_and(|objects| objects.birth == Birth::Born)
}

/// Which artefacts of the bundle stay, and which are made.
fn artefacts(
    intent: Intent<'_>,
    have: &Inventory,
    local: &Local,
    (vault, signed): (&Vault, Option<&BundleBody>),
    key: &KeyChoice,
    plan: &mut Plan,
) -> (BTreeMap<Artefact, SecretRef>, BTreeSet<Artefact>) {
    let wrapped_with = signed.map(|body| body.master_key.id());
    let same_key = match key {
        KeyChoice::Made => false,
        KeyChoice::Pinned(key) => wrapped_with == Some(key.id()),
    };
    let state = |artefact: Artefact| -> Result<&SecretRef, &'static str> {
        let reference = signed.and_then(|body| body.artefacts.get(&artefact));
        let reference = reference.ok_or("the bundle names none")?;
        match vault.artefacts.get(&artefact) {
            _ if !same_key => Err("is wrapped with another key"),
            Some(FoundArtefact::Same(_)) => Ok(reference),
            Some(FoundArtefact::Missing) | None => Err("the named version is missing or disabled"),
            Some(FoundArtefact::Other) => Err("the named version has another value"),
        }
    };
    let (mut keep, mut wrap) = (BTreeMap::new(), BTreeSet::new());
    match intent.manifest.tls().source {
        TlsSource::Server => {}
        TlsSource::Provisioner | TlsSource::Pkcs12 => {
            let pair = [Artefact::Tls, Artefact::TlsPassword];
            match (
                state(Artefact::Tls),
                state(Artefact::TlsPassword),
                stale(intent, local, vault, plan),
            ) {
                (Ok(tls), Ok(password), None) => {
                    keep.extend(pair.into_iter().zip([tls.clone(), password.clone()]));
                }
                (tls, password, stale) => {
                    let reason = tls.err().or(password.err()).map(str::to_owned).or(stale);
                    let names = intent.manifest.tls().names.iter().map(|name| name.as_str());
                    let names = names.collect::<Vec<_>>().join(", ");
                    plan.act(Operation::StoreTls, names, reason.unwrap_or_default());
                    if signed.is_some_and(|body| body.identity.is_some()) {
                        plan.notes.push(
                            "a running server shows its new certificate after its next start"
                                .to_owned(),
                        );
                    }
                    wrap.extend(pair);
                }
            }
        }
    }
    match intent.manifest.storage().auth {
        StorageAuth::ManagedIdentity => {}
        StorageAuth::AccessKey => match state(Artefact::StorageKey) {
            Ok(_) if account_is_missing(intent, have) => {
                let account = intent.manifest.storage().account.as_str();
                plan.act(Operation::StoreStorageKey, account, "a new account has other keys");
                wrap.insert(Artefact::StorageKey);
            }
            Ok(reference) if have.access_key.is_none() || have.access_key == vault.wrapped_key => {
                keep.insert(Artefact::StorageKey, reference.clone());
            }
            state => {
                let reason = state.err().unwrap_or("the account's access key is another");
                let account = intent.manifest.storage().account.as_str();
                plan.act(Operation::StoreStorageKey, account, reason);
                wrap.insert(Artefact::StorageKey);
            }
        },
    }
    (keep, wrap)
}

fn account_is_missing(intent: Intent<'_>, have: &Inventory) -> bool {
    let account = intent.rendered.resources.find(infra::Kind::StorageAccount);
    account.is_some_and(|account| have.resource(account.id()).is_none())
}

/// Why a stored certificate is to be made anew. One that was brought is replaced when another is brought, and never by itself.
fn stale(intent: Intent<'_>, local: &Local, vault: &Vault, plan: &mut Plan) -> Option<String> {
    let Some(FoundArtefact::Same(Some(certificate))) = vault.artefacts.get(&Artefact::Tls) else {
        return None;
    };
    let names = &intent.manifest.tls().names;
    let names: BTreeSet<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let soon = intent.now.saturating_add(SignedDuration::from_hours(RENEW_DAYS * 24)).ok()?;
    match intent.manifest.tls().source {
        TlsSource::Provisioner if certificate.names != names => {
            let found = certificate.names.iter().cloned().collect::<Vec<_>>().join(", ");
            Some(format!("is for {found}"))
        }
        TlsSource::Provisioner if certificate.expires <= soon => {
            Some(format!("expires at {}", certificate.expires))
        }
        TlsSource::Pkcs12 => {
            let other = |brought: &&Certificate| brought.sha256 != certificate.sha256;
            let brought = local.brought.as_ref().filter(other);
            if brought.is_none() && certificate.expires <= soon {
                plan.notes.push(format!(
                    "the certificate that was brought expires at {}: bring another in the file that [tls] pkcs12 names",
                    certificate.expires
                ));
            }
            brought.map(|brought| {
                format!("the file holds another certificate, which expires at {}", brought.expires)
            })
        }
        TlsSource::Provisioner | TlsSource::Server => None,
    }
}

fn store(intent: Intent<'_>) -> StoreRef {
    let storage = intent.manifest.storage();
    StoreRef {
        endpoint: format!("https://{}.blob.core.windows.net", storage.account),
        account: storage.account.to_string(),
        container: storage.container.to_string(),
        auth: match storage.auth {
            StorageAuth::AccessKey => StoreAuth::AccessKey,
            StorageAuth::ManagedIdentity => StoreAuth::ManagedIdentity,
        },
    }
}

/// Why the bundle in force is not the one that is wanted.
fn unsigned_because(draft: &BundleDraft, vault: &Vault, local: &Local) -> Option<String> {
    let body = match &vault.bundle {
        FoundBundle::Missing => return Some("there is none".to_owned()),
        FoundBundle::Invalid(why) => return Some(format!("what is there is not ours: {why}")),
        FoundBundle::Signed(body) => body,
    };
    if let Some(lock) = local.lock.as_ref().filter(|lock| lock.serial > body.serial) {
        return Some(format!("serial {} was put back over serial {}", body.serial, lock.serial));
    }
    if let Some(old) = vault.put_back {
        return Some(format!("serial {old} was put back over serial {}", body.serial));
    }
    let differs = [
        ("the artefacts", !draft.wrap.is_empty() || draft.keep != body.artefacts),
        ("the master key", draft.key != KeyChoice::Pinned(body.master_key.clone())),
        ("the permitted servers", draft.host_data != body.host_data),
        ("the store's place", draft.store != body.store),
        ("the store's identity", draft.identity != body.identity),
        ("the permitted birth", draft.identity.is_none() && draft.birth.is_none()),
        ("the manifest's place", body.manifest != protocol::signed_manifest::BLOB),
    ];
    let differs: Vec<_> =
        differs.iter().filter(|(_, differs)| *differs).map(|(what, _)| *what).collect();
    (!differs.is_empty()).then(|| format!("changes {}", differs.join(", ")))
}

/// Why the lock is to be written.
fn lock(
    intent: Intent<'_>,
    local: &Local,
    signed: Option<&BundleBody>,
    serial: u64,
    plan: &Plan,
) -> Option<&'static str> {
    let Some(lock) = &local.lock else { return Some("there is none") };
    let pending = plan.actions.iter().any(|action| {
        matches!(
            action.operation,
            Operation::SignBundle(_) | Operation::SignManifest | Operation::ConfirmStore
        )
    });
    let rendered = intent.rendered;
    let same = lock.revision == plan.revision
        && lock.manifest_sha256 == intent.manifest.digest()
        && lock.serial == serial
        && lock.server.host_data == rendered.group.host_data()
        && lock.server.image == rendered.group.image()
        && lock.server.attestation_policy == rendered.attestation.hash().as_str()
        && signed.is_some_and(|body| {
            body.master_key.name == lock.master_key.name
                && body.master_key.version == lock.master_key.version
                && body.identity.as_ref().map(Identity::id) == Some(lock.store.identity)
        });
    (pending || !same).then_some("says something else")
}

/// A certificate is made anew this many days before it ends.
const RENEW_DAYS: i64 = 30;
