//! Two servers on one store.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use store::{Rekey, RootKey};
use tokio::sync::{oneshot, watch};

use super::world::World;
use crate::follow::Follower;
use crate::tokens::{TokenText, authenticate};

#[tokio::test]
async fn a_server_whose_store_was_rekeyed_elsewhere_is_told_to_end() {
    let (one, two) = World::pair().await;
    let (rekeyed, told) = oneshot::channel();
    let (_stop, stopped) = watch::channel(false);
    let follower = Follower::new(Arc::clone(&two.core), two.phase.clone(), rekeyed).unwrap();
    drop(tokio::spawn(follower.run(stopped)));
    let header = one.core.store.header();
    let rekey = Rekey {
        root: RootKey::generate(&SystemRandom::new()).unwrap(),
        generation: 2,
        shares: header.shares().clone(),
        recovery: header.recovery().clone(),
    };
    one.core.store.rekey(rekey).await.unwrap();
    // The one that did it goes on.
    one.operator().await;
    let told = tokio::time::timeout(Duration::from_secs(5), told).await;
    assert_eq!(told.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn a_token_that_another_server_revoked_stops_reading_here() {
    let (one, two) = World::pair().await;
    let operator = one.operator().await;
    let (rekeyed, _never) = oneshot::channel();
    let (_stop, stopped) = watch::channel(false);
    let follower = Follower::new(Arc::clone(&two.core), two.phase.clone(), rekeyed).unwrap();
    drop(tokio::spawn(follower.run(stopped)));

    // A look a second, and what it takes on a busy machine.
    let reaches = async |known: bool| {
        let text = TokenText::parse(&operator).unwrap();
        let holds = || {
            let manifest = &two.core.in_force().manifest;
            authenticate(&two.core.store, manifest, &text, two.core.now()).is_ok()
        };
        let until = async {
            while holds() != known {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), until).await.unwrap();
    };
    let lookup =
        async || two.call("GET", "/v1/auth/token/lookup-self", Some(&operator), None).await.0;
    reaches(true).await;
    assert_eq!(lookup().await, 200);
    let (status, answer) =
        one.call("POST", "/v1/auth/token/revoke-self", Some(&operator), None).await;
    assert_eq!(status, 204, "{answer}");
    reaches(false).await;
    assert_eq!(lookup().await, 403);
}
