//! What the store keeps, and what it hands out to be verified elsewhere.

use std::sync::LazyLock;

use store::{Checkpoint, Identity, formats, verify_audit};

/// The form of a commit, at the place that its first byte says, and the body behind it.
pub(crate) fn commit(data: &[u8]) {
    let Some((place, object)) = data.split_first() else { return };
    if let Err(fault) = formats::commit(u64::from(*place), object) {
        assert!(!fault.starts_with("written and not read"), "{fault}");
    }
    if let Ok(written) = formats::body(object) {
        assert_eq!(formats::body(&written).as_ref(), Ok(&written));
    }
}

pub(crate) fn snapshot(data: &[u8]) {
    let _judged = formats::snapshot(data).is_ok();
}

/// A signed checkpoint, and a document that has one.
pub(crate) fn checkpoint(data: &[u8]) {
    let _judged = verify_audit(data, &IDENTITY.id(), None).is_ok();
    let Ok(note) = std::str::from_utf8(data) else { return };
    if let Ok(one) = Checkpoint::verify(note, &IDENTITY) {
        assert_eq!(Checkpoint::verify(note, &IDENTITY), Ok(one));
        let _judged = verify_audit(data, &IDENTITY.id(), Some(note)).is_ok();
    }
}

/// Of the store that made the seeds. It is gone.
#[expect(clippy::expect_used, reason = "the seed is part of the program")]
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let document: Seed =
        serde_json::from_slice(include_bytes!("../../corpus/store_checkpoint/document"))
            .expect("the seed is a document");
    document.identity
});

#[derive(serde::Deserialize)]
struct Seed {
    identity: Identity,
}
