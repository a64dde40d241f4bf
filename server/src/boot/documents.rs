//! The documents in force: the bundle and the manifest, neither older than what the store has seen.
//!
//! Both lie where others may write. A signature shows that a signer once wanted them; the serial
//! and the revision that the store has committed show that nothing newer was put aside.

use std::sync::Arc;

use evidence::Sha256;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use protocol::TrustRoot;
use protocol::bundle::{Bundle, BundleBody};
use protocol::signed_manifest::{ManifestError, SignedManifest};
use serde::{Deserialize, Serialize};
use store::{AnchorError, AnchorStore, CommitError, Key, Store, Transaction, Value};

/// A manifest that a signer signed for this deployment, with its text.
pub(crate) struct FoundManifest {
    pub(crate) signed: SignedManifest,
    pub(crate) text: String,
}

/// Reads and verifies the manifest that the bundle points to.
///
/// # Errors
/// It cannot be read, does not verify, or is older than the bundle demands.
pub(crate) async fn manifest(
    objects: &Arc<dyn ObjectStore>,
    trust_root: &TrustRoot,
    bundle: &BundleBody,
) -> Result<FoundManifest, DocumentError> {
    let text = read(objects, &bundle.manifest).await?;
    let signed = SignedManifest::verify(&text, trust_root.deployment(), trust_root.signers())?;
    let found = signed.manifest().deployment().revision;
    if found < bundle.minimum_revision {
        return Err(DocumentError::Old {
            what: "revision of the manifest",
            found,
            minimum: bundle.minimum_revision,
        });
    }
    Ok(FoundManifest { signed, text })
}

async fn read(objects: &Arc<dyn ObjectStore>, path: &str) -> Result<String, DocumentError> {
    let got = objects.get(&Path::from(path)).await.map_err(DocumentError::Read)?;
    if got.meta.size > MAX_MANIFEST {
        return Err(DocumentError::TooLarge { length: got.meta.size });
    }
    let bytes = got.bytes().await.map_err(DocumentError::Read)?;
    String::from_utf8(bytes.into()).map_err(|_| DocumentError::NotText)
}

/// What the store has seen of documents: kept in it, so that neither goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    version: u64,
    serial: u64,
    bundle: Sha256,
    revision: u64,
    manifest: Sha256,
}

impl Seen {
    /// What these documents are.
    fn of(bundle: &Bundle, signed: &SignedManifest) -> Self {
        Self {
            version: 1,
            serial: bundle.body().serial,
            bundle: bundle.digest(),
            revision: signed.manifest().deployment().revision,
            manifest: signed.digest(),
        }
    }

    /// What is to be remembered, if it does not go back behind `before`.
    fn advance(before: Option<Self>, now: Self) -> Result<Self, DocumentError> {
        let Some(before) = before else { return Ok(now) };
        if now.serial < before.serial {
            return Err(DocumentError::Old {
                what: "serial of the bundle",
                found: now.serial,
                minimum: before.serial,
            });
        }
        if now.serial == before.serial && now.bundle != before.bundle {
            return Err(DocumentError::SameSerial { serial: now.serial });
        }
        if now.revision < before.revision {
            return Err(DocumentError::Old {
                what: "revision of the manifest",
                found: now.revision,
                minimum: before.revision,
            });
        }
        if now.revision == before.revision && now.manifest != before.manifest {
            return Err(DocumentError::SameRevision { revision: now.revision });
        }
        Ok(now)
    }
}

/// Commits that the store has seen these documents, unless it had already.
///
/// # Errors
/// They are older than what it has seen, or the store cannot commit.
pub(crate) async fn commit_seen(
    store: &Store,
    bundle: &Bundle,
    signed: &SignedManifest,
    now: Timestamp,
) -> Result<(), DocumentError> {
    commit(store, Seen::of(bundle, signed), now).await
}

/// Puts the documents of a boot into force, and only then anchors the store.
///
/// In this order: a bundle that names no store lets one open without an anchor, so an anchor that
/// was raised before the documents were compared could be had for any beginning of the log, with a
/// bundle of long ago. Once the documents are committed, what is anchored refuses older ones.
///
/// # Errors
/// As [`commit_seen`], and those of the anchor.
pub(crate) async fn settle(
    (store, anchors): (&Store, &dyn AnchorStore),
    bundle: &Bundle,
    signed: &SignedManifest,
    now: Timestamp,
) -> Result<(), DocumentError> {
    settle_seen((store, anchors), Seen::of(bundle, signed), now).await
}

async fn settle_seen(
    (store, anchors): (&Store, &dyn AnchorStore),
    seen: Seen,
    now: Timestamp,
) -> Result<(), DocumentError> {
    commit(store, seen, now).await?;
    let head = store.raise_anchor(anchors).await?;
    tracing::info!(n = head.n, "anchored");
    Ok(())
}

async fn commit(store: &Store, now_seen: Seen, now: Timestamp) -> Result<(), DocumentError> {
    let key = Key::parse(SEEN).map_err(|_| DocumentError::Seen)?;
    let entry = store.entry(&key);
    let before = entry
        .as_ref()
        .map(|entry| serde_json::from_slice::<Seen>(entry.value.expose_secret()))
        .transpose()
        .map_err(|_| DocumentError::Seen)?;
    let seen = Seen::advance(before, now_seen)?;
    if before == Some(seen) {
        return Ok(());
    }
    let value = serde_json::to_vec(&seen).map_err(|_| DocumentError::Seen)?;
    let value = Value::new(value).map_err(|_| DocumentError::Seen)?;
    let transaction = Transaction::new(now);
    let transaction = match entry {
        Some(entry) => transaction.require(key.clone(), entry.version),
        None => transaction.require_absent(key.clone()),
    };
    store.commit(transaction.put(key, value)).await?;
    tracing::info!(serial = seen.serial, revision = seen.revision, "documents in force");
    Ok(())
}

/// A bundle that may follow the one in force in a running server.
///
/// # Errors
/// It is older, or names another master key or another place of the store, which is a hand-over
/// and not supported.
pub(crate) fn follows(new: &Bundle, current: &BundleBody) -> Result<(), DocumentError> {
    let body = new.body();
    if body.serial <= current.serial {
        return Err(DocumentError::Old {
            what: "serial of the bundle",
            found: body.serial,
            minimum: current.serial.saturating_add(1),
        });
    }
    if body.master_key != current.master_key {
        return Err(DocumentError::NotSupported("a new master key (a hand-over)"));
    }
    if body.store != current.store {
        return Err(DocumentError::NotSupported("another place of the store"));
    }
    // A store that no signer has named yet stays the one that was permitted.
    if body.identity.is_none() && body.birth != current.birth {
        return Err(DocumentError::NotSupported("another birth of the store"));
    }
    Ok(())
}

/// Why the documents cannot be in force.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The manifest cannot be read.
    #[error("reading the manifest")]
    Read(#[source] object_store::Error),
    /// The manifest is larger than any that we sign.
    #[error("a manifest of {length} bytes, at most {MAX_MANIFEST} are read")]
    TooLarge {
        /// Its length.
        length: u64,
    },
    /// Not UTF-8.
    #[error("the manifest is not text")]
    NotText,
    /// The manifest does not verify.
    #[error("manifest")]
    Manifest(#[from] ManifestError),
    /// Older than what the bundle demands or the store has seen.
    #[error("{what} is {found}, at least {minimum} is required")]
    Old {
        /// What is too old.
        what: &'static str,
        /// What was found.
        found: u64,
        /// What is required.
        minimum: u64,
    },
    /// Two bundles of one serial.
    #[error("another bundle of serial {serial} has been in force")]
    SameSerial {
        /// The serial of both.
        serial: u64,
    },
    /// Two manifests of one revision.
    #[error("another manifest of revision {revision} has been in force")]
    SameRevision {
        /// The revision of both.
        revision: u64,
    },
    /// The store's record of what it has seen cannot be read or written.
    #[error("the store's record of the documents that it has seen")]
    Seen,
    /// The store cannot commit.
    #[error("committing the documents in force")]
    Commit(#[from] CommitError),
    /// The anchor cannot be raised.
    #[error("anchoring the store")]
    Anchor(#[from] AnchorError),
    /// A change that a running server cannot make.
    #[error("{0} is not supported in a running server")]
    NotSupported(&'static str),
}

/// Where the store keeps [`Seen`].
const SEEN: &str = "system/documents";
/// Bytes; the bound of a signed document.
const MAX_MANIFEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use object_store::memory::InMemory;
    use store::{
        AnchorStoreError, Hash, IdentityKey, Newborn, RecoverySet, RootKey, SealedAnchor, Settings,
        ShareRef, ShareSet,
    };

    use super::*;

    #[derive(Default)]
    struct InMemoryAnchor(Mutex<Option<SealedAnchor>>);

    #[async_trait::async_trait]
    impl AnchorStore for InMemoryAnchor {
        async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
            Ok(self.0.lock().unwrap().clone())
        }

        async fn write(&self, anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
            *self.0.lock().unwrap() = Some(anchor.clone());
            Ok(())
        }
    }

    async fn newborn() -> Store {
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let share = ShareRef { name: "s".into(), version: "1".into(), sha256: Hash::of(b"") };
        let newborn = Newborn {
            identity: IdentityKey::generate().unwrap(),
            shares: ShareSet { threshold: 1, shares: vec![share] },
            recovery: RecoverySet { threshold: 0, shares: Vec::new() },
        };
        let (root, first) =
            (RootKey::generate(&rng).unwrap(), Transaction::new(Timestamp::UNIX_EPOCH));
        Store::create(&objects, &root, newborn, first, &Settings::new(Arc::new(rng))).await.unwrap()
    }

    /// Whoever removed the anchor and put an old bundle back gets no anchor for it.
    #[tokio::test]
    async fn documents_that_go_back_are_refused_before_the_store_is_anchored() {
        let (store, anchors) = (newborn().await, InMemoryAnchor::default());
        commit(&store, seen(2, 1, "a"), Timestamp::UNIX_EPOCH).await.unwrap();

        let refused = settle_seen((&store, &anchors), seen(1, 1, "a"), Timestamp::UNIX_EPOCH).await;
        assert!(matches!(refused, Err(DocumentError::Old { found: 1, minimum: 2, .. })));
        assert!(anchors.0.lock().unwrap().is_none());

        settle_seen((&store, &anchors), seen(3, 1, "a"), Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(anchors.0.lock().unwrap().is_some());
    }

    fn seen(serial: u64, revision: u64, text: &str) -> Seen {
        let bundle = Sha256::of(b"bundle");
        Seen { version: 1, serial, bundle, revision, manifest: Sha256::of(text.as_bytes()) }
    }

    #[test]
    fn documents_move_forward_or_stay() {
        let before = seen(3, 5, "a");
        for now in [seen(3, 5, "a"), seen(4, 5, "a"), seen(3, 6, "b"), seen(9, 9, "c")] {
            assert_eq!(Seen::advance(Some(before), now).unwrap(), now);
        }
        assert_eq!(Seen::advance(None, before).unwrap(), before);
    }

    #[test]
    fn rejects_a_lower_serial() {
        let refused = Seen::advance(Some(seen(3, 5, "a")), seen(2, 6, "b"));
        assert!(matches!(
            refused,
            Err(DocumentError::Old { what: "serial of the bundle", found: 2, minimum: 3 })
        ));
    }

    #[test]
    fn rejects_a_lower_revision() {
        let refused = Seen::advance(Some(seen(3, 5, "a")), seen(4, 4, "b"));
        assert!(matches!(
            refused,
            Err(DocumentError::Old { what: "revision of the manifest", found: 4, minimum: 5 })
        ));
    }

    #[test]
    fn rejects_another_bundle_of_the_same_serial() {
        let other = |serial| Seen { bundle: Sha256::of(b"other"), ..seen(serial, 5, "a") };
        let refused = Seen::advance(Some(seen(3, 5, "a")), other(3));
        assert!(matches!(refused, Err(DocumentError::SameSerial { serial: 3 })));
        Seen::advance(Some(seen(3, 5, "a")), other(4)).unwrap();
    }

    #[test]
    fn rejects_another_manifest_of_the_same_revision() {
        let refused = Seen::advance(Some(seen(3, 5, "a")), seen(4, 5, "b"));
        assert!(matches!(refused, Err(DocumentError::SameRevision { revision: 5 })));
    }
}
