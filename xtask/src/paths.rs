//! Where things are in a checkout.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new(".")).to_owned()
}

/// The folder of programs that `cargo build --workspace` makes.
pub(crate) fn programs() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("x86_64-unknown-linux-gnu/debug")
}

/// What a deployment keeps on this machine, in an ignored folder.
pub(crate) fn state(deployment: &str) -> PathBuf {
    root().join(".vouchsafe").join(deployment)
}

/// The corpus of other people's data, if it is where it should be.
pub(crate) fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("VOUCHSAFE_CORPUS")
        .map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    path.is_dir().then_some(path)
}
