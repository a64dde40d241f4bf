//! What a small store keeps and hands out.

#![expect(clippy::unwrap_used, reason = "a tool that stops at the first fault")]

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use store::{
    Hash, IdentityKey, Key, Newborn, RecoverySet, RootKey, Settings, ShareRef, ShareSet, Store,
    Transaction, Value,
};

pub(crate) fn write() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (commits, document, note) = runtime.block_on(small());
    for (n, object) in (1_u8..).zip(&commits) {
        super::seed("store_commit", &format!("commit-{n}"), &[&[n], object.as_slice()].concat())?;
    }
    let transaction =
        [&0_i64.to_be_bytes()[..], &1_u32.to_be_bytes(), &[1], &sized(b"a"), &sized(b"b")];
    let record = [&[2][..], &sized(&transaction.concat())].concat();
    super::seed("store_commit", "body", &[&[0, 1][..], &sized(&record), &[0; 9]].concat())?;
    let floor = [&[4][..], &sized(&9_u64.to_be_bytes())].concat();
    super::seed("store_commit", "floor", &[&[0, 1][..], &sized(&floor)].concat())?;

    let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let pkcs8 = pkcs8.to_pkcs8v1().unwrap();
    let head = [7_u8; 32];
    let past = |hash: [u8; 32], version: u64, audited: u64| {
        [&hash[..], &version.to_be_bytes(), &audited.to_be_bytes()].concat()
    };
    let index = [
        &head[..],
        &3_u64.to_be_bytes(),
        &0_i64.to_be_bytes(),
        &9_u64.to_be_bytes(),
        &past([6; 32], 2, 1),
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[0; 32],
        &1_u64.to_be_bytes(),
        &sized(&[5; 32]),
        &sized(pkcs8.as_ref()),
        &[[1; 32], [2; 32]].concat(),
    ];
    let entry = [&sized(b"a")[..], &3_u64.to_be_bytes(), &sized(b"value")];
    let parts = [
        [&[1][..], &entry.concat()].concat(),
        [&[2][..], &past(head, 3, 2)].concat(),
        [&[3][..], &[4; 32]].concat(),
    ];
    let mut text = sized(&index.concat());
    parts.iter().for_each(|part| text.extend_from_slice(&sized(part)));
    super::seed("store_snapshot", "index-and-parts", &text)?;
    super::seed("store_checkpoint", "document", document.as_bytes())?;
    super::seed("store_checkpoint", "note", note.as_bytes())
}

async fn small() -> (Vec<Vec<u8>>, String, String) {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let root = RootKey::generate(&SystemRandom::new()).unwrap();
    let share = ShareRef { name: "unseal".into(), version: "1".into(), sha256: Hash::of(b"") };
    let newborn = Newborn {
        identity: IdentityKey::generate().unwrap(),
        shares: ShareSet { threshold: 1, shares: vec![share] },
        recovery: RecoverySet { threshold: 0, shares: Vec::new() },
    };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let put = Transaction::new(now).put(Key::parse("a").unwrap(), Value::copied(b"1").unwrap());
    let settings = Settings::new(Arc::new(SystemRandom::new()));
    let store = Store::create(&objects, &root, newborn, put.clone(), &settings).await.unwrap();
    store.commit(put.audit(Value::copied(b"first").unwrap())).await.unwrap();
    store.append_audit(now, Value::copied(b"second").unwrap()).await.unwrap();
    let mut commits = Vec::new();
    for n in 1..=2 {
        let path = Path::from(format!("log/{n:020}"));
        commits.push(objects.get(&path).await.unwrap().bytes().await.unwrap().to_vec());
    }
    let document = store.export_audit(1, 9, None).await.unwrap();
    (commits, document, store.checkpoint().unwrap())
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}
