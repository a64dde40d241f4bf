//! What manifests mean in Azure: `golden/render/<case>/case.toml` names a manifest, changes it, and says which of the
//! rendered texts the case is about.

use std::fs;
use std::path::PathBuf;

use forged_root::SignerName;
use image::layer::RootHash;
use image::oci::Digest;
use infra::{
    Deployer, DeployerKind, Kind, Outputs, Rendered, ServerImage, Signers, WorkspaceAccess, render,
};
use maa::lint::Mutability;
use manifest::Manifest;
use protocol::SignerCertificate;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    base: String,
    #[serde(default = "today")]
    today: String,
    show: Vec<String>,
    #[serde(default)]
    replace: Vec<Replace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replace {
    old: String,
    new: String,
}

fn today() -> String {
    "2026-11-22".to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn manifest(case: &Case) -> Manifest {
    let mut text = fs::read_to_string(root().join("manifests").join(&case.base)).unwrap();
    for Replace { old, new } in &case.replace {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    Manifest::parse(&case.base, &text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The worthless signers, under the names of the manifest.
fn signers(manifest: &Manifest) -> Signers {
    let forged = [SignerName::First, SignerName::Second].map(|which| {
        SignerCertificate::from_pem(forged_root::signer(which).certificate_pem).unwrap()
    });
    manifest.signer().keys().cloned().zip(forged).collect()
}

fn rendered(case: &Case) -> Rendered {
    let manifest = manifest(case);
    let image = ServerImage {
        digest: Digest::of(b"the server's image"),
        layers: vec![RootHash::from([0x5a; 32])],
        command: vec!["/vouchsafe-server".to_owned()],
        environment: vec!["PATH=/".to_owned()],
        working_dir: "/".to_owned(),
    };
    let deployer = Deployer {
        object_id: "0e0e0e0e-0000-4000-8000-00000000000d".parse().unwrap(),
        kind: DeployerKind::ServicePrincipal,
    };
    let today = case.today.parse().unwrap();
    render(&manifest, &signers(&manifest), &image, &deployer, today).unwrap()
}

/// Everything that Azure tells in between.
fn outputs() -> Outputs {
    Outputs {
        server_principal: Some("0e0e0e0e-0000-4000-8000-00000000000e".to_owned()),
        workspace: Some(WorkspaceAccess {
            customer_id: "0e0e0e0e-0000-4000-8000-00000000000f".to_owned(),
            shared_key: Some("the workspace's key".to_owned()),
        }),
    }
}

fn resources(rendered: &Rendered, kinds: &[Kind]) -> String {
    let outputs = outputs();
    let shown = rendered.resources.all().filter(|resource| kinds.contains(&resource.kind()));
    let shown: Vec<Value> = shown
        .map(|resource| {
            json!({
                "id": resource.id().as_str(),
                "kind": resource.kind().label(),
                "api-version": resource.kind().api_version(),
                "body": resource.body(&outputs).unwrap(),
                "expected": resource.expected(&outputs),
            })
        })
        .collect();
    serde_json::to_string_pretty(&shown).unwrap()
}

fn summary(rendered: &Rendered) -> String {
    let permitted: Vec<String> = rendered.permitted.iter().map(ToString::to_string).collect();
    let key = &rendered.master_key;
    format!(
        "HOST_DATA          {}\npermitted          {}\npolicy hash        {}\nmaster key         {}\n\
         curve              {}\nimmutable          {}\ntrust root         {} bytes",
        rendered.group.host_data(),
        permitted.join("\n                   "),
        rendered.attestation.hash(),
        key.name(),
        key.curve(),
        key.immutable(),
        rendered.trust_root.text().len(),
    )
}

fn show(rendered: &Rendered, what: &str) -> String {
    match what {
        "summary" => summary(rendered),
        "trust-root" => rendered.trust_root.text(),
        "cce-policy" => rendered.group.text().to_owned(),
        "attestation-policy" => rendered.attestation.text().to_owned(),
        "release-policy" => {
            let text = rendered.master_key.release_policy().to_string();
            serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text).unwrap()).unwrap()
        }
        "resources" => resources(rendered, &ALL_KINDS),
        "provider" => resources(rendered, &[Kind::AttestationProvider]),
        "vault" => resources(rendered, &[Kind::KeyVault]),
        "storage" => resources(rendered, &[Kind::StorageAccount, Kind::StorageContainer]),
        "roles" => resources(rendered, &[Kind::RoleDefinition, Kind::RoleAssignment]),
        other => panic!("no such text: {other}"),
    }
}

fn cases() -> Vec<(PathBuf, Case)> {
    let folder = root().join("golden/render");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let read = |folder: PathBuf| {
        let text = fs::read_to_string(folder.join("case.toml")).unwrap();
        (folder, toml::from_str(&text).unwrap())
    };
    folders.into_iter().map(read).collect()
}

#[test]
fn manifests_mean_what_is_pinned() {
    for (folder, case) in cases() {
        let rendered = rendered(&case);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder.canonicalize().unwrap());
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for what in &case.show {
            settings.bind(|| insta::assert_snapshot!(what.as_str(), show(&rendered, what)));
        }
    }
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    for (folder, case) in cases() {
        let [first, second] = [rendered(&case), rendered(&case)];
        for what in [
            "summary",
            "trust-root",
            "cce-policy",
            "attestation-policy",
            "release-policy",
            "resources",
        ] {
            assert!(show(&first, what) == show(&second, what), "{}: {what}", folder.display());
        }
    }
}

#[test]
fn nothing_rendered_is_suspicious() {
    for (folder, case) in cases() {
        let rendered = rendered(&case);
        let policy = maa::policy::parse(rendered.attestation.text()).unwrap();
        assert_eq!(policy.to_string(), rendered.attestation.text());
        let found = (
            maa::lint::policy(&policy),
            maa::lint::release(rendered.master_key.release_policy(), Mutability::Immutable),
        );
        // Where debugging is permitted, the linter must say so.
        let debug = folder.ends_with("local-debug");
        assert_eq!(
            !debug,
            found.0.is_empty() && found.1.is_empty(),
            "{}: {found:#?}",
            folder.display()
        );
    }
}

const ALL_KINDS: [Kind; 11] = [
    Kind::ResourceGroup,
    Kind::ManagedIdentity,
    Kind::AttestationProvider,
    Kind::KeyVault,
    Kind::StorageAccount,
    Kind::StorageContainer,
    Kind::Registry,
    Kind::LogWorkspace,
    Kind::RoleDefinition,
    Kind::RoleAssignment,
    Kind::ContainerGroup,
];
