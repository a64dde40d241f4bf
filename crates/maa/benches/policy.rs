//! How long the policies of `manifests/prod.toml` take, as text and as they are: what an answer of `explain` costs.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use maa::evaluate::{ClaimSet, evaluate};
use maa::policy::parse;
use maa::release::{self, ReleasePolicy};
use serde_json::{Map, Value, json};

/// What is rendered of `manifests/prod.toml`; the golden case pins it.
fn rendered(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/render/prod");
    let snapshot = std::fs::read_to_string(format!("{folder}/{name}.snap")).unwrap();
    snapshot.splitn(3, "---\n").nth(2).unwrap().to_owned()
}

/// A token that both policies let through.
fn claims(host_data: &str, policy_hash: &str) -> Map<String, Value> {
    let claims = json!({
        "iss": "https://examplevouchsafe.weu.attest.azure.net",
        "x-ms-ver": "1.0",
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-compliance-status": "azure-compliant-uvm",
        "x-ms-policy-hash": policy_hash,
        "x-ms-sevsnpvm-authorkeydigest": "0".repeat(96),
        "x-ms-sevsnpvm-bootloader-svn": 10,
        "x-ms-sevsnpvm-familyId": "01".repeat(16),
        "x-ms-sevsnpvm-guestsvn": 2,
        "x-ms-sevsnpvm-hostdata": host_data,
        "x-ms-sevsnpvm-idkeydigest": "0".repeat(96),
        "x-ms-sevsnpvm-imageId": "02".repeat(16),
        "x-ms-sevsnpvm-is-debuggable": false,
        "x-ms-sevsnpvm-launchmeasurement": "5".repeat(96),
        "x-ms-sevsnpvm-microcode-svn": 84,
        "x-ms-sevsnpvm-migration-allowed": false,
        "x-ms-sevsnpvm-reportdata": "7".repeat(128),
        "x-ms-sevsnpvm-reportid": "8".repeat(64),
        "x-ms-sevsnpvm-smt-allowed": true,
        "x-ms-sevsnpvm-snpfw-svn": 23,
        "x-ms-sevsnpvm-tee-svn": 0,
        "x-ms-sevsnpvm-vmpl": 0,
    });
    claims.as_object().unwrap().clone()
}

fn policies(criterion: &mut Criterion) {
    let attestation = rendered("attestation-policy");
    let text = rendered("release-policy");
    let host_data = attestation.split("hostdata\", value==\"").nth(1).unwrap();
    let (host_data, _) = host_data.split_at(64);
    let hash = maa::policy::policy_hash(&parse(&attestation).unwrap().to_string()).to_string();
    let claims = claims(host_data, &hash);
    let set = ClaimSet::from_token(&claims);
    let parsed = parse(&attestation).unwrap();
    evaluate(&parsed, &set).unwrap();
    let key = ReleasePolicy::parse(text.as_bytes()).unwrap();
    let issuer = "https://examplevouchsafe.weu.attest.azure.net";
    release::evaluate(&key, issuer, &claims).unwrap();

    let mut group = criterion.benchmark_group("attestation policy");
    group.bench_function("parse", |b| b.iter(|| parse(black_box(&attestation)).unwrap()));
    group.bench_function("evaluate", |b| {
        b.iter(|| evaluate(&parsed, black_box(&set)).unwrap());
    });
    group.bench_function("parse and evaluate", |b| {
        b.iter(|| evaluate(&parse(black_box(&attestation)).unwrap(), black_box(&set)).unwrap());
    });
    group.finish();
    let mut group = criterion.benchmark_group("release policy");
    group.bench_function("parse and evaluate", |b| {
        b.iter(|| {
            let policy = ReleasePolicy::parse(black_box(text.as_bytes())).unwrap();
            release::evaluate(&policy, issuer, black_box(&claims)).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, policies);
criterion_main!(benches);
