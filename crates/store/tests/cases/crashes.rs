//! A birth that dies at any of its steps leaves nothing that counts, or a store that opens, and the next birth is not in its way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use age::secrecy::ExposeSecret;
use aws_lc_rs::rand::SystemRandom;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use store::{
    Demand, Hash, IdentityKey, Newborn, RecoverySet, RootKey, Share, ShareRef, ShareSet, Store,
    read_first, unseal_share, write_recovery,
};

use super::faulty::{Fault, Faulty};
use crate::conformance::{MemoryAnchor, put, settings, text};

/// Where the server keeps its wrapped shares; here in the clear, by secret name.
type Vault = Mutex<BTreeMap<String, Vec<u8>>>;

/// What a server does at birth, up to the anchor.
async fn birth(
    objects: &Arc<dyn ObjectStore>,
    vault: &Vault,
    holders: &[age::x25519::Identity],
    anchors: &MemoryAnchor,
) -> Result<Store, String> {
    let rng = SystemRandom::new();
    let identity = IdentityKey::generate().unwrap();
    let id = identity.public().id();
    let root = RootKey::generate(&rng).unwrap();
    let mut shares = ShareSet { threshold: 2, shares: Vec::new() };
    for (i, share) in (1..).zip(root.split(2, 3, &rng).unwrap()) {
        let name = format!("unseal-{id}-1-{i}");
        shares.shares.push(ShareRef {
            name: name.clone(),
            version: "v".into(),
            sha256: Hash::of(share.expose_secret()),
        });
        vault.lock().unwrap().insert(name, share.expose_secret().to_vec());
    }
    let recipients: Vec<_> =
        holders.iter().map(|holder| holder.to_public().to_string().parse().unwrap()).collect();
    let count = u8::try_from(holders.len()).unwrap();
    let recovery_shares = root.split(2, count, &rng).unwrap();
    let recovery = write_recovery(objects, id, 2, &recovery_shares, &recipients)
        .await
        .map_err(|fault| fault.to_string())?;
    let newborn = Newborn { identity, shares, recovery };
    let settings = store::Settings { patience: std::time::Duration::ZERO, ..settings() };
    let store = Store::create(objects, &root, newborn, put("born", b"yes"), &settings)
        .await
        .map_err(|fault| fault.to_string())?;
    store.raise_anchor(anchors).await.map_err(|fault| fault.to_string())?;
    Ok(store)
}

/// What a server does at a later boot: the shares that the first header names, from the vault.
async fn boot(
    objects: &Arc<dyn ObjectStore>,
    vault: &Vault,
    anchors: &MemoryAnchor,
) -> Option<Store> {
    let first = read_first(objects).await.unwrap()?;
    let shares: Vec<Share> = first
        .shares()
        .shares
        .iter()
        .map(|named| {
            let bytes = vault.lock().unwrap()[&named.name].clone();
            assert_eq!(Hash::of(&bytes), named.sha256);
            Share::parse(&bytes).unwrap()
        })
        .collect();
    let root = RootKey::combine(&shares).unwrap();
    let id = first.identity().id();
    let store = Store::open(objects, &root, &id, (anchors, Demand::MayBeAbsent), &settings())
        .await
        .unwrap();
    store.raise_anchor(anchors).await.unwrap();
    Some(store)
}

#[tokio::test]
async fn a_birth_that_dies_anywhere_is_finished_or_begun_again() {
    let holders: Vec<_> = (0..3).map(|_| age::x25519::Identity::generate()).collect();
    // Three recovery shares and the first commit.
    let steps = 4;
    for step in 0..=steps {
        for death in [Fault::DeathBefore, Fault::DeathAfter] {
            let storage = Faulty::new();
            let (vault, anchors) = (Vault::default(), MemoryAnchor::default());
            let mut script = vec![Fault::None; step];
            script.push(death);
            storage.next(&script);
            let born = birth(&storage.objects(), &vault, &holders, &anchors).await;
            assert_eq!(born.is_ok(), step == steps, "step {step}, {death:?}");

            let objects = storage.honest();
            let store = match boot(&objects, &vault, &anchors).await {
                Some(store) => store,
                None => birth(&objects, &vault, &holders, &anchors).await.unwrap(),
            };
            let kept = step == steps || (step == steps - 1 && death == Fault::DeathAfter);
            if let (true, Ok(born)) = (kept, &born) {
                assert_eq!(born.identity(), store.identity());
            }
            store.commit(put("after", b"yes")).await.unwrap();
            drop(store);
            let again = boot(&objects, &vault, &anchors).await.unwrap();
            assert_eq!(text(&again, "born").as_deref(), Some("yes"));
            assert_eq!(text(&again, "after").as_deref(), Some("yes"));
        }
    }
}

#[tokio::test]
async fn a_quorum_of_holders_opens_a_copy_of_the_objects() {
    let holders: Vec<_> = (0..3).map(|_| age::x25519::Identity::generate()).collect();
    let storage = Faulty::new();
    let (vault, anchors) = (Vault::default(), MemoryAnchor::default());
    drop(birth(&storage.objects(), &vault, &holders, &anchors).await.unwrap());

    let objects = storage.honest();
    let first = read_first(&objects).await.unwrap().unwrap();
    let RecoverySet { threshold, shares } = first.recovery();
    assert_eq!((*threshold, shares.len()), (2, 3));
    let mut opened = Vec::new();
    for (named, holder) in shares.iter().zip(&holders).skip(1) {
        let object =
            objects.get(&Path::from(named.object.as_str())).await.unwrap().bytes().await.unwrap();
        assert_eq!(Hash::of(&object), named.sha256);
        let secret =
            |holder: &age::x25519::Identity| holder.to_string().expose_secret().to_owned().into();
        assert!(unseal_share(&object, &secret(&holders[0])).is_err(), "sealed to somebody else");
        let mut bad = object.to_vec();
        *bad.last_mut().unwrap() ^= 1;
        assert!(unseal_share(&bad, &secret(holder)).is_err(), "changed");
        opened.push(unseal_share(&object, &secret(holder)).unwrap());
    }
    let root = RootKey::combine(&opened).unwrap();
    let id = first.identity().id();
    let store =
        Store::open(&objects, &root, &id, (&anchors, Demand::Anchored), &settings()).await.unwrap();
    assert_eq!(text(&store, "born").as_deref(), Some("yes"));
}
