use std::collections::BTreeSet;

use crate::{Manifest, PathGlob, Place, SecretPath, VolumeKind};

const DEV: &str = include_str!("../../../manifests/dev.toml");
const PROD: &str = include_str!("../../../manifests/prod.toml");

/// A group of a workload, with every key but the one that lowers safety.
const GROUP: &str = r#"
[workload.payments.group]
fragments = [{ issuer = "did:x509:0:sha256:x::eku:1.2", feed = "r/f", minimum_svn = 3, includes = ["containers"] }]
[workload.payments.group.container.web]
image = "r.azurecr.io/web@sha256:00"
command = ["/web", ""]
environment = { COLOUR = "red" }
volumes = [{ kind = "secret", path = "/s", read_only = true }]
drop_capabilities = ["ALL"]
no_new_privileges = true
add_capabilities = ["CAP_SYS_TIME"]
group = 1000
user = 1000
"#;

/// The faults of dev.toml after a change, as `path: expected, found`, in order.
fn check(change: impl FnOnce(String) -> String) -> Vec<String> {
    faults("dev.toml", &change(DEV.to_owned()))
}

fn faults(name: &str, text: &str) -> Vec<String> {
    match Manifest::parse(name, text) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            let fault = |f: &crate::Fault| format!("{}: {}, found {}", f.path, f.expected, f.found);
            faults.list().iter().map(fault).collect()
        }
    }
}

/// Replaces text that must be there.
fn put(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old}");
    text.replacen(old, new, 1)
}

#[test]
fn reads_the_examples() {
    let dev = Manifest::parse("dev.toml", DEV).unwrap_or_else(|faults| panic!("{faults}"));
    let prod = Manifest::parse("prod.toml", PROD).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(matches!(dev.azure().place(), Place::InsecureLocal(_)));
    assert_eq!(prod.azure().place(), Place::Public);
    assert_eq!(prod.anchors(), evidence::Anchors::amd());
    assert_ne!(dev.anchors(), evidence::Anchors::amd());
    assert_ne!(dev.digest(), prod.digest());
}

#[test]
fn reports_all_faults_at_once() {
    let text = [
        ("name = \"dev\"", "name = \"Dev!\""),
        ("cloud = \"local\"", "cloud = \"locale\""),
        ("resource_group =", "resourcegroup ="),
        ("threshold = 3", "threshold = 6"),
        ("readers = [\"demo\"]", "readers = [\"dmo\"]"),
        ("bootloader = 4", "bootloader = 400"),
        ("cpu = 1", "cpu = \"one\""),
        ("address = \"https://vouchsafe-dev.vault", "address = \"https://vouchsafe.vault"),
    ]
    .into_iter()
    .fold(DEV.to_owned(), |text, (old, new)| put(&text, old, new));
    let faults = Manifest::parse("dev.toml", &text).unwrap_err();
    insta::assert_snapshot!(faults, @r##"
    dev.toml:9:8: deployment.name: expected a name of 2 to 20 lower-case letters, digits and hyphens that begins with a letter, found `"Dev!"`
      |
    9 | name = "Dev!"
      |        ^^^^^^

    dev.toml:14:9: azure.cloud: expected "public" or "local", found `"locale"`
       |
    14 | cloud = "locale"
       |         ^^^^^^^^
      try: "local"

    dev.toml:18:1: azure.resourcegroup: expected one of the keys cloud, insecure_local, location, resource_group, subscription, tenant, found `resourcegroup`
       |
    18 | resourcegroup = "vouchsafe-dev"
       | ^^^^^^^^^^^^^
      try: `resource_group`

    dev.toml:37:7: server.cpu: expected a whole number from 1 to 32, found `"one"`
       |
    37 | cpu = "one"
       |       ^^^^^

    dev.toml:63:24: attestation.server.tcb.milan.bootloader: expected a whole number from 0 to 255, found `400`
       |
    63 | milan = { bootloader = 400, tee = 0, snp = 24, microcode = 219 }
       |                        ^^^

    dev.toml:72:11: master_key.address: expected "https://vouchsafe-dev.vault.azure.net", found `"https://vouchsafe.vault.azure.net"`
       |
    72 | address = "https://vouchsafe.vault.azure.net"
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    dev.toml:91:13: unseal.threshold: expected a whole number from 2 to 5, found `6`
       |
    91 | threshold = 6
       |             ^

    dev.toml:124:12: secret."demo/db-password".readers[0]: expected the name of a workload, found `"dmo"`
        |
    124 | readers = ["dmo"]
        |            ^^^^^
      try: "demo"
    "##);
}

#[test]
fn syntax_comes_first_and_all_of_it() {
    let faults = faults("x.toml", "a = \nb = 1\n[c\nd = 'e'\n");
    assert!(faults.len() >= 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.starts_with(": TOML, found")), "{faults:?}");
}

#[test]
fn refuses_what_each_rule_forbids() {
    let cases: &[(&str, &str, &str)] = &[
        ("version = 1", "version = 2", "version: 1, the only version so far"),
        ("revision = 1", "revision = 0", "deployment.revision: a whole number from 1"),
        ("tenant = \"7e", "tenant = \"7E", "azure.tenant: a lower-case UUID"),
        (
            "address = \"127.0.0.1\"",
            "address = \"10.0.0.1\"",
            "azure.insecure_local.address: an IPv4",
        ),
        ("ca_sha256 = \"fa", "ca_sha256 = \"FA", "azure.insecure_local.ca_sha256: 64 lower-case"),
        ("image = \"build\"", "image = \"latest\"", "server.image: \"build\" or"),
        ("memory_gb = 2.0", "memory_gb = nan", "server.memory_gb: a number"),
        (
            "insecure-signers/second.pem",
            "insecure-signers/first.pem",
            "signer.second.certificate: a certificate that no other",
        ),
        (
            "insecure-signers/second.pem",
            "/etc/second.pem",
            "signer.second.certificate: a file's path",
        ),
        (
            "https://vouchsafedev.weu.attest",
            "https://vouchsafe.weu.attest",
            "attestation.address: \"https://vouchsafedev.REGION",
        ),
        (
            "https://vouchsafedev.weu.attest.azure.net",
            "https://vouchsafedev.attest.azure.net",
            "attestation.address: \"https://vouchsafedev.REGION",
        ),
        ("trust = \"isolated\"", "trust = \"aad\"", "attestation.trust: \"isolated\" or \"entra\""),
        (
            "azure-compliant-uvm",
            "azure-compliant-cvm",
            "attestation.server.compliance: \"azure-compliant-uvm\"",
        ),
        ("vmpl = 0", "vmpl = 1", "attestation.server.vmpl: 0"),
        (
            "genoa = { bootloader",
            "genoa = { fmc = 1, bootloader",
            "attestation.server.tcb.genoa.fmc: no `fmc`",
        ),
        (
            "genoa = { bootloader",
            "turin = { bootloader",
            "attestation.server.tcb.turin.fmc: the key `fmc`",
        ),
        (
            "genoa = { boot",
            "rome = { boot",
            "attestation.server.tcb.rome: one of the keys genoa, milan, turin",
        ),
        ("curve = \"P-384\"", "curve = \"P-521\"", "master_key.curve: \"P-384\" or \"P-256\""),
        (
            "retention_days = 7",
            "retention_days = 6",
            "master_key.retention_days: a whole number from 7",
        ),
        ("source = \"provisioner\"", "source = \"pkcs12\"", "tls.pkcs12: the key `pkcs12`"),
        (
            "source = \"provisioner\"",
            "source = \"server\"\npkcs12 = \"x\"",
            "tls.pkcs12: no file unless",
        ),
        ("\"localhost\"", "\"*.example.com\"", "tls.names[0]: a DNS name"),
        ("shares = 5", "shares = 2", "unseal.threshold: a whole number from 2 to 2"),
        ("threshold = 2", "threshold = 3", "recovery.holder: at least 3 holders"),
        ("threshold = 2", "threshold = 1", "recovery.threshold: a whole number from 2"),
        (
            "holder.alice = \"age1l",
            "holder.alice = \"age1p",
            "recovery.holder.alice: an age recipient",
        ),
        (
            "login = \"jwt\"",
            "login = \"cert\"",
            "operator.dev.login: \"jwt\"; login by certificate",
        ),
        (
            "claims = { oid = \"7e4a0000-0000-4000-8000-000000000002\" }",
            "claims = {}",
            "operator.dev.claims: at least one claim",
        ),
        (
            "\"delete\", \"read\", \"rotate\"]",
            "\"delete\", \"raed\", \"rotate\"]",
            "operator.dev.may[3]: \"write\" or",
        ),
        ("paths = [\"*\"]", "paths = [\"a*\"]", "operator.dev.paths[0]: a secret's path"),
        (
            "kind = \"container\"",
            "kind = \"vm\"",
            "workload.demo.host_data: one of the keys debug, kind, launch_measurements, pcrs,",
        ),
        (
            "[secret.\"demo/tls-key\"]",
            "[secret.\"demo//tls-key\"]",
            "secret.\"demo//tls-key\": a path of segments",
        ),
        ("[workload.demo]", "[workload.Demo]", "workload.Demo: a name of 1 to 40"),
        ("kind = \"vm\"", "kind = \"container\"", "workload.machine.pcrs: one of the keys"),
        (
            "launch_measurements = [\"",
            "launch_measurements = [] # \"",
            "workload.machine.launch_measurements: at least one",
        ),
        ("\n4 = [", "\n04 = [", "workload.machine.pcrs.04: the number of a register, 0 to 23"),
        ("\n4 = [", "\n24 = [", "workload.machine.pcrs.24: the number of a register, 0 to 23"),
        ("\n4 = [", "\n4 = [] # [", "workload.machine.pcrs.4: at least one"),
        ("\n4 = [", "\n11 = [", "workload.machine.pcrs: at least the registers 4 and 7"),
        ("\n7 = [", "\n16 = [", "workload.machine.pcrs: at least the registers 4 and 7"),
        (
            "\n[workload.machine.pcrs]\n",
            "\npcrs = {}\n[workload.other]\n",
            "workload.machine.pcrs: at least the registers 4 and 7",
        ),
        ("secure_boot = true", "", "workload.machine.secure_boot: the key `secure_boot`"),
        ("crl = \"require\"", "crl = \"never\"", "attestation.crl: \"require\" or \"if-present\""),
    ];
    for (old, new, expected) in cases {
        let found = check(|text| put(&text, old, new));
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{new}: {found:#?}");
    }
}

#[test]
fn demands_two_signers() {
    let found = check(|text| {
        let at = text.find("[signer.second]").unwrap();
        let end = text.find("[attestation]").unwrap();
        format!("{}{}", &text[..at], &text[end..])
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("signer: at least two signers"), "{found:?}");
}

#[test]
fn demands_the_local_cloud_to_be_described() {
    let found = check(|text| {
        let at = text.find("[azure.insecure_local]").unwrap();
        let end = text.find("[server]").unwrap();
        format!("{}{}", &text[..at], &text[end..])
    });
    assert_eq!(found, ["azure.insecure_local: the key `insecure_local`, found no such key"]);
}

#[test]
fn a_public_cloud_forbids_what_lowers_safety() {
    let public = put(DEV, "cloud = \"local\"", "cloud = \"public\"");
    let found = faults("dev.toml", &public);
    let paths: Vec<&str> =
        found.iter().filter_map(|fault| fault.split_once(": ")).map(|f| f.0).collect();
    assert_eq!(
        paths,
        ["azure.insecure_local", "signer.first.insecure_key", "signer.second.insecure_key"]
    );

    let changes = [
        ("immutable = true", "immutable = false", "master_key.immutable: true, because"),
        ("debug = false", "debug = true", "attestation.server.debug: false, because"),
        (
            "[workload.payments]",
            "[workload.payments]\ninsecure_x = 1",
            "workload.payments.insecure_x: no `insecure_`",
        ),
    ];
    for (old, new, expected) in changes {
        let found = faults("prod.toml", &put(PROD, old, new));
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{new}: {found:#?}");
        let local = put(DEV, "[workload.demo]", "[workload.payments]");
        let local = local.replace("readers = [\"demo\"]", "readers = [\"payments\"]");
        if !new.contains("insecure_") {
            assert_eq!(faults("dev.toml", &put(&local, old, new)), Vec::<String>::new());
        }
    }
    let workload = PROD.rfind("debug = false").unwrap();
    let text = format!("{}debug = true{}", &PROD[..workload], &PROD[workload + 13..]);
    assert!(faults("prod.toml", &text)[0].starts_with("workload.payments.debug: false"));
}

#[test]
fn a_misspelt_key_is_one_fault_with_the_right_key() {
    for (old, new, near) in [
        ("subscription =", "subscripton =", "`subscription`"),
        ("minimum_svn =", "minimun_svn =", "`minimum_svn`"),
        ("[unseal]", "[unsael]", "`unseal`"),
    ] {
        let found = Manifest::parse("dev.toml", &put(DEV, old, new)).unwrap_err();
        assert_eq!(found.list().len(), 1, "{found}");
        assert_eq!(found.list()[0].help.as_deref(), Some(near));
    }
}

#[test]
fn no_evidence_may_be_good_for_two_workloads() {
    let start = DEV.find("[workload.demo]").unwrap();
    let end = DEV.find("[secret.").unwrap();
    let twin = DEV[start..end].replace("workload.demo", "workload.twin");
    let found = faults("dev.toml", &format!("{DEV}\n{twin}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("workload.twin: a workload that no evidence takes for `demo`"));
    let digest = "host_data = [\"";
    let at = twin.find(digest).unwrap() + digest.len();
    let other = format!("{}{}{}", &twin[..at], "0".repeat(64), &twin[at + 64..]);
    assert_eq!(faults("dev.toml", &format!("{DEV}\n{other}")), Vec::<String>::new());
}

#[test]
fn machines_differ_by_a_register_that_both_name() {
    let start = DEV.find("[workload.machine]").unwrap();
    let end = DEV.find("[secret.\"machine").unwrap();
    let twin = DEV[start..end].replace("workload.machine", "workload.twin");
    let found = |twin: &str| faults("dev.toml", &format!("{DEV}\n{twin}"));
    assert!(
        found(&twin)[0]
            .starts_with("workload.twin: a workload that no evidence takes for `machine`")
    );
    // Another register that only one of them names tells nothing apart.
    assert_eq!(found(&put(&put(&twin, "\n4 = ", "\n5 = "), "\n7 = ", "\n8 = ")).len(), 1);
    let other = put(&twin, "\n4 = [\"7", "\n4 = [\"8");
    assert_eq!(found(&other), Vec::<String>::new());
}

#[test]
fn a_list_is_required_unless_the_manifest_says_otherwise() {
    use evidence::Revocation;
    let of = |text: &str| {
        let manifest = Manifest::parse("dev.toml", text).unwrap();
        manifest.attestation().revocation(vec![vec![1]])
    };
    assert_eq!(of(DEV), Revocation::Required(vec![vec![1]]));
    assert_eq!(of(&put(DEV, "crl = \"require\"", "")), Revocation::Required(vec![vec![1]]));
    let lax = put(DEV, "crl = \"require\"", "crl = \"if-present\"");
    assert_eq!(of(&lax), Revocation::IfPresent(vec![vec![1]]));
}

#[test]
fn meaning_decides_the_digest_not_spelling() {
    let dev = Manifest::parse("dev.toml", DEV).unwrap();
    let spelt: String =
        DEV.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let spelt = put(&spelt, "trust = \"isolated\"", "").replace("cpu = 1", "cpu = 0x1");
    assert_eq!(Manifest::parse("other", &spelt).unwrap().digest(), dev.digest());
    let changed = put(DEV, "readers = [\"demo\"]", "field = \"other\"\nreaders = [\"demo\"]");
    assert_ne!(Manifest::parse("other", &changed).unwrap().digest(), dev.digest());
}

#[test]
fn an_older_image_is_permitted_until_its_day() {
    let entry = |digit: &str, until: &str| {
        format!("[[server.permitted]]\nhost_data = \"{}\"\nuntil = {until}\n", digit.repeat(64))
    };
    let text = format!("{}{}", entry("1", "\"2027-01-31\""), entry("2", "2026-12-31"));
    let manifest =
        Manifest::parse("x", &put(DEV, "# Whoever holds", &format!("{text}# Whoever"))).unwrap();
    let on = |day: &str| {
        manifest.permitted(day.parse().unwrap()).map(|h| h.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(on("2026-12-31"), ["1".repeat(64), "2".repeat(64)]);
    assert_eq!(on("2027-01-31"), ["1".repeat(64)]);
    assert_eq!(on("2027-02-01"), Vec::<String>::new());
    for bad in ["\"2027-02-30\"", "2027-01-31T00:00:00", "1", "\"soon\""] {
        let text = put(DEV, "# Whoever holds", &format!("{}# Whoever", entry("1", bad)));
        assert!(faults("x", &text)[0].contains("until: a date such as"), "{bad}");
    }
    let twice = format!("{}{}", entry("1", "2026-12-31"), entry("1", "2026-12-31"));
    let text = put(DEV, "# Whoever holds", &format!("{twice}# Whoever"));
    assert!(faults("x", &text)[0].contains("permitted[1].host_data: a value that no other"));
}

#[test]
fn paths_do_not_climb() {
    for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "ä", "a/*"] {
        assert!(bad.parse::<SecretPath>().is_err(), "{bad}");
    }
    for bad in ["", "a*", "*/a", "a/*/b", "/*", "../*"] {
        assert!(bad.parse::<PathGlob>().is_err(), "{bad}");
    }
    for good in ["*", "a", "a/b", "a/*", "a/b/*"] {
        assert!(good.parse::<PathGlob>().is_ok(), "{good}");
    }
}

/// The schema and the reader know the same keys: each key of the complete example below is in the schema, and the
/// schema has no other.
#[test]
fn the_schema_has_the_keys_of_the_language() {
    let host_data = "0".repeat(64);
    let complete = put(
        DEV,
        "# Whoever holds",
        &format!(
            "[[server.permitted]]\nhost_data = \"{host_data}\"\nuntil = \"2027-01-31\"\n# Whoever holds"
        ),
    );
    let complete = put(
        &complete,
        "genoa = {",
        "turin = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 }\ngenoa = {",
    );
    let complete = put(
        &complete,
        "tcb.genoa = {",
        "tcb.turin = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 }\ntcb.genoa = {",
    );
    let complete = format!("{complete}{}", GROUP.replace("payments", "demo"));
    let complete =
        put(&complete, "source = \"provisioner\"", "source = \"pkcs12\"\npkcs12 = \"x.p12\"");
    let manifest =
        Manifest::parse("complete", &complete).unwrap_or_else(|faults| panic!("{faults}"));
    let canonical: serde_json::Value = serde_json::from_str(&manifest.canonical()).unwrap();
    let schema = crate::schema::schema();
    let mut known = BTreeSet::new();
    keys_of_schema(&schema, &schema, "", &mut known);
    let mut used = BTreeSet::new();
    keys_of_value(&schema, &schema, &canonical, "", &mut used);
    assert_eq!(known, used);
}

fn resolve<'s>(
    root: &'s serde_json::Value,
    schema: &'s serde_json::Value,
) -> &'s serde_json::Value {
    let reference = schema.get("$ref").or_else(|| {
        schema.get("anyOf").or_else(|| schema.get("allOf")).and_then(|any| any.get(0)?.get("$ref"))
    });
    match reference.and_then(|reference| reference.as_str()) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn keys_of_schema(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    path: &str,
    out: &mut BTreeSet<String>,
) {
    let schema = resolve(root, schema);
    if let Some(properties) = schema.get("properties") {
        assert_eq!(schema["additionalProperties"], false, "{path}");
        for (key, inner) in properties.as_object().unwrap() {
            out.insert(format!("{path}.{key}"));
            keys_of_schema(root, inner, &format!("{path}.{key}"), out);
        }
    } else if let Some(inner) = schema.get("items").or_else(|| named(schema)) {
        keys_of_schema(root, inner, &format!("{path}.*"), out);
    }
}

/// The schema of the values of a table whose keys the author chooses.
fn named(schema: &serde_json::Value) -> Option<&serde_json::Value> {
    let patterns =
        schema.get("patternProperties").and_then(|patterns| patterns.as_object()?.values().next());
    patterns.or_else(|| schema.get("additionalProperties").filter(|inner| inner.is_object()))
}

fn keys_of_value(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    path: &str,
    out: &mut BTreeSet<String>,
) {
    let schema = resolve(root, schema);
    match value {
        serde_json::Value::Object(entries) => {
            for (key, inner) in entries {
                match schema.get("properties") {
                    Some(properties) => {
                        let inner_schema = properties
                            .get(key)
                            .unwrap_or_else(|| panic!("{path}.{key} is not in the schema"));
                        out.insert(format!("{path}.{key}"));
                        keys_of_value(root, inner_schema, inner, &format!("{path}.{key}"), out);
                    }
                    None => keys_of_value(
                        root,
                        named(schema).unwrap(),
                        inner,
                        &format!("{path}.*"),
                        out,
                    ),
                }
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                keys_of_value(root, &schema["items"], item, &format!("{path}.*"), out);
            }
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

mod hostile {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\[[a-z.\"]{0,9}\\]\n|[a-z._]{1,9} ?= ?[-0-9a-z\"'{}\\[\\], .é]{0,12}\n){0,9}") {
            if let Err(faults) = crate::Manifest::parse("x", &text) {
                prop_assert!(!faults.list().is_empty());
                prop_assert!(!faults.to_string().is_empty());
            }
        }

        #[test]
        fn no_cut_makes_it_panic(at in 0..super::DEV.len(), skip in 0_usize..40) {
            let (before, after) = super::DEV.split_at(super::DEV.floor_char_boundary(at));
            let rest = after.get(after.floor_char_boundary(skip)..).unwrap_or_default();
            if let Err(faults) = crate::Manifest::parse("x", &format!("{before}{rest}")) {
                prop_assert!(!faults.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_workloads_group_is_read_and_kept_out_of_public_debugging() {
    let text = format!("{PROD}{GROUP}");
    let manifest = Manifest::parse("prod.toml", &text).unwrap();
    let (_, payments) = manifest.workload().iter().find(|(n, _)| n.as_str() == "payments").unwrap();
    let found = payments.group.as_ref().unwrap();
    assert_eq!((found.fragments.len(), found.fragments[0].minimum_svn), (1, 3));
    let (name, web) = found.container.iter().next().unwrap();
    assert_eq!((name.as_str(), web.user, web.no_new_privileges), ("web", Some(1000), true));
    assert_eq!(web.volumes[0].kind, VolumeKind::Secret);

    let debug =
        put(&text, "[workload.payments.group]", "[workload.payments.group]\ninsecure_debug = true");
    let expected =
        "workload.payments.group.insecure_debug: no `insecure_` key, because the cloud is public";
    assert!(faults("prod.toml", &debug).iter().any(|fault| fault.starts_with(expected)));
    for (old, new, expected) in [
        ("\"did:x509:0", "\"x509:0", "workload.payments.group.fragments[0].issuer: a did:x509"),
        (
            "\"/s\"",
            "\"/a/../s\"",
            "workload.payments.group.container.web.volumes[0].path: an absolute path",
        ),
        ("\"r.azurecr.io/web", "\"web", "workload.payments.group.container.web.image: an image"),
        ("user = 1000", "usr = 1000", "workload.payments.group.container.web.usr: one of the keys"),
    ] {
        let found = faults("prod.toml", &put(&text, old, new));
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{new}: {found:#?}");
    }
}
