//! What a program is made of: the packages that Cargo links into it, by `cargo metadata` and `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use image::attach::Component;
use serde::Deserialize;

use crate::failure::Failure;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The version of a program's package, and the packages that are linked into it.
pub(super) fn read(path: &Path, program: &str) -> Result<(String, BTreeSet<Component>), Failure> {
    let about = format!("the packages of {program}");
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::of(about.clone(), error, "run cargo xtask image build in a checkout")
    };
    let bytes = std::fs::read(path).map_err(|error| failed(error.into()))?;
    let metadata: Metadata =
        serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    let lock = std::fs::read_to_string(Path::new(&metadata.workspace_root).join("Cargo.lock"));
    let lock = lock.map_err(|error| failed(error.into()))?;
    let lock: Lock = toml::from_str(&lock).map_err(|error| failed(error.into()))?;
    linked(&metadata, &lock, program).ok_or_else(|| failed(format!("no package {program}").into()))
}

fn linked(
    metadata: &Metadata,
    lock: &Lock,
    program: &str,
) -> Option<(String, BTreeSet<Component>)> {
    let packages: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<_, _> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let root = packages.values().find(|package| package.name == program)?;
    let mut left = vec![root.id.as_str()];
    let mut seen = BTreeSet::new();
    let mut components = BTreeSet::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        // What is needed to build or to test is not in the program.
        let deps = nodes.get(id)?.deps.iter();
        let deps = deps.filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()));
        left.extend(deps.map(|dep| dep.pkg.as_str()));
        let package = packages.get(id)?;
        if id == root.id {
            continue;
        }
        let public =
            package.source.as_deref().is_some_and(|source| source.starts_with("registry+"));
        let locked = lock
            .package
            .iter()
            .find(|locked| locked.name == package.name && locked.version == package.version);
        components.insert(Component {
            name: package.name.clone(),
            version: package.version.clone(),
            purl: public.then(|| format!("pkg:cargo/{}@{}", package.name, package.version)),
            sha256: locked.and_then(|locked| locked.checksum.clone()),
            license: package.license.clone(),
        });
    }
    Some((root.version.clone(), components))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_linked_and_nothing_else() {
        let metadata = serde_json::json!({
            "workspace_root": "/x",
            "packages": [
                { "id": "p", "name": "server", "version": "1.0.0", "license": null, "source": null },
                { "id": "a", "name": "a", "version": "0.1.0", "license": "MIT", "source": "registry+x" },
                { "id": "b", "name": "b", "version": "0.2.0", "license": "MIT", "source": "registry+x" },
                { "id": "t", "name": "t", "version": "0.3.0", "license": "MIT", "source": "registry+x" },
                { "id": "o", "name": "own", "version": "1.0.0", "license": null, "source": null },
            ],
            "resolve": { "nodes": [
                { "id": "p", "deps": [
                    { "pkg": "a", "dep_kinds": [{ "kind": null }] },
                    { "pkg": "o", "dep_kinds": [{ "kind": "dev" }, { "kind": null }] },
                    { "pkg": "t", "dep_kinds": [{ "kind": "dev" }] },
                ] },
                { "id": "a", "deps": [{ "pkg": "b", "dep_kinds": [{ "kind": "build" }] }] },
                { "id": "b", "deps": [] }, { "id": "t", "deps": [] }, { "id": "o", "deps": [] },
            ] },
        });
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let lock: Lock =
            toml::from_str("[[package]]\nname = \"a\"\nversion = \"0.1.0\"\nchecksum = \"11\"\n")
                .unwrap();
        let (version, components) = linked(&metadata, &lock, "server").unwrap();
        let names: Vec<_> =
            components.iter().map(|c| (c.name.as_str(), c.purl.as_deref())).collect();
        assert_eq!(version, "1.0.0");
        assert_eq!(names, [("a", Some("pkg:cargo/a@0.1.0")), ("own", None)]);
        assert_eq!(components.first().unwrap().sha256.as_deref(), Some("11"));
        assert!(linked(&metadata, &lock, "missing").is_none());
    }
}
