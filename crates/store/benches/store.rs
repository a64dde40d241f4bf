//! Point reads, and many writers of a storage that is far away. What a directory and a million secrets cost is measured by `curve`; the peers are in `oracles/store`.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::{future::join_all, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path as Place,
};
use store::{
    Hash, IdentityKey, Key, Newborn, RecoverySet, RootKey, Settings, ShareRef, ShareSet, Store,
    Transaction, Uncovered, Value,
};
use tokio::runtime::Runtime;

fn settings() -> Settings {
    let uncovered = Uncovered { commits: u64::MAX, age: Duration::MAX };
    Settings { uncovered, ..Settings::new(Arc::new(SystemRandom::new())) }
}

fn now() -> jiff::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn name(i: u64) -> Key {
    Key::parse(&format!("kv/team/{i:08}")).unwrap()
}

fn secret() -> Value {
    Value::new(vec![7; 200]).unwrap()
}

async fn birth(objects: Arc<dyn ObjectStore>) -> Store {
    let root = RootKey::generate(&SystemRandom::new()).unwrap();
    let share = ShareRef { name: "unseal".into(), version: "1".into(), sha256: Hash::of(b"") };
    let newborn = Newborn {
        identity: IdentityKey::generate().unwrap(),
        shares: ShareSet { threshold: 1, shares: vec![share] },
        recovery: RecoverySet { threshold: 0, shares: Vec::new() },
    };
    let first = Transaction::new(now());
    Store::create(&objects, &root, newborn, first, &settings()).await.unwrap()
}

/// A store of so many secrets of 200 bytes, in memory.
async fn filled(count: u64) -> Store {
    let store = birth(Arc::new(InMemory::new())).await;
    let mut i = 0;
    while i < count {
        let until = (i + 10_000).min(count);
        let all = (i..until).fold(Transaction::new(now()), |all, i| all.put(name(i), secret()));
        store.commit(all).await.unwrap();
        i = until;
    }
    store
}

fn reads(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("point read");
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let store = runtime.block_on(filled(count));
        let names: Vec<Key> = (0..10_000).map(|i| name(i * 7_919 % count)).collect();
        let mut next = names.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("keys", count), |b| {
            b.iter(|| black_box(store.entry(next.next().unwrap())));
        });
    }
    group.finish();
}

/// A storage that takes 20 milliseconds for each request.
#[derive(Debug)]
struct Far(InMemory);

impl std::fmt::Display for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Far")
    }
}

const FAR: Duration = Duration::from_millis(20);

#[async_trait]
impl ObjectStore for Far {
    async fn put_opts(
        &self,
        path: &Place,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        tokio::time::sleep(FAR).await;
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Place,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Place, options: GetOptions) -> object_store::Result<GetResult> {
        tokio::time::sleep(FAR).await;
        self.0.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Place>>,
    ) -> BoxStream<'static, object_store::Result<Place>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Place>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&Place>,
    ) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Place,
        to: &Place,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

fn far(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(birth(Arc::new(Far(InMemory::new()))));
    let mut group = c.benchmark_group("20 ms away");
    group.sample_size(10);
    let writers = 1_000;
    group.throughput(Throughput::Elements(writers));
    group.bench_function("1000 writers", |b| {
        b.to_async(&runtime).iter_custom(|rounds| {
            let store = store.clone();
            async move {
                let start = Instant::now();
                let all = (0..writers).map(|i| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        for _ in 0..rounds {
                            let put = Transaction::new(now()).put(name(i), secret());
                            store.commit(put).await.unwrap();
                        }
                    })
                });
                join_all(all).await;
                start.elapsed()
            }
        });
    });
    group.finish();
}

criterion_group!(benches, reads, far);
criterion_main!(benches);
