//! How long it takes to say what a change means, from 100 workloads to 10,000, with five secrets each.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evidence::Sha256;
use infra::diff::{Side, SignerKey, diff};
use manifest::Manifest;
use protocol::SignerId;

/// `prod.toml` with so many workloads more; every tenth differs between the two sides.
fn text(workloads: u32, side: u32) -> String {
    let mut text = include_str!("../../manifests/prod.toml")
        .replace("revision = 1", &format!("revision = {}", side + 1));
    for n in 0..workloads {
        let build = if n % 10 == 0 { side } else { 0 };
        writeln!(
            text,
            "[workload.w{n}]\nkind = \"container\"\nhost_data = [\"{build:08x}{n:056x}\"]\ndebug = false\nvmpl = 0\n\
             tcb.milan = {{ bootloader = 4, tee = 0, snp = 24, microcode = 219 }}\n\
             uvm = {{ feed = \"ContainerPlat-AMD-UVM\", minimum_svn = 100 }}"
        )
        .unwrap();
    }
    for n in 0..workloads * 5 {
        let reader = (n / 5 + if n % 50 == 0 { side } else { 0 }) % workloads;
        writeln!(text, "[secret.\"f/s{n}\"]\nreaders = [\"w{reader}\"]").unwrap();
    }
    text
}

fn side<'a>(name: &str, manifest: &'a Manifest) -> Side<'a> {
    let signers = manifest.signer().iter().map(|(name, signer)| {
        let id = SignerId(Sha256::of(signer.certificate.as_str().as_bytes()));
        (name.clone(), SignerKey::Known(id))
    });
    Side { name: name.to_owned(), manifest, signers: signers.collect::<BTreeMap<_, _>>() }
}

fn curve(criterion: &mut Criterion) {
    let today = "2026-11-22".parse().unwrap();
    for whole in [false, true] {
        let name = if whole { "read and diff" } else { "diff" };
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(3));
        for workloads in [100_u32, 1_000, 5_000, 10_000] {
            let texts = [text(workloads, 0), text(workloads, 1)];
            let parse = |text: &String| Manifest::parse("bench", text).unwrap();
            let [old, new] = [parse(&texts[0]), parse(&texts[1])];
            let compare = |old: &Manifest, new: &Manifest| {
                diff(&side("old", old), &side("new", new), today).unwrap()
            };
            assert!(compare(&old, &new).changes.len() >= usize::try_from(workloads / 5).unwrap());
            group.throughput(Throughput::Elements(workloads.into()));
            group.bench_function(BenchmarkId::from_parameter(workloads), |b| match whole {
                false => {
                    b.iter(|| compare(black_box(&old), black_box(&new)));
                }
                true => {
                    b.iter(|| compare(&parse(black_box(&texts[0])), &parse(black_box(&texts[1]))));
                }
            });
        }
        group.finish();
    }
}

criterion_group!(benches, curve);
criterion_main!(benches);
