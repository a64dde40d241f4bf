//! Snapshot cases: what the manifests generate, pinned.
