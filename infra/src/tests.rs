use evidence::HostData;
use image::cce::{Identity, Started};
use image::layer::RootHash;
use image::oci::Digest;
use maa::evaluate::{ClaimSet, Value, evaluate};
use manifest::Manifest;
use protocol::{SignerCertificate, TrustRoot};
use serde_json::json;

use super::*;

fn dev() -> Manifest {
    Manifest::parse("dev.toml", include_str!("../../manifests/dev.toml")).unwrap()
}

fn certificate(which: forged_root::SignerName) -> SignerCertificate {
    SignerCertificate::from_pem(forged_root::signer(which).certificate_pem).unwrap()
}

fn signers() -> Signers {
    use forged_root::SignerName::{First, Second};
    [("first", First), ("second", Second)]
        .map(|(name, which)| (name.parse().unwrap(), certificate(which)))
        .into()
}

fn image() -> ServerImage {
    ServerImage {
        digest: Digest::of(b"image"),
        layers: vec![RootHash::from([1; 32])],
        command: vec!["/vouchsafe-server".to_owned()],
        environment: vec!["PATH=/bin".to_owned()],
        working_dir: "/".to_owned(),
    }
}

fn check(manifest: &Manifest, signers: &Signers) -> Result<Rendered, RenderError> {
    let deployer = Deployer {
        object_id: "00000000-0000-4000-8000-00000000000d".parse().unwrap(),
        kind: DeployerKind::User,
    };
    render(manifest, signers, &image(), &deployer, "2026-11-22".parse().unwrap())
}

fn rendered() -> Rendered {
    check(&dev(), &signers()).unwrap()
}

/// The claims that the service makes of good evidence, after a change.
fn claims(host_data: HostData, change: (&str, Value)) -> ClaimSet {
    let good = [
        ("x-ms-attestation-type", Value::Text("sevsnpvm".to_owned())),
        ("x-ms-compliance-status", Value::Text("azure-compliant-uvm".to_owned())),
        ("x-ms-sevsnpvm-is-debuggable", Value::Boolean(false)),
        ("x-ms-sevsnpvm-migration-allowed", Value::Boolean(false)),
        ("x-ms-sevsnpvm-vmpl", Value::Integer(0)),
        ("x-ms-sevsnpvm-bootloader-svn", Value::Integer(4)),
        ("x-ms-sevsnpvm-tee-svn", Value::Integer(0)),
        ("x-ms-sevsnpvm-snpfw-svn", Value::Integer(24)),
        ("x-ms-sevsnpvm-microcode-svn", Value::Integer(219)),
        ("x-ms-sevsnpvm-hostdata", Value::Text(host_data.to_string())),
    ];
    good.into_iter().fold(ClaimSet::new(), |set, (name, value)| {
        let value = if name == change.0 { change.1.clone() } else { value };
        set.service(name, value)
    })
}

#[test]
fn the_attestation_policy_permits_good_evidence_and_nothing_else() {
    let rendered = rendered();
    let policy = maa::policy::parse(rendered.attestation.text()).unwrap();
    let ours = rendered.group.host_data();
    evaluate(&policy, &claims(ours, ("", Value::Boolean(true)))).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    for (name, value) in [
        ("x-ms-attestation-type", text("azurevm")),
        ("x-ms-compliance-status", text("azure-compliant-cvm")),
        ("x-ms-sevsnpvm-is-debuggable", Value::Boolean(true)),
        ("x-ms-sevsnpvm-migration-allowed", Value::Boolean(true)),
        ("x-ms-sevsnpvm-vmpl", Value::Integer(1)),
        ("x-ms-sevsnpvm-bootloader-svn", Value::Integer(3)),
        ("x-ms-sevsnpvm-snpfw-svn", Value::Integer(22)),
        // Enough for Genoa, whose boot loader this is not.
        ("x-ms-sevsnpvm-microcode-svn", Value::Integer(84)),
        ("x-ms-sevsnpvm-snpfw-svn", Value::Integer(23)),
        ("x-ms-sevsnpvm-hostdata", text(&"0".repeat(64))),
    ] {
        assert!(evaluate(&policy, &claims(ours, (name, value))).is_err(), "{name}");
    }
}

#[test]
fn the_release_policy_lets_the_right_token_through_and_no_other() {
    let rendered = rendered();
    let policy = rendered.master_key.release_policy();
    let issuer = dev().attestation().address.to_string();
    let good = json!({
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-compliance-status": "azure-compliant-uvm",
        "x-ms-policy-hash": rendered.attestation.hash().as_str(),
        "x-ms-sevsnpvm-is-debuggable": false,
        "x-ms-sevsnpvm-hostdata": rendered.group.host_data().to_string(),
    });
    let evaluate = |issuer: &str, claims: &serde_json::Value| {
        maa::release::evaluate(policy, issuer, claims.as_object().unwrap()).map(|_| ())
    };
    evaluate(&issuer, &good).unwrap();
    evaluate("https://other.weu.attest.azure.net", &good).unwrap_err();
    for (name, value) in [
        ("x-ms-attestation-type", json!("azurevm")),
        ("x-ms-compliance-status", json!("azure-compliant-cvm")),
        ("x-ms-policy-hash", json!("9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco")),
        ("x-ms-sevsnpvm-is-debuggable", json!(true)),
        ("x-ms-sevsnpvm-hostdata", json!("0".repeat(64))),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        assert!(evaluate(&issuer, &claims).is_err(), "{name}");
        claims.as_object_mut().unwrap().remove(name);
        assert!(evaluate(&issuer, &claims).is_err(), "without {name}");
    }
}

#[test]
fn the_group_starts_with_this_trust_root_only() {
    let rendered = rendered();
    let start = |trust_root: Option<String>| {
        let variable = trust_root.map(|text| format!("{}={text}", TrustRoot::VARIABLE));
        let started = Started {
            layers: image().layers,
            command: image().command,
            environment: variable.into_iter().chain(["PATH=/bin".to_owned()]).collect(),
            mounts: Vec::new(),
            working_dir: "/".to_owned(),
            user: Identity { id: 0, name: "root".to_owned() },
            groups: vec![Identity { id: 0, name: "root".to_owned() }],
            umask: "0022".to_owned(),
            capabilities: image::cce::Capabilities::default(),
            no_new_privileges: true,
            insecure_elevated: false,
            seccomp_profile_sha256: String::new(),
        };
        rendered.group.policy().enforce(&started).map(|_| ())
    };
    let text = rendered.trust_root.text();
    start(Some(text.clone())).unwrap();
    start(None).unwrap_err();
    start(Some(text.replace("127.0.0.1", "127.0.0.2"))).unwrap_err();
    assert_eq!(rendered.group.policy().host_data(), *rendered.group.host_data().as_bytes());
}

#[test]
fn refuses_other_signers_than_the_manifest_names() {
    use forged_root::SignerName::First;
    let mut one = signers();
    one.pop_last();
    assert!(matches!(check(&dev(), &one), Err(RenderError::OtherSigners { .. })));
    let mut twice = signers();
    twice.insert("second".parse().unwrap(), certificate(First));
    assert!(matches!(check(&dev(), &twice), Err(RenderError::OneKeyTwice)));
}

#[test]
fn no_role_may_delete_import_or_use_a_key() {
    let rendered = rendered();
    let roles = rendered.resources.all().filter(|r| r.kind() == Kind::RoleDefinition);
    let mut actions = 0;
    for role in roles {
        let body = role.body(&Outputs::default()).unwrap();
        assert_eq!(body.pointer("/properties/permissions/0/actions"), Some(&json!([])));
        for action in
            body.pointer("/properties/permissions/0/dataActions").unwrap().as_array().unwrap()
        {
            actions += 1;
            let action = action.as_str().unwrap();
            for bad in
                ["delete", "purge", "import", "*", "decrypt", "unwrap", "sign", "release", "backup"]
            {
                assert!(!action.to_lowercase().contains(bad), "{action}");
            }
        }
    }
    assert_eq!(actions, 16);
}

#[test]
fn late_values_are_demanded_to_make_and_ignored_to_look() {
    let rendered = rendered();
    let group = &rendered.resources.group;
    let nothing = Outputs::default();
    let missing = group.body(&nothing).unwrap_err().to_string();
    assert!(missing.ends_with("needs the log workspace's id, which is not known yet"), "{missing}");
    let analytics = |body: &serde_json::Value| {
        body.pointer("/properties/diagnostics/logAnalytics").unwrap().clone()
    };
    assert_eq!(analytics(&group.expected(&nothing)), json!({ "logType": "ContainerInstanceLogs" }));
    let access =
        WorkspaceAccess { customer_id: "id".to_owned(), shared_key: Some("key".to_owned()) };
    assert!(!format!("{access:?}").contains("key\""));
    let outputs = Outputs { workspace: Some(access), ..nothing };
    assert_eq!(
        analytics(&group.body(&outputs).unwrap()),
        json!({ "logType": "ContainerInstanceLogs", "workspaceId": "id", "workspaceKey": "key" })
    );
    assert_eq!(
        analytics(&group.expected(&outputs)),
        json!({ "logType": "ContainerInstanceLogs", "workspaceId": "id" })
    );
}

#[test]
fn an_isolated_provider_takes_certificates_at_creation_only() {
    let rendered = rendered();
    let provider = rendered.resources.find(Kind::AttestationProvider).unwrap();
    let nothing = Outputs::default();
    let certificates = "/properties/policySigningCertificates/keys";
    let made = provider.body(&nothing).unwrap();
    assert_eq!(made.pointer(certificates).unwrap().as_array().unwrap().len(), 2);
    assert_eq!(provider.update(&nothing).unwrap().pointer(certificates), None);
    let expected = provider.expected(&nothing);
    assert_eq!(expected.pointer(certificates), None);
    assert_eq!(expected["properties"]["trustModel"], "Isolated");
}

#[test]
fn ids_are_compared_without_case() {
    let rendered = rendered();
    let id = rendered.resources.find(Kind::KeyVault).unwrap().id();
    assert!(id.is(&id.as_str().replace("resourceGroups", "resourcegroups")));
    assert_eq!(id.name(), "vouchsafe-dev");
}
