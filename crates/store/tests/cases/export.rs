//! The exported audit log, verified by somebody who has nothing but the store's name.

use std::sync::Arc;

use object_store::memory::InMemory;
use store::{AuditFault, Checkpoint, ExportError, Retention, Store, verify_audit, verify_record};

use crate::conformance::{World, now, put, value};

async fn audited(count: u32) -> (World, Store) {
    let (world, store) = World::birth(Arc::new(InMemory::new())).await;
    for i in 1..=count {
        let record = value(format!("record {i}").as_bytes());
        store.append_audit(now(), record).await.unwrap();
    }
    (world, store)
}

#[tokio::test]
async fn pages_of_the_log_continue_each_other() {
    let (world, store) = audited(23).await;
    let mut before = None::<String>;
    let mut sequence = 1;
    while sequence <= 23 {
        let page = store.export_audit(sequence, 5, None).await.unwrap();
        let page = verify_audit(page.as_bytes(), &world.id, before.as_deref()).unwrap();
        assert_eq!(page.records.first().unwrap().sequence, sequence);
        for record in &page.records {
            let text = format!("record {}", record.sequence);
            assert_eq!(record.record.expose_secret(), text.as_bytes());
            let path = store.prove_record(record.sequence, page.checkpoint.size).unwrap();
            verify_record(&page.checkpoint, record, &path).unwrap();
        }
        sequence = page.checkpoint.size + 1;
        // Its own checkpoint is what the next page has to continue.
        let document = store.export_audit(page.checkpoint.size, 1, None).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&document).unwrap();
        before = Some(json["checkpoint"].as_str().unwrap().to_owned());
    }
}

#[tokio::test]
async fn a_proof_of_growth_bridges_what_is_not_exported() {
    let (world, store) = audited(5).await;
    let early = store.checkpoint().unwrap();
    for i in 0..20_u8 {
        store.append_audit(now(), value(&[i])).await.unwrap();
    }
    let without = store.export_audit(20, 99, None).await.unwrap();
    assert!(matches!(
        verify_audit(without.as_bytes(), &world.id, Some(&early)),
        Err(AuditFault::Unproved { earlier: 5 })
    ));
    let with = store.export_audit(20, 99, Some(5)).await.unwrap();
    verify_audit(with.as_bytes(), &world.id, Some(&early)).unwrap();
    assert!(matches!(
        store.export_audit(20, 99, Some(26)).await,
        Err(ExportError::Beyond { old: 26, size: 25 })
    ));

    // Another log of the same store: a fork from before.
    let objects =
        super::adversary::copy(&world.objects, |path| path.as_ref() <= "log/00000000000000000004")
            .await;
    let anchors = world.anchored(store::Demand::DangerAnyHistory);
    let settings = crate::conformance::settings();
    let fork = Store::open(&objects, &world.root, &world.id, anchors, &settings).await.unwrap();
    for i in 0..22_u8 {
        fork.append_audit(now(), value(&[i])).await.unwrap();
    }
    for from in [1, 20] {
        let forged = fork.export_audit(from, 99, Some(5)).await.unwrap();
        assert!(matches!(
            verify_audit(forged.as_bytes(), &world.id, Some(&early)),
            Err(AuditFault::Forked { .. })
        ));
    }
}

#[tokio::test]
async fn each_step_of_the_verification_refuses() {
    let (world, store) = audited(9).await;
    let good: serde_json::Value =
        serde_json::from_str(&store.export_audit(3, 5, None).await.unwrap()).unwrap();
    let verify = |document: &serde_json::Value| {
        verify_audit(document.to_string().as_bytes(), &world.id, None)
    };
    let good_one = verify(&good).unwrap();
    assert_eq!((good_one.before.size, good_one.checkpoint.size), (2, 7));

    let (other, other_store) = audited(9).await;
    assert!(matches!(
        verify_audit(good.to_string().as_bytes(), &other.id, None),
        Err(AuditFault::OtherStore { .. })
    ));
    let foreign = other_store.export_audit(3, 5, None).await.unwrap();
    let foreign: serde_json::Value = serde_json::from_str(&foreign).unwrap();

    let mut bad = good.clone();
    bad["version"] = 2.into();
    assert!(matches!(verify(&bad), Err(AuditFault::Malformed(_))));
    let mut bad = good.clone();
    bad["checkpoint"] = foreign["checkpoint"].clone();
    assert!(matches!(verify(&bad), Err(AuditFault::Checkpoint(_))));
    let records = |change: &dyn Fn(&mut Vec<serde_json::Value>)| {
        let mut bad = good.clone();
        change(bad["records"].as_array_mut().unwrap());
        bad
    };
    for bad in [
        records(&|records| drop(records.remove(2))),
        records(&|records| drop(records.pop())),
        records(&|records| records.swap(0, 1)),
        records(&|records| records.push(records[0].clone())),
        records(&|records| records[1]["record"] = "AAAA".into()),
        records(&|records| records[1]["at"] = 7.into()),
        {
            let mut bad = good.clone();
            bad["edge"] = foreign["edge"].clone();
            bad["edge"][0] = "00".repeat(32).into();
            bad
        },
    ] {
        assert!(matches!(verify(&bad), Err(AuditFault::OtherRecords { .. })), "{bad}");
    }
    let mut bad = good.clone();
    bad["first"] = 0.into();
    assert!(matches!(verify(&bad), Err(AuditFault::Malformed(_))));
    let mut bad = good;
    bad["first"] = 4.into();
    assert!(verify(&bad).is_err());
}

#[tokio::test]
async fn what_compaction_dropped_is_still_under_the_checkpoints() {
    let (world, store) = audited(20).await;
    let early = store.checkpoint().unwrap();
    store.save().await.unwrap();
    store.append_audit(now(), value(b"21")).await.unwrap();
    store.save().await.unwrap();
    store.commit(put("a", b"1")).await.unwrap();
    store.compact(Retention { commits: 0 }, &world.anchors).await.unwrap();
    let again = world.open().await.unwrap();
    again.append_audit(now(), value(b"22")).await.unwrap();
    let document = again.export_audit(1, 99, Some(20)).await.unwrap();
    let verified = verify_audit(document.as_bytes(), &world.id, Some(&early)).unwrap();
    assert_eq!(verified.records.first().unwrap().sequence, 20);
    let identity = again.identity();
    let now = Checkpoint::verify(&again.checkpoint().unwrap(), identity).unwrap();
    assert_eq!(now, verified.checkpoint);
}
