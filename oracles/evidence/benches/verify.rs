//! Our verification, the raw operations that none can do without, and the `sev` crate's verification, in one run.
//!
//! Ours and the raw operations are the very benches of `crates/evidence`. The `sev` crate's are with its feature
//! `crypto_nossl`, and do less: no time, no revocation, no comparison of certificate and report, no policy.

#[path = "../../../crates/evidence/benches/verify/cases.rs"]
mod cases;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use forged_root::{Chip, Product, ark_der, ask_der};
use sev::certs::snp::{Certificate, Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

fn sev(criterion: &mut Criterion) {
    let product = Product::Milan;
    let chip = Chip::new(product, "first", product.tcb());
    let report = chip.sign(&chip.fields());
    let [ark, ask, vek] = [ark_der(product), ask_der(product), chip.vek_der()];
    let mut group = criterion.benchmark_group("sev");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    let known = Certificate::from_der(&vek).unwrap();
    group.bench_function("known_vek", |bencher| {
        bencher.iter(|| {
            let report = AttestationReport::from_bytes(black_box(&report)).unwrap();
            (&known, &report).verify().unwrap();
        });
    });
    group.bench_function("chain_and_report", |bencher| {
        bencher.iter(|| {
            let chain = Chain::from_der(black_box(&ark), &ask, &vek).unwrap();
            let report = AttestationReport::from_bytes(black_box(&report)).unwrap();
            (&chain, &report).verify().unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, cases::whole, sev);
criterion_main!(benches);
