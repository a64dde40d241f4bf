//! Verity hashing against plain SHA-256 of the same library, and the parts of measuring a compressed layer apart.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run says so at once")]

use std::hint::black_box;
use std::io::{Cursor, Read, Write};

use aws_lc_rs::digest::{SHA256, digest};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::layer::{Cores, measure_on, verity_root, write_ext4};
use image::oci::measure_layer;

/// Contents that compress about as programs do.
fn contents() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [.., byte] = state.to_le_bytes();
        byte
    };
    (0..SIZE).map(|at| if at % 3 == 0 { next() } else { 0x90 }).collect()
}

fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let contents = contents();
    for (index, piece) in contents.chunks(SIZE / 16).enumerate() {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(piece.len().try_into().unwrap_or_default());
        builder.append_data(&mut header, format!("file-{index}"), piece).unwrap();
    }
    builder.into_inner().unwrap()
}

fn bench(c: &mut Criterion) {
    let tar = tar();
    let mut ext4 = Cursor::new(Vec::new());
    write_ext4(tar.as_slice(), &mut ext4).unwrap();
    let ext4 = ext4.into_inner();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();

    let mut verity = c.benchmark_group("verity");
    verity.sample_size(10).throughput(Throughput::Bytes(ext4.len().try_into().unwrap_or_default()));
    verity.bench_function("sha256", |b| b.iter(|| digest(&SHA256, black_box(&ext4))));
    verity.bench_function("one_core", |b| {
        b.iter(|| verity_root(Cores::One, ext4.as_slice()).unwrap());
    });
    verity.bench_function("two_cores", |b| {
        b.iter(|| verity_root(Cores::Two, ext4.as_slice()).unwrap());
    });
    verity.finish();

    let mut layer = c.benchmark_group("layer");
    layer.sample_size(10).throughput(Throughput::Bytes(tar.len().try_into().unwrap_or_default()));
    layer.bench_function("tar_digest", |b| b.iter(|| digest(&SHA256, black_box(&tar))));
    layer.bench_function("decompression", |b| {
        b.iter(|| {
            let mut out = Vec::with_capacity(tar.len());
            flate2::read::MultiGzDecoder::new(gzip.as_slice()).read_to_end(&mut out).unwrap();
            out
        });
    });
    layer.bench_function("measure_one_core", |b| {
        b.iter(|| measure_on(Cores::One, tar.as_slice()).unwrap());
    });
    layer.bench_function("measure_two_cores", |b| {
        b.iter(|| measure_on(Cores::Two, tar.as_slice()).unwrap());
    });
    layer
        .bench_function("compressed_whole", |b| b.iter(|| measure_layer(gzip.as_slice()).unwrap()));
    layer.finish();
}

const SIZE: usize = 64 << 20;

criterion_group!(benches, bench);
criterion_main!(benches);
