//! What a verification costs, beside the raw operations that it cannot do without.
//!
//! All is forged, and all is measured in one run, so that the ratios in `ratios.toml` say something on any machine.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use criterion::Criterion;
use evidence::{
    Anchors, Binding, Policy, Product, RawEvidence, Sha256, TcbFloor, Verifier, verify, verify_snp,
};
use forged_root::{Chip, Form, UVM_MEASUREMENT, UVM_SVN, uvm_endorsement};
use jiff::Timestamp;
use x509_parser::parse_x509_certificate;

fn evidence_of(chip: &Chip) -> RawEvidence {
    RawEvidence {
        report: chip.sign(&chip.fields()),
        certificates: chip.vcek_pem_chain(),
        uvm_endorsement: uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Transparent),
    }
}

fn raw(criterion: &mut Criterion, chip: &Chip, evidence: &RawEvidence) {
    let mut group = criterion.benchmark_group("raw");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    let point = chip.certificate.point.clone();
    let halves = [&evidence.report[672..720], &evidence.report[744..792]];
    let signature: Vec<u8> = halves.iter().flat_map(|half| half.iter().rev().copied()).collect();
    group.bench_function("p384", |bencher| {
        bencher.iter(|| {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, black_box(&point))
                .verify(&evidence.report[..672], &signature)
                .unwrap();
        });
    });
    let (vek, ask) = (chip.vek_der(), forged_root::ask_der(chip.product));
    let (_, vek) = parse_x509_certificate(&vek).unwrap();
    let (_, ask) = parse_x509_certificate(&ask).unwrap();
    group.bench_function("pss4096", |bencher| {
        bencher.iter(|| {
            let key = &ask.public_key().subject_public_key.data;
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, black_box(key))
                .verify(vek.tbs_certificate.as_ref(), &vek.signature_value.data)
                .unwrap();
        });
    });
    group.finish();
}

pub(crate) fn whole(criterion: &mut Criterion) {
    let product = forged_root::Product::Milan;
    let chips = ["first", "second"].map(|seed| Chip::new(product, seed, product.tcb()));
    let all = [evidence_of(&chips[0]), evidence_of(&chips[1])];
    raw(criterion, &chips[0], &all[0]);
    let anchors = || {
        let root = Sha256::new(forged_root::amd_root_sha256(product));
        Anchors::insecure([root], Sha256::new(forged_root::uvm_root_sha256()))
    };
    let policy = Policy::container([(Product::Milan, TcbFloor::default())].into(), UVM_SVN);
    let binding = Binding::new([0; 64]);
    let now = Timestamp::constant(1_772_323_200, 0);
    let mut group = criterion.benchmark_group("report");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    let snp = |verifier: &Verifier, evidence: &RawEvidence| {
        let RawEvidence { report, certificates, .. } = evidence;
        verifier.verify_snp(&policy.report, report, certificates, &binding, now).unwrap()
    };
    let verifier = Verifier::new(anchors());
    group.bench_function("known_vek", |bencher| {
        bencher.iter(|| snp(&verifier, black_box(&all[0])));
    });
    // One place for two keys: each is new, under an authority that is known.
    let verifier = Verifier::with_capacity(anchors(), NonZeroUsize::MIN);
    let mut turn = all.iter().cycle();
    group.bench_function("new_vek", |bencher| {
        bencher.iter(|| snp(&verifier, black_box(turn.next().unwrap())));
    });
    group.bench_function("new", |bencher| {
        bencher.iter(|| {
            let RawEvidence { report, certificates, .. } = black_box(&all[0]);
            verify_snp(&policy.report, &anchors(), report, certificates, &binding, now).unwrap()
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("container");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    let verifier = Verifier::new(anchors());
    group.bench_function("known", |bencher| {
        bencher.iter(|| verifier.verify(&policy, black_box(&all[0]), &binding, now).unwrap());
    });
    group.bench_function("new", |bencher| {
        bencher.iter(|| verify(&policy, &anchors(), black_box(&all[0]), &binding, now).unwrap());
    });
    group.finish();
}
