//! The pure crates perform no I/O, read no clock and take no randomness of the system's.

use std::fs;

use crate::paths;
use crate::tidy::files;

const PURE: &[&str] = &[
    "crates/evidence",
    "crates/manifest",
    "crates/maa",
    "crates/image",
    "crates/protocol",
    "infra",
];

/// What gives it away.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::env::",
    "tokio::",
    "SystemTime",
    "Timestamp::now",
    "SystemRandom",
    "async fn",
];

/// Modules whose purpose is to write: they say so in their module doc.
const EXCEPTIONS: &[&str] = &["crates/image/src/unpack", "crates/image/src/oci/layout"];

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let root = paths::root();
    let mut faults = Vec::new();
    for path in files::sources()? {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let pure = PURE.iter().any(|folder| name.starts_with(&format!("{folder}/src/")));
        if !pure || files::is_test(&path) || EXCEPTIONS.iter().any(|e| name.starts_with(e)) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        for (line, code) in text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]")
        {
            if let Some(what) = IMPURE
                .iter()
                .find(|what| code.contains(**what) && !code.trim_start().starts_with("//"))
            {
                faults.push(format!("{name}:{}: `{what}` in a pure crate", line + 1));
            }
        }
    }
    Ok(faults)
}
