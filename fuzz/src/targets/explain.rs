//! Files that people give to `explain`: evidence in its several forms, and tokens.

use evidence::Anchors;
use infra::explain::{Subject, evidence_file, token_file};
use jiff::Timestamp;

pub(crate) fn evidence(data: &[u8]) {
    if let Ok(material) = evidence_file(data) {
        drop(Subject::of_evidence(&material, &Anchors::amd(), Timestamp::UNIX_EPOCH));
    }
}

pub(crate) fn token(data: &[u8]) {
    drop(token_file(data).map(Subject::of_token));
}
