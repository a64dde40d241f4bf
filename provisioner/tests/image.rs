//! The commands about images, as a user runs them: no Azure, no registry, no Docker.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A program for Linux on amd64 that needs no loader, as far as its headers say.
fn program() -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    for (at, byte) in [(16, 3), (18, 62), (32, 64), (54, 56), (56, 1), (64, 1)] {
        bytes[at] = byte;
    }
    bytes
}

/// Runs the provisioner under a umask and in a time zone.
fn run(folder: &Path, umask: &str, zone: &str, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "umask \"$0\" && exec \"$@\"", umask]);
    command.arg(env!("CARGO_BIN_EXE_vouchsafe-provisioner")).arg("image").args(args);
    command.current_dir(folder).env("TZ", zone).env_remove("SOURCE_DATE_EPOCH");
    command.output().unwrap()
}

fn json_of(folder: &Path, args: &[&str]) -> Value {
    let output = run(folder, "022", "UTC", args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every file of a folder with its contents.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_image_does_not_depend_on_where_when_and_by_whom_it_is_built() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let deep = folders[1].path().join("deeper/and/longer");
    fs::create_dir_all(&deep).unwrap();
    let places = [(folders[0].path(), "022", "UTC"), (deep.as_path(), "077", "Asia/Kathmandu")];
    let mut built = Vec::new();
    for (folder, umask, zone) in places {
        fs::write(folder.join("server"), program()).unwrap();
        let args = ["build", "--server-binary", "server", "--out", "layout", "--archive", "a.tar"];
        let output = run(folder, umask, zone, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built.push((files(&folder.join("layout")), fs::read(folder.join("a.tar")).unwrap()));
    }
    assert!(built[0] == built[1]);
    // image (layer, configuration, manifest), two documents, their manifests, one empty, and the layout's own two.
    assert_eq!(built[0].0.len(), 10);

    let folder = folders[0].path();
    let one = json_of(
        folder,
        &["build", "--server-binary", "server", "--out", "x", "--created", "1", "--json"],
    );
    let other = json_of(folder, &["build", "--server-binary", "server", "--out", "y", "--json"]);
    assert_ne!(one["manifest"], other["manifest"], "the time is the one that was given");
    let seen = json_of(folder, &["inspect", "a.tar", "--json"]);
    assert_eq!(seen["manifest"], other["manifest"]);
    let kinds: Vec<_> =
        seen["attached"].as_array().unwrap().iter().map(|a| &a["artifact_type"]).collect();
    assert_eq!(kinds, ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]);
}

#[test]
fn a_dynamic_program_is_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut dynamic = program();
    dynamic[64] = 3;
    fs::write(folder.path().join("server"), dynamic).unwrap();
    let output = run(folder.path(), "022", "UTC", &["build", "--server-binary", "server"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("linked dynamically"), "{errors}");
}

#[test]
fn every_form_of_an_image_has_the_same_measurement_and_goes_into_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("server"), program()).unwrap();
    let build =
        ["build", "--server-binary", "server", "--out", "layout", "--archive", "a.tar", "--json"];
    let built = json_of(path, &build);
    let roots = |value: &Value| {
        let layers = value["images"][0]["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["dm_verity_root"].clone()).collect::<Vec<_>>()
    };
    let expected = built["dm_verity_roots"].as_array().unwrap().clone();
    // The layer by itself, and the same image as `docker save` writes it.
    let blobs = path.join("layout/blobs/sha256");
    let read = |digest: &Value| {
        let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        (fs::read(blobs.join(&digest)).unwrap(), digest)
    };
    let seen = json_of(path, &["inspect", "layout", "--json"]);
    let (config, config_digest) = read(&seen["config"]);
    let (layer, _) = read(&seen["layers"][0]["blob"]);
    fs::write(path.join("layer.tar.gz"), &layer).unwrap();
    fs::create_dir(path.join("docker")).unwrap();
    let docker = path.join("docker");
    let list = json!([{ "Config": format!("{config_digest}.json"), "Layers": ["l/layer.tar"], "RepoTags": null }]);
    fs::write(docker.join("manifest.json"), list.to_string()).unwrap();
    fs::write(docker.join(format!("{config_digest}.json")), config).unwrap();
    fs::create_dir(docker.join("l")).unwrap();
    fs::write(docker.join("l/layer.tar"), &layer).unwrap();
    let tar = Command::new("tar")
        .args(["-cf", "docker.tar", "-C", "docker", "."])
        .current_dir(path)
        .status();
    assert!(tar.unwrap().success());
    for source in
        [vec!["layout"], vec!["a.tar"], vec!["docker.tar"], vec!["layer.tar.gz", "--as", "layer"]]
    {
        let found = json_of(path, &[vec!["measure", "--json"], source].concat());
        assert_eq!(roots(&found), expected);
    }
    let blind = run(path, "022", "UTC", &["measure", "layer.tar.gz"]);
    assert!(String::from_utf8_lossy(&blind.stderr).contains("--as layer"));

    let group = json!({
        "type": "Microsoft.ContainerInstance/containerGroups",
        "properties": { "osType": "Linux", "containers": [
            { "name": "web", "properties": { "image": "r.azurecr.io/web:1" } },
        ] },
    });
    fs::write(path.join("group.json"), group.to_string()).unwrap();
    let manifest = include_str!("../../manifests/prod.toml");
    let (rest, payments) = manifest.split_at(manifest.find("[workload.payments]").unwrap());
    let comment = "# of the release in spring\nhost_data = ";
    let before = rest.to_owned() + &payments.replacen("host_data = ", comment, 1);
    fs::write(path.join("prod.toml"), &before).unwrap();
    let measure = ["measure", "layout", "--arm", "group.json", "--json"];
    let measured = json_of(path, &measure);
    let host_data = measured["group"]["host_data"].as_str().unwrap().to_owned();
    let write = ["--manifest", "prod.toml", "--write", "workload.payments"];
    let output = run(path, "022", "UTC", &[&measure[..4], &write].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let after = fs::read_to_string(path.join("prod.toml")).unwrap();
    assert!(
        after.contains(&format!("# of the release in spring\nhost_data = [\"{host_data}\"]")),
        "{after}"
    );
    assert_eq!(
        after.lines().filter(|line| line.starts_with('#')).count(),
        before.lines().filter(|line| line.starts_with('#')).count()
    );

    let again = json_of(path, &[&measure[..], &write].concat());
    assert_eq!(
        again["group"]["host_data"],
        json!(host_data),
        "programs read one JSON and nothing after it"
    );

    let debug = run(path, "022", "UTC", &[&measure[..4], &["--debug"], &write].concat());
    assert_eq!(debug.status.code(), Some(3), "{}", String::from_utf8_lossy(&debug.stderr));
    assert_eq!(fs::read_to_string(path.join("prod.toml")).unwrap(), after);
}
