//! No key is ever used for two texts: each attempt has its own salt, however often it is sent and whoever wins.

use std::collections::BTreeMap;

use super::faulty::{Fault, Faulty};
use crate::conformance::{World, put};

#[tokio::test]
async fn no_salt_ever_seals_two_texts() {
    let storage = Faulty::new();
    let (world, store) = World::birth(storage.objects()).await;
    let servers = [store, world.open().await.unwrap(), world.open().await.unwrap()];
    for round in 0..30_u8 {
        let faults = [Fault::None, Fault::After, Fault::Before, Fault::None];
        storage.next(&faults[usize::from(round % 3)..]);
        futures::future::join_all(servers.iter().map(|server| server.commit(put("a", &[round]))))
            .await;
    }
    let mut texts: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut sent_again = 0;
    for (path, bytes) in storage.sent() {
        assert!(path.as_ref().starts_with("log/"));
        let salt = bytes[56..88].to_vec();
        match texts.insert(salt, bytes.to_vec()) {
            None => {}
            Some(before) => {
                assert_eq!(before, bytes, "one salt, two texts");
                sent_again += 1;
            }
        }
    }
    assert!(
        sent_again > 0 && texts.len() > 60,
        "the test has to see attempts sent again ({sent_again}) and lost ({})",
        texts.len()
    );
}
