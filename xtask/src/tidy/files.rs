//! Every source file says what it is for, and stays short enough to read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::paths;

/// Lines of code before the tests; over it, split, or say in the module doc why not.
const MAX_LINES: usize = 500;

/// In the module doc of a file that is longer on purpose.
const LONG_ON_PURPOSE: &str = "//! Longer than most on purpose:";

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let root = paths::root();
    let mut faults = Vec::new();
    for path in sources()? {
        let text = fs::read_to_string(&path)?;
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        if !text.starts_with("//!") && !text.starts_with("#![") && !is_test(&path) {
            faults.push(format!("{name}: begins without a module doc"));
        }
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if code > MAX_LINES && !is_test(&path) && !text.contains(LONG_ON_PURPOSE) {
            faults.push(format!("{name}: {code} lines before the tests, at most {MAX_LINES}"));
        }
    }
    Ok(faults)
}

/// Every Rust file of the workspace.
pub(super) fn sources() -> anyhow::Result<Vec<PathBuf>> {
    let root = paths::root();
    let mut folders: Vec<PathBuf> =
        ["server", "provisioner", "agent", "infra", "xtask", "e2e", "golden", "crates"]
            .iter()
            .map(|f| root.join(f))
            .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file holds tests only.
pub(super) fn is_test(path: &Path) -> bool {
    path.components()
        .any(|c| ["tests", "benches", "e2e", "golden"].iter().any(|t| c.as_os_str() == *t))
        || path.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem == "testing" || stem.ends_with("tests") || stem.starts_with("test_")
        })
}
