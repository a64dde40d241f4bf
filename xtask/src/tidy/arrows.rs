//! Which of our packages may depend on which. Adding an arrow is a decision, so it comes with a
//! page in `docs/decisions/`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

use crate::paths;

/// What each folder may link, outside its tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("crates/evidence", &[]),
    ("crates/maa", &[]),
    ("crates/image", &[]),
    ("crates/store", &[]),
    ("crates/forged_root", &[]),
    ("crates/tpm", &[]),
    ("crates/manifest", &["evidence"]),
    ("crates/azure", &["evidence"]),
    ("crates/attester", &["evidence", "tpm"]),
    ("crates/protocol", &["evidence", "manifest"]),
    ("crates/server_client", &["protocol"]),
    ("crates/azure_sim", &["evidence", "maa", "image", "forged_root", "manifest", "tpm"]),
    ("infra", &["evidence", "manifest", "maa", "image", "protocol"]),
    ("server", &["attester", "azure", "evidence", "maa", "manifest", "protocol", "store"]),
    (
        "provisioner",
        &[
            "azure",
            "evidence",
            "image",
            "infra",
            "maa",
            "manifest",
            "protocol",
            "server_client",
            "store",
        ],
    ),
    ("agent", &["attester", "azure", "evidence", "manifest", "protocol", "server_client", "store"]),
    ("xtask", &[]),
    ("e2e", &[]),
    ("golden", &[]),
    ("fuzz", &["evidence", "image", "infra", "maa", "manifest", "protocol", "store", "tpm"]),
];

/// Linked only by tests and by the local cloud's own binary.
const FORGERIES: &[&str] = &["azure_sim", "forged_root"];

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let root = paths::root();
    let workspace: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let ours: BTreeMap<&str, &str> = workspace
        .get("workspace")
        .and_then(|w| w.get("dependencies"))
        .and_then(toml::Value::as_table)
        .context("workspace.dependencies")?
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.get("path")?.as_str()?)))
        .collect();
    for (folder, allowed) in ALLOWED {
        let manifest: toml::Table = fs::read_to_string(root.join(folder).join("Cargo.toml"))
            .with_context(|| folder.to_string())?
            .parse()?;
        let linked = manifest.get("dependencies").and_then(toml::Value::as_table);
        for name in linked.into_iter().flat_map(|table| table.keys()) {
            if ours.contains_key(name.as_str()) && !allowed.contains(&name.as_str()) {
                faults.push(format!("{folder}/Cargo.toml: `{name}` is not an allowed arrow (xtask/src/tidy/arrows.rs)"));
            }
        }
    }
    for (name, folder) in ours {
        if !ALLOWED.iter().any(|(known, _)| *known == folder) {
            faults.push(format!("{folder}: `{name}` has no row in xtask/src/tidy/arrows.rs"));
        }
    }
    for (folder, allowed) in ALLOWED {
        if !["crates/azure_sim"].contains(folder) {
            for forgery in FORGERIES.iter().filter(|f| allowed.contains(f)) {
                faults.push(format!("{folder}: `{forgery}` is for tests and the local cloud only"));
            }
        }
    }
    Ok(faults)
}
