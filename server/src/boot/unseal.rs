//! Second step: the master key, once, and with it everything that is sealed. Afterwards it is gone.

use std::str::FromStr as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use azure::release::TransferKey;
use evidence::{Sha256, Verifier};
use object_store::ObjectStore;
use protocol::bundle::{Bundle, BundleBody, Identity};
use protocol::jwk::EcPublicKey;
use protocol::share::{self, ShareId};
use protocol::wrap::{MasterKey, WrapError};
use secrecy::ExposeSecret as _;
use store::{
    AnchorStore, CombineError, Demand, FirstHeader, Hash, MalformedShare, OpenError, RootKey,
    Settings, Share, ShareSet, Store, read_first, read_headers,
};

use super::artefacts::{self, TlsMaterial};
use super::birth::{self, Outcome};
use super::cold::Services;
use super::documents::{self, FoundManifest};
use super::release::{Released, release};
use super::{BootError, Booted, tls};
use crate::clock::Clock;
use crate::core::{BootIdentity, Core, InForce};
use crate::environment::Environment;
use crate::revocation::Lists;
use crate::vault::{Vault, VaultError};

/// A process with evidence of its boot and a verified bundle.
pub(super) struct Attested {
    pub(super) environment: Environment,
    pub(super) services: Services,
    pub(super) bundle: Bundle,
    pub(super) bundle_text: String,
    pub(super) transfer_key: TransferKey,
    pub(super) boot: BootIdentity,
}

/// A process with an open store, and without the master key.
pub(super) struct Unsealed {
    environment: Environment,
    vault: Vault,
    objects: Arc<dyn ObjectStore>,
    bundle: Bundle,
    bundle_text: String,
    manifest: FoundManifest,
    tls: Option<TlsMaterial>,
    store: Store,
    clock: Clock,
    boot: BootIdentity,
}

impl Attested {
    /// Gets the master key, opens everything that it wraps, and drops it.
    ///
    /// 1. one key release;
    /// 2. TLS material and the way to the storage;
    /// 3. the manifest, which says how a birth splits the root key;
    /// 4. the store: born if there is none and no signer has named one, otherwise opened.
    pub(super) async fn unseal(self) -> Result<Unsealed, BootError> {
        let Self { environment, services, bundle, bundle_text, transfer_key, boot } = self;
        let body = bundle.body();
        let Released { key, issued_at } =
            release(&services, &body.master_key, &boot, transfer_key).await?;
        let clock = Clock::new(issued_at);
        tracing::info!(key = %body.master_key.id(), "master key released");

        let tls = artefacts::tls(&services, &bundle, &key).await?;
        let objects = artefacts::storage(&environment, &services, &bundle, &key).await?;
        let manifest = documents::manifest(&objects, &environment.trust_root, body).await?;

        let Services { vault, .. } = services;
        let store = open_or_birth(&objects, &vault, body, &manifest, &key, &clock).await?;
        drop(key);
        if let Some(latest) = store.latest_time() {
            clock.raise(latest);
        }
        Ok(Unsealed {
            environment,
            vault,
            objects,
            bundle,
            bundle_text,
            manifest,
            tls,
            store,
            clock,
            boot,
        })
    }
}

async fn open_or_birth(
    objects: &Arc<dyn ObjectStore>,
    vault: &Vault,
    bundle: &BundleBody,
    manifest: &FoundManifest,
    key: &MasterKey,
    clock: &Clock,
) -> Result<Store, BootError> {
    let first = read_first(objects).await.map_err(UnsealError::First)?;
    match (first, &bundle.identity) {
        (Some(_), _) => {}
        // A signer has confirmed a store, so an empty container is a loss or an attack, never a new beginning.
        (None, Some(identity)) => {
            return Err(UnsealError::StoreGone { identity: identity.id() }.into());
        }
        (None, None) => {
            let mark = bundle.birth.ok_or(UnsealError::NoStorePermitted)?;
            let manifest = manifest.signed.manifest();
            match birth::birth(objects, vault, (bundle, mark), manifest, key, clock).await? {
                Outcome::Born(store) => return Ok(store),
                Outcome::LostRace => {}
            }
        }
    }
    Ok(open(objects, vault, bundle, key).await?)
}

/// Opens the store that is there.
///
/// 1. its identity is the bundle's, where the bundle names one;
/// 2. of its headers, the newest first, a threshold of the shares that it names: each the exact version with the exact
///    hash, made by a holder of the master key for this identity, or by this store;
/// 3. the root key that they give opens it, and its history reaches the anchor. A header that no commit names, since
///    whoever made it stopped, is passed over. A store that no signer has confirmed may lack an anchor, since its birth
///    may have ended before the first; it gets one once the documents are known not to go back;
/// 4. such a store was born under this very bundle, or one that was signed anew in its place.
async fn open(
    objects: &Arc<dyn ObjectStore>,
    vault: &Vault,
    bundle: &BundleBody,
    key: &MasterKey,
) -> Result<Store, UnsealError> {
    let headers = read_headers(objects).await.map_err(UnsealError::First)?;
    let first = headers.last().ok_or(UnsealError::Vanished)?;
    let id = first.identity().id();
    let found = Sha256::new(*id.as_bytes());
    let demand = match &bundle.identity {
        Some(identity) if identity.id() == found => Demand::Anchored,
        Some(identity) => return Err(UnsealError::OtherStore { expected: identity.id(), found }),
        None => Demand::MayBeAbsent,
    };
    let store = open_by_any(objects, vault, (bundle, &headers, demand), key).await?;
    if bundle.identity.is_none() {
        let mark = bundle.birth.ok_or(UnsealError::NoStorePermitted)?;
        if birth::mark(&store) != Some(mark) {
            return Err(UnsealError::OtherBirth { found });
        }
    }
    Ok(store)
}

/// Opens the store with the shares of whichever header is in force: nobody knows which before it is open.
async fn open_by_any(
    objects: &Arc<dyn ObjectStore>,
    vault: &Vault,
    (bundle, headers, demand): (&BundleBody, &[FirstHeader], Demand),
    key: &MasterKey,
) -> Result<Store, UnsealError> {
    let mut tried: Vec<&ShareSet> = Vec::new();
    let mut reason = UnsealError::Vanished;
    for header in headers {
        // A new barrier key brings a header that names the same shares.
        if tried.contains(&header.shares()) {
            continue;
        }
        tried.push(header.shares());
        let opened = async {
            let id = header.identity().id();
            let identity = Sha256::new(*id.as_bytes());
            let root = root_key(vault, bundle, header, identity, key).await?;
            let anchors = vault.anchor(identity)?;
            let settings = Settings::new(Arc::new(SystemRandom::new()));
            let anchored: (&dyn AnchorStore, Demand) = (&anchors, demand);
            Ok(Store::open(objects, &root, &id, anchored, &settings).await?)
        };
        let (generation, sequence) = (header.generation(), header.sequence());
        match opened.await {
            Ok(store) => return Ok(store),
            // With another generation's shares: the fault is why those of the right one do not open it.
            Err(UnsealError::Open(OpenError::OtherGeneration { given, current }))
                if headers.iter().any(|header| header.generation() == current) =>
            {
                tracing::info!(given, current, "shares of another generation");
            }
            Err(fault) => {
                match &fault {
                    // Damaged, too: with the root key of a rekey that was stopped, snapshots look so.
                    UnsealError::Open(OpenError::WrongRootKey | OpenError::Damaged(_))
                    | UnsealError::Vault(_)
                    | UnsealError::WrongShare { .. }
                    | UnsealError::LaterSplit
                    | UnsealError::Share(_)
                    | UnsealError::Malformed(_)
                    | UnsealError::Combine(_) => {}
                    UnsealError::First(_)
                    | UnsealError::StoreGone { .. }
                    | UnsealError::NoStorePermitted
                    | UnsealError::OtherBirth { .. }
                    | UnsealError::Vanished
                    | UnsealError::OtherStore { .. }
                    | UnsealError::Open(_)
                    | UnsealError::Identity => return Err(fault),
                }
                tracing::warn!(generation, sequence, %fault, "the shares of a header do not open the store");
                reason = fault;
            }
        }
    }
    Err(reason)
}

async fn root_key(
    vault: &Vault,
    bundle: &BundleBody,
    header: &FirstHeader,
    identity: Sha256,
    key: &MasterKey,
) -> Result<RootKey, UnsealError> {
    let master = bundle.master_key.id();
    let set = header.shares();
    let threshold = usize::from(set.threshold);
    let mut shares: Vec<Share> = Vec::with_capacity(threshold);
    let mut last = None;
    for (index, reference) in (1..=u8::MAX).zip(&set.shares) {
        if shares.len() == threshold {
            break;
        }
        let id = ShareId {
            deployment: &bundle.deployment,
            key: &master,
            identity,
            generation: header.generation(),
            index,
        };
        // A share that is lost or spoilt is why there are more than the threshold.
        match share(vault, (&id, reference), bundle.identity.as_ref(), key).await {
            Ok(share) => shares.push(share),
            Err(error) => {
                tracing::warn!(share = %reference.name, "an automatic share is not usable");
                last = Some(error);
            }
        }
    }
    match (shares.len() < threshold, last) {
        (true, Some(error)) => Err(error),
        _ => Ok(RootKey::combine(&shares)?),
    }
}

/// Those of birth have the MAC of a holder of the master key; later ones the signature of the store that the bundle
/// names.
async fn share(
    vault: &Vault,
    (id, reference): (&ShareId<'_>, &store::ShareRef),
    confirmed: Option<&Identity>,
    key: &MasterKey,
) -> Result<Share, UnsealError> {
    let value = vault.exact(&reference.name, &reference.version).await?;
    if Hash::of(value.expose_secret().as_bytes()) != reference.sha256 {
        return Err(UnsealError::WrongShare { name: reference.name.clone() });
    }
    let share = match (id.generation, confirmed) {
        (share::FIRST_GENERATION, _) => share::open(key, id, value.expose_secret())?,
        (_, Some(store)) => share::open_signed(key, id, store, value.expose_secret())?,
        (_, None) => return Err(UnsealError::LaterSplit),
    };
    Ok(Share::parse(&share)?)
}

impl Unsealed {
    /// Commits what documents are in force, anchors the store, and makes the server.
    pub(super) async fn load(self) -> Result<Booted, BootError> {
        let Self {
            environment,
            vault,
            objects,
            bundle,
            bundle_text,
            manifest,
            tls,
            store,
            clock,
            boot,
        } = self;
        let identity = identity(&store)?;
        let anchors = vault.anchor(identity.id()).map_err(UnsealError::Vault)?;
        documents::settle((&store, &anchors), &bundle, &manifest.signed, clock.now()).await?;
        let FoundManifest { signed, text } = manifest;
        let in_force = InForce {
            bundle,
            bundle_text,
            manifest_digest: signed.digest(),
            manifest: signed.into_manifest(),
            manifest_text: text,
        };
        let core = Arc::new(Core {
            trust_root: environment.trust_root,
            verifier: Verifier::new(environment.anchors),
            store,
            objects,
            vault,
            identity,
            clock,
            rng: SystemRandom::new(),
            boot,
            revocation: Lists::default(),
            in_force: ArcSwap::from_pointee(in_force),
        });
        let material = match tls {
            Some(material) => material,
            None => tls::own(&core).await?,
        };
        Ok(Booted { phase: core.phase(), tls: tls::config(material)? })
    }
}

/// The store's identity as documents have it.
fn identity(store: &Store) -> Result<Identity, UnsealError> {
    let jwk = serde_json::to_value(store.identity()).map_err(|_| UnsealError::Identity)?;
    let public_key: EcPublicKey = serde_json::from_value(jwk).map_err(|_| UnsealError::Identity)?;
    let identity = Identity { public_key };
    let expected =
        Sha256::from_str(&store.identity().id().to_string()).map_err(|_| UnsealError::Identity)?;
    if identity.id() == expected { Ok(identity) } else { Err(UnsealError::Identity) }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// The first commit cannot be read.
    #[error("reading the store's first commit")]
    First(#[source] OpenError),
    /// The bundle names a store, and the container is empty.
    #[error("the store {identity}, which the bundle names, is gone")]
    StoreGone {
        /// The store that should be there.
        identity: Sha256,
    },
    /// The bundle names no store and permits no birth: the deployment was destroyed.
    #[error("the bundle in force names no store and permits no birth")]
    NoStorePermitted,
    /// A store of an earlier deployment, put into the container of one that has not begun.
    #[error("the container holds the store {found}, which was not born under the bundle in force")]
    OtherBirth {
        /// The container's.
        found: Sha256,
    },
    /// Another server's first commit was there, and is not any more.
    #[error("the first commit of another server vanished")]
    Vanished,
    /// Another store lies in the container.
    #[error("the container holds the store {found}, the bundle names {expected}")]
    OtherStore {
        /// The bundle's.
        expected: Sha256,
        /// The container's.
        found: Sha256,
    },
    /// The vault does not answer.
    #[error("key vault")]
    Vault(#[from] VaultError),
    /// A share's value is not the one that the header names.
    #[error("share {name} is not the one that the store's header names")]
    WrongShare {
        /// The secret's name.
        name: String,
    },
    /// Shares of a later split, in a store that no signer has confirmed.
    #[error(
        "the header names shares of a later split, and the bundle names no store that could have made it"
    )]
    LaterSplit,
    /// A share was not made by a holder of the master key, or does not open.
    #[error("unwrapping a share")]
    Share(#[from] WrapError),
    /// What was unwrapped is no share.
    #[error("unwrapped share")]
    Malformed(#[from] MalformedShare),
    /// The shares do not give a root key.
    #[error("combining the shares")]
    Combine(#[from] CombineError),
    /// The store does not open.
    #[error("opening the store")]
    Open(#[from] OpenError),
    /// The store's identity is not a P-256 key.
    #[error("the store's identity")]
    Identity,
}
