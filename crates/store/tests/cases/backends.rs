use std::sync::Arc;

use object_store::memory::InMemory;

use crate::conformance;

#[tokio::test]
async fn memory_conforms() {
    conformance::run(Arc::new(InMemory::new()), "all").await;
}

#[tokio::test]
async fn a_directory_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(store::directory(&folder.path().join("store")).unwrap(), "all").await;
}
