//! Reproducible OCI images, dm-verity layer hashes and CCE policies.
