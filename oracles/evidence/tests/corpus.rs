//! Every report of the corpus, with its certificates, through our verification and the `sev` crate's: they agree.

use std::path::PathBuf;
use std::{env, fs};

use evidence::document::Document;
use evidence::{Anchors, HclReport, Sha256, verify_hardware};
use jiff::Timestamp;
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use x509_parser::pem::Pem;

const NOW: Timestamp = Timestamp::constant(1_772_323_200, 0);

/// The corpus, unless it is absent, which is said.
fn corpus() -> Option<PathBuf> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
    let folder = env::var_os("VOUCHSAFE_CORPUS").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("corpus absent: oracles");
    None
}

/// What is said of a report and its certificates: the file of the report, those of the certificates, the key's first.
const SETS: [(&str, &[&str], bool); 9] = [
    (
        "confidential-sidecar-containers/attest/snp_report.bin",
        &["confidential-sidecar-containers/attest/uvm_host_amd_certificate.json"],
        true,
    ),
    ("azure-cleanroom/insecure-virtual/encryption/maa-request.json", &[], true),
    ("azure-cleanroom/insecure-virtual/encryption/attestation.json", &[], true),
    ("azure-cleanroom/cvm/insecure-virtual/signing/attestation.json", &[], true),
    (
        "tee-attestation-verification/milan_attestation_report.bin",
        &[
            "tee-attestation-verification/milan_vcek.pem",
            "tee-attestation-verification/milan_ask.pem",
            "tee-attestation-verification/milan_ark.pem",
        ],
        true,
    ),
    (
        "tee-attestation-verification/turin_attestation_report.bin",
        &[
            "tee-attestation-verification/turin_vcek.pem",
            "tee-attestation-verification/turin_ask.pem",
            "tee-attestation-verification/turin_ark.pem",
        ],
        true,
    ),
    (
        "trustee/snp/test-report.bin",
        &["trustee/snp/test-vcek.der", "trustee/milan_ask_ark_asvk.pem"],
        true,
    ),
    (
        "trustee/snp/test-report.bin",
        &["trustee/snp/test-vcek-invalid-new.der", "trustee/milan_ask_ark_asvk.pem"],
        false,
    ),
    ("azure-cvm-tooling/hcl-report-snp.bin", &["azure-cvm-tooling/certs.pem"], false),
];

#[test]
fn corpus_every_report_is_judged_alike() {
    let Some(folder) = corpus() else { return };
    let read = |name: &str| Document::read(&fs::read(folder.join(name)).unwrap()).unwrap().parts;
    for (file, beside, good) in SETS {
        let parts = read(file);
        let report = match (parts.report, parts.hcl_report) {
            (Some(report), _) => report,
            (None, Some(hcl)) => HclReport::parse(&hcl).unwrap().report().to_vec(),
            (None, None) => panic!("{file}: no report"),
        };
        let mut pem = parts.certificates.unwrap_or_default();
        for more in beside {
            pem.push_str(&read(more).certificates.unwrap());
            pem.push('\n');
        }
        let ours = verify_hardware(&Anchors::amd(), &report, &pem, NOW);
        assert_eq!(ours.is_ok(), good, "{file}, {beside:?}: {ours:?}");
        assert_eq!(sev(&report, &pem), good, "{file}, {beside:?}");
    }
}

/// Whether the `sev` crate accepts, with the root that we pin.
fn sev(report: &[u8], pem: &str) -> bool {
    let ders: Vec<Vec<u8>> =
        Pem::iter_from_buffer(pem.as_bytes()).map(|pem| pem.unwrap().contents).collect();
    let root = |der: &&Vec<u8>| Anchors::amd().amd_roots().contains(&Sha256::of(der));
    let (Some(vek), Some(ark)) = (ders.first(), ders.iter().find(root)) else { return false };
    let report = AttestationReport::from_bytes(report).unwrap();
    // Of several authorities one signed the key.
    ders.iter().skip(1).filter(|der| !root(der)).any(|ask| {
        Chain::from_der(ark, ask, vek).is_ok_and(|chain| (&chain, &report).verify().is_ok())
    })
}
