use std::collections::BTreeSet;

use super::*;

const DEV: &str = include_str!("../../../manifests/dev.toml");
const PROD: &str = include_str!("../../../manifests/prod.toml");

fn places(text: &str) -> BTreeSet<String> {
    let manifest = Manifest::parse("x", text).unwrap_or_else(|faults| panic!("{faults}"));
    let found = lint(&manifest, "2026-11-22".parse().unwrap()).unwrap();
    found.into_iter().map(|finding| finding.place).collect()
}

/// The places that a change adds to the manifest's.
fn check(base: &str, old: &str, new: &str, expected: &[&str]) {
    assert!(base.contains(old), "{old}");
    let after = places(&base.replacen(old, new, 1));
    let added: Vec<String> = after.difference(&places(base)).cloned().collect();
    assert_eq!(added, expected, "{new}");
}

#[test]
fn the_manifests_that_come_with_the_workspace() {
    let shown = |text| {
        let manifest = Manifest::parse("x", text).unwrap();
        let found = lint(&manifest, "2026-11-22".parse().unwrap()).unwrap();
        found.iter().map(|finding| format!("{finding}\n")).collect::<String>()
    };
    insta::assert_snapshot!("dev", shown(DEV));
    insta::assert_snapshot!("prod", shown(PROD));
}

#[test]
fn finds_what_is_weak() {
    check(PROD, "crl = \"require\"", "crl = \"if-present\"", &["attestation.crl"]);
    check(DEV, "secure_boot = true", "secure_boot = false", &["workload.machine.secure_boot"]);
    check(PROD, "trust = \"isolated\"", "trust = \"entra\"", &["attestation.trust"]);
    check(
        PROD,
        "purge_protection = true",
        "purge_protection = false",
        &["master_key.purge_protection"],
    );
    check(PROD, "threshold = 3", "threshold = 5", &["unseal.threshold"]);
    let may = "may = [\"write\", \"list\", \"delete\"]";
    check(
        PROD,
        may,
        "may = [\"list\", \"read\"]",
        &[
            "operator.platform.may",
            "secret.\"payments/database\"",
            "secret.\"payments/signing-key\"",
        ],
    );
    let expired = "[[server.permitted]]\nhost_data = \"0000000000000000000000000000000000000000000000000000000000000000\"\nuntil = \"2026-11-21\"\n\n[signer.release]";
    check(PROD, "[signer.release]", expired, &["server.permitted"]);
    check(
        PROD,
        "readers = [\"payments\"]\n\n[secret.\"payments/signing-key\"]\nreaders = [\"payments\"]",
        "readers = [\"payments\"]",
        &[],
    );
}

#[test]
fn finds_platforms_that_nothing_tells_apart() {
    let genoa = "[attestation.server.tcb]\nmilan = { bootloader = 4, tee = 0, snp = 24, microcode = 219 }\ngenoa = { bootloader = 10, tee = 0, snp = 23, microcode = 84 }";
    let above = genoa.replace("snp = 23, microcode = 84", "snp = 24, microcode = 220");
    check(
        PROD,
        genoa,
        &above,
        &["attestation policy", "attestation.server.tcb.genoa", "workload.payments.tcb.genoa"],
    );
    let turin =
        format!("{genoa}\nturin = {{ fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 80 }}");
    check(PROD, genoa, &turin, &["attestation.server.tcb.turin.fmc"]);
}

#[test]
fn finds_what_the_local_cloud_allows() {
    check(
        DEV,
        "immutable = true",
        "immutable = false",
        &["master_key.immutable", "release policy"],
    );
    let server = "compliance = \"azure-compliant-uvm\"\ndebug = false";
    check(
        DEV,
        server,
        &server.replace("false", "true"),
        &["attestation policy", "attestation.server.debug", "release policy"],
    );
}

#[test]
fn names_whom_a_group_admits() {
    let group = "\n[workload.payments.group]\nfragments = [{ issuer = \"did:x509:0:x\", feed = \"r/f\", minimum_svn = 3, includes = [\"containers\"] }]\n";
    let text = format!("{PROD}{group}");
    let added: Vec<String> = places(&text).difference(&places(PROD)).cloned().collect();
    assert_eq!(added, ["workload.payments.group.fragments"]);
    assert!(places(PROD).contains("policy fragments"), "every group admits the infrastructure");
}
