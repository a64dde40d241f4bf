//! The commands about images as a new user has them: built, measured, pushed to `docker-registry` (Debian), read back by
//! `skopeo` (Debian), and written into a manifest.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use e2e::address::Claim;
use e2e::programs;
use serde_json::{Value, json};

/// A registry of Debian's at an address of its own, stopped at the end.
struct Registry {
    process: Child,
    host: String,
    folder: tempfile::TempDir,
    _claim: Claim,
}

impl Registry {
    fn start() -> anyhow::Result<Self> {
        let (claim, folder) = (Claim::new()?, tempfile::tempdir()?);
        let host = format!("{}:5000", claim.address());
        let (config, data) = (folder.path().join("registry.yml"), folder.path().join("data"));
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: {host}\n",
                data.display()
            ),
        )?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("docker-registry; run `cargo xtask setup`")?;
        let registry = Self { process, host, folder, _claim: claim };
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(&registry.host).is_err() {
            ensure!(Instant::now() < end, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// `vouchsafe-provisioner image …`
fn image(args: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(programs::find("vouchsafe-provisioner")?);
    command.arg("image").args(args).stdin(Stdio::null());
    command.output().context("starting the provisioner")
}

/// What the command prints as JSON; it must succeed.
fn told(args: &[&str]) -> anyhow::Result<Value> {
    let output = image(&[args, &["--json"]].concat())?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The command must fail, and its last line says what to try.
#[track_caller]
fn refused(args: &[&str], because: &str, remedy: &str) -> anyhow::Result<()> {
    let output = image(args)?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "{args:?} succeeded");
    ensure!(text.contains(because), "{args:?}: {text}");
    ensure!(text.lines().last() == Some(&format!("  try: {remedy}")), "{args:?}: {text}");
    Ok(())
}

fn skopeo(args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("skopeo").args(args).output();
    let output = output.context("skopeo; run `cargo xtask setup`")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// What `cargo xtask image build` adds to the provisioner's arguments.
fn metadata(into: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(programs::workspace())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::write(into, output.stdout)?)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not text")
}

/// The document that is attached to an image of a layout under a media type.
fn attached(layout: &Path, kind: &str) -> anyhow::Result<Value> {
    let read = |path: PathBuf| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    };
    let blob = |value: &Value| -> anyhow::Result<PathBuf> {
        let digest = value.get("digest").and_then(Value::as_str).context("no digest")?;
        Ok(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let index = read(layout.join("index.json"))?;
    let all = index.get("manifests").and_then(Value::as_array).context("no manifests")?;
    let is_it = |one: &&Value| one.get("artifactType").is_some_and(|found| found == kind);
    let manifest = read(blob(all.iter().find(is_it).context("not attached")?)?)?;
    read(blob(manifest.pointer("/layers/0").context("no document")?)?)
}

#[test]
fn peer_docker_registry_and_skopeo_take_what_the_commands_make() -> anyhow::Result<()> {
    let registry = Registry::start()?;
    let (layout, archive) = (registry.file("layout"), registry.file("image.tar"));
    let (layout, archive) = (text(&layout)?, text(&archive)?);
    let cargo = registry.file("metadata.json");
    metadata(&cargo)?;
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let build = ["build", "--out", layout, "--archive", archive, "--cargo-metadata"];
    let built = told(&[&build[..], &[text(&cargo)?, "--commit", commit]].concat())?;
    let digest = built["manifest"].as_str().context("no digest")?.to_owned();

    // What is attached says what the program is made of.
    let sbom = attached(Path::new(layout), "application/vnd.cyclonedx+json")?;
    let components = sbom["components"].as_array().context("no components")?;
    let named = |name: &str| components.iter().find(|one| one["name"] == name);
    let rustls = named("rustls").context("rustls is not listed")?;
    let version = rustls["version"].as_str().context("no version")?;
    ensure!(rustls["purl"] == format!("pkg:cargo/rustls@{version}"), "{rustls}");
    ensure!(rustls["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64));
    ensure!(named("vouchsafe-store").is_some() && named("criterion").is_none());
    let provenance = attached(Path::new(layout), "application/vnd.in-toto+json")?;
    let definition = &provenance["predicate"]["buildDefinition"];
    let materials = definition["resolvedDependencies"].as_array().context("no materials")?;
    ensure!(materials.iter().any(|one| one["digest"]["gitCommit"] == commit));
    ensure!(materials.iter().any(|one| one["uri"] == rustls["purl"]));

    // The same hashes from wherever the image is, and the digest that names it.
    let name = format!("{}/vouchsafe/server", registry.host);
    let (tagged, pinned) = (format!("{name}:v1"), format!("{name}@{digest}"));
    let pushed = told(&["push", layout, &tagged])?;
    ensure!(pushed["manifest"] == digest, "{pushed}");
    for source in [layout, archive, &tagged, &pinned] {
        let measured = told(&["measure", source])?;
        let found = &measured["images"][0];
        ensure!(found["manifest"] == digest, "{source}: {measured}");
        let roots = found["layers"].as_array().context("no layers")?;
        let roots: Vec<_> = roots.iter().map(|layer| layer["dm_verity_root"].clone()).collect();
        ensure!(json!(roots) == built["dm_verity_roots"], "{source}: {measured}");
    }
    let inspected = told(&["inspect", &tagged])?;
    ensure!(inspected["attached"] == pushed["attached"], "{inspected}");
    ensure!(inspected["attached"].as_array().is_some_and(|all| all.len() == 2), "{inspected}");

    let by_name = |reference: &str| format!("docker://{reference}");
    let seen = skopeo(&["inspect", "--tls-verify=false", &by_name(&tagged)])?;
    let seen: Value = serde_json::from_slice(&seen)?;
    ensure!(seen["Digest"] == digest && seen["Architecture"] == "amd64", "{seen}");

    // What a container engine saves, compressed anew, has the same layers: only uncompressed bytes count.
    for (form, kind) in [("docker-archive", "saved.tar"), ("oci-archive", "oci.tar")] {
        let file = registry.file(kind);
        let to = format!("{form}:{}:server:v1", text(&file)?);
        skopeo(&["copy", "--quiet", "--src-tls-verify=false", &by_name(&pinned), &to])?;
        let measured = told(&["measure", text(&file)?])?;
        let root = &measured["images"][0]["layers"][0]["dm_verity_root"];
        ensure!(root == &built["dm_verity_roots"][0], "{form}: {measured}");
    }

    // Another compression is another image with the same layers.
    let zstd = registry.file("zstd");
    let to = format!("oci:{}:v1", text(&zstd)?);
    let compress = ["--dest-compress", "--dest-compress-format", "zstd", "--src-tls-verify=false"];
    skopeo(&[&["copy", "--quiet"], &compress[..], &[&by_name(&pinned), &to]].concat())?;
    let measured = told(&["measure", text(&zstd)?])?;
    let found = &measured["images"][0];
    ensure!(found["manifest"] != digest, "{measured}");
    ensure!(found["layers"][0]["dm_verity_root"] == built["dm_verity_roots"][0], "{measured}");

    writes_the_manifest(&registry, &pinned)?;

    refused(
        &["measure", &format!("{name}:missing")],
        "the registry does not have it",
        "check registry, repository, tag and digest",
    )?;
    refused(
        &["push", layout, &pinned],
        "names the image by its digest",
        "name it REGISTRY/REPOSITORY[:TAG]",
    )?;
    refused(
        &["push", archive.trim_end_matches("image.tar"), &tagged],
        "reading",
        "give an OCI layout or an archive of one",
    )
}

/// HOST_DATA of a group in ARM's words goes into a manifest that keeps its comments.
fn writes_the_manifest(registry: &Registry, image: &str) -> anyhow::Result<()> {
    let group = json!({
        "type": "Microsoft.ContainerInstance/containerGroups", "apiVersion": "2023-05-01", "name": "g",
        "properties": { "sku": "Confidential", "osType": "Linux", "containers": [
            { "name": "app", "properties": { "image": image, "resources": { "requests": { "cpu": 1, "memoryInGB": 1 } } } }
        ] },
    });
    let arm = registry.file("group.json");
    std::fs::write(&arm, group.to_string())?;
    let manifests = registry.file("manifests");
    copy(&programs::workspace().join("manifests"), &manifests)?;
    let manifest = manifests.join("dev.toml");
    let before = std::fs::read_to_string(&manifest)?;
    let measure = ["measure", "--arm", text(&arm)?, "--manifest", text(&manifest)?];
    let measured = told(&[&measure[..], &["--write", "workload.demo"]].concat())?;
    let host_data =
        measured.pointer("/group/host_data").and_then(Value::as_str).context("no HOST_DATA")?;
    let after = std::fs::read_to_string(&manifest)?;
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(a, b)| a != b).collect();
    let [(_, line)] = changed.as_slice() else { bail!("{changed:?}") };
    ensure!(*line == format!("host_data = [\"{host_data}\"]"), "{line}");
    ensure!(before.lines().count() == after.lines().count());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
