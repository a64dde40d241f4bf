//! Verifications beside their raw operations; `oracles/evidence` runs the same cases beside other people's.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail")]

mod cases;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, cases::whole);
criterion_main!(benches);
