//! Writing recovery shares: nothing is believed to be there that was not read back.

use age::{secrecy::ExposeSecret, x25519::Identity};
use aws_lc_rs::rand::SystemRandom;
use object_store::{ObjectStoreExt, path::Path};
use store::{IdentityKey, Recipient, RecoveryError, RecoverySet, RootKey, Share, write_recovery};

use super::faulty::{Fault, Faulty};

fn share() -> Vec<Share> {
    let rng = SystemRandom::new();
    RootKey::generate(&rng).unwrap().split(1, 1, &rng).unwrap()
}

fn recipient(holder: &Identity) -> Recipient {
    holder.to_public().to_string().parse().unwrap()
}

async fn write(storage: &Faulty, identity: &IdentityKey) -> Result<RecoverySet, RecoveryError> {
    let holder = recipient(&Identity::generate());
    write_recovery(&storage.objects(), identity.public().id(), 1, &share(), &[holder]).await
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading() {
    let identity = IdentityKey::generate().unwrap();
    for (fault, kept) in [(Fault::After, true), (Fault::Before, false), (Fault::Lie, false)] {
        let storage = Faulty::new();
        storage.next(&[fault]);
        let written = write(&storage, &identity).await;
        assert_eq!(written.is_ok(), kept, "{fault:?}");
        assert!(kept || matches!(written, Err(RecoveryError::Unavailable(_))), "{fault:?}");
    }
}

#[tokio::test]
async fn what_lies_there_already_is_not_overwritten() {
    let identity = IdentityKey::generate().unwrap();
    let storage = Faulty::new();
    let place = Path::from(format!("recovery/{}/1/1", identity.public().id()));
    storage.honest().put(&place, "somebody else's".into()).await.unwrap();
    assert!(matches!(write(&storage, &identity).await, Err(RecoveryError::Other { .. })));
    let kept = storage.honest().get(&place).await.unwrap().bytes().await.unwrap();
    assert_eq!(kept, "somebody else's");
}

#[tokio::test]
async fn every_share_has_one_holder() {
    let storage = Faulty::new();
    let identity = IdentityKey::generate().unwrap().public().id();
    let refused = write_recovery(&storage.objects(), identity, 1, &share(), &[]).await;
    assert!(matches!(refused, Err(RecoveryError::Count { shares: 1, recipients: 0 })));
    assert!(storage.sent().is_empty());
}

#[test]
fn an_identity_given_as_a_recipient_is_not_repeated() {
    let secret = Identity::generate().to_string();
    let fault = secret.expose_secret().parse::<Recipient>().err().unwrap();
    assert!(!format!("{fault} {fault:?}").contains("AGE-SECRET-KEY"), "{fault}");
}
