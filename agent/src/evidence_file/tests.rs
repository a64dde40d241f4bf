//! Forged files shown and verified, and every file of the corpus of the promised kinds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::Parser;
use evidence::Step;
use forged_root::vm::{Hcl, QuoteFields, SoftwareAk, VmClaims};
use forged_root::{Chip, Endorsement, Form, Product, UVM_MEASUREMENT, UVM_SVN, amd_crl, keys};
use jiff::Timestamp;

use super::{EvidenceFault, EvidenceVerb, run};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    verb: EvidenceVerb,
}

/// Runs the words of a command line, and returns how it ended and what it printed.
fn command(words: &[&str]) -> (Result<(), EvidenceFault>, String) {
    let words = [&["evidence"], words].concat();
    let line = Line::try_parse_from(words.iter().map(OsString::from)).unwrap();
    let mut out = Vec::new();
    let ended = run(line.verb, Timestamp::constant(1_772_323_200, 0), &mut out);
    (ended, String::from_utf8(out).unwrap())
}

/// A folder with forged evidence.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let chip = Chip::new(Product::Milan, "file", Product::Milan.tcb());
        folder.put("report.bin", &chip.sign(&chip.fields()));
        folder.put("thim.json", chip.thim_json().as_bytes());
        let endorsement = Endorsement::new(&UVM_MEASUREMENT, UVM_SVN, Form::Transparent).sign();
        folder.put("endorsement.cose", &endorsement);
        let ark = keys::ark(Product::Milan).certificate;
        folder.put("roots.pem", [ark, keys::UVM_ROOT.certificate].concat().as_bytes());
        let ak = SoftwareAk::new();
        let hcl = Hcl::new(&chip, &VmClaims::new(ak.public())).bytes();
        folder.put("hcl.bin", &hcl);
        let message = QuoteFields::new(b"a nonce!", &[(7, [7; 32])]).attest();
        let vm = serde_json::to_vec(&evidence::RawVmEvidence {
            hcl_report: hcl,
            certificates: chip.vcek_pem_chain(),
            quote: evidence::RawQuote {
                signature: ak.sign(&message),
                message,
                pcrs: [(7.try_into().unwrap(), evidence::PcrValue::new([7; 32]))].into(),
            },
        });
        folder.put("vm.json", &vm.unwrap());
        for (name, revoked) in [("crl.der", &[][..]), ("revoked.der", &[1])] {
            let times =
                ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"].map(|t| t.parse().unwrap());
            folder.put(name, &amd_crl(Product::Milan, revoked, times[0], times[1]));
        }
        folder
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs `verify` with words of which those with a dot are files of this folder.
    fn verify(&self, words: &[&str]) -> (Result<(), EvidenceFault>, String) {
        let words: Vec<_> = words
            .iter()
            .map(|word| if word.contains('.') { self.path(word) } else { (*word).to_owned() })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        command(&[&["verify"], words.as_slice()].concat())
    }
}

#[test]
fn shows_text_and_json() {
    let folder = Folder::new();
    let (ended, text) = command(&["show", &folder.path("report.bin")]);
    ended.unwrap();
    for line in ["format: snp report", "  product: milan", "    debug: no", "verified: no"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let (ended, text) = command(&["show", "--json", &folder.path("vm.json")]);
    ended.unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["format"], "virtual machine evidence");
    assert_eq!(json["hcl_report"]["runtime_claims"]["secure_boot"], true);
    assert_eq!(json["quote"]["resets"], 3);
    assert_eq!(json["certificates"].as_array().unwrap().len(), 3);
}

#[test]
fn verifies_each_kind_step_by_step() {
    let folder = Folder::new();
    let (ended, text) =
        folder.verify(&["report.bin", "--certificates", "thim.json", "--roots", "roots.pem"]);
    ended.unwrap();
    assert!(text.contains("3 report signature: passed"), "{text}");
    assert!(text.contains("7 revocation: not demanded: no list was given (--crl)"), "{text}");
    assert!(text.contains("outcome: passed") && !text.contains("endorse"), "{text}");
    let (ended, text) = folder.verify(&[
        "report.bin",
        "--certificates",
        "thim.json",
        "--roots",
        "roots.pem",
        "--endorsement",
        "endorsement.cose",
        "--crl",
        "crl.der",
    ]);
    ended.unwrap();
    assert!(text.contains("7 revocation: passed"), "{text}");
    assert!(text.contains("34 endorsed measurement: passed"), "{text}");
    let (ended, text) = folder.verify(&["vm.json", "--roots", "roots.pem"]);
    ended.unwrap();
    assert!(text.contains("39 quote nonce: not demanded"), "{text}");
    let nonce = "61206e6f6e636521";
    let (ended, text) = folder.verify(&["vm.json", "--roots", "roots.pem", "--nonce", nonce]);
    ended.unwrap();
    assert!(text.contains("39 quote nonce: passed"), "{text}");
    let (ended, text) =
        folder.verify(&["hcl.bin", "--certificates", "thim.json", "--roots", "roots.pem"]);
    ended.unwrap();
    assert!(text.contains("19 binding: passed"), "{text}");
}

#[test]
fn says_of_another_technology_that_it_is_one() {
    let folder = Folder::new();
    let mut hcl = fs::read(folder.path("hcl.bin")).unwrap();
    hcl[1224] = 4;
    folder.put("tdx.bin", &hcl);
    let (ended, text) = folder.verify(&["tdx.bin"]);
    assert!(matches!(ended, Err(EvidenceFault::Refused { step: Step::Structure })), "{text}");
    assert!(text.contains("REFUSED: expected an hcl report of kind snp, found tdx"), "{text}");
    let (ended, text) = command(&["show", &folder.path("tdx.bin")]);
    ended.unwrap();
    assert!(text.contains("kind: tdx") && text.contains("secure_boot"), "{text}");
}

#[test]
fn shows_a_revocation_list() {
    let folder = Folder::new();
    let (ended, text) = command(&["show", &folder.path("crl.der")]);
    ended.unwrap();
    assert!(text.contains("format: revocation list") && text.contains("ARK-Milan"), "{text}");
}

#[test]
fn says_which_step_refused() {
    let folder = Folder::new();
    let refused = |words: &[&str], line: &str| {
        let (ended, text) = folder.verify(words);
        let fault = ended.unwrap_err();
        assert!(fault.is_refusal(), "{fault}");
        assert!(text.contains(line) && text.contains("not reached"), "{line} in {text}");
        assert!(text.contains("outcome: refused"), "{text}");
    };
    let report = ["report.bin", "--certificates", "thim.json"];
    refused(&report, "4 root: REFUSED: expected a pinned root of AMD, found ARK-Milan");
    let with = |more: &[&'static str]| [&report[..], &["--roots", "roots.pem"], more].concat();
    refused(&with(&["--crl", "revoked.der"]), "7 revocation: REFUSED: expected authorities that");
    refused(&with(&["--at", "2075-01-01T00:00:00Z"]), "6 validity: REFUSED");
    refused(&with(&["--runtime-data", "crl.der"]), "19 binding: REFUSED");
    let nonce = "61206e6f6e636522";
    refused(&["vm.json", "--roots", "roots.pem", "--nonce", nonce], "39 quote nonce: REFUSED");
}

#[test]
fn verifies_against_a_manifest() {
    let folder = Folder::new();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/dev.toml");
    let file = |name: &str| folder.path(name);
    let (ended, text) = command(&[
        "verify",
        &file("report.bin"),
        "--certificates",
        &file("thim.json"),
        "--endorsement",
        &file("endorsement.cose"),
        "--manifest",
        manifest,
    ]);
    assert!(matches!(ended, Err(EvidenceFault::NoWorkload)), "{text}");
    assert!(text.contains("outcome: passed") && text.contains("workload: none"), "{text}");
    assert!(text.contains("host_data: expected"), "{text}");
}

#[test]
fn verifies_a_machine_against_a_manifest() {
    let folder = Folder::new();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/dev.toml");
    let (ended, text) = command(&["verify", &folder.path("vm.json"), "--manifest", manifest]);
    assert!(matches!(ended, Err(EvidenceFault::NoWorkload)), "{text}");
    assert!(text.contains("outcome: passed") && text.contains("pcrs: expected"), "{text}");
}

#[test]
fn says_what_is_wrong_with_files_and_words() {
    let folder = Folder::new();
    let fault = |words: &[&str]| folder.verify(words).0.unwrap_err().to_string();
    assert_eq!(fault(&["report.bin"]), "the file has no certificates");
    assert_eq!(fault(&["thim.json"]), "the file has no report");
    assert!(fault(&["none.bin"]).starts_with("reading "));
    assert_eq!(fault(&["vm.json", "--nonce", "zz"]), "--nonce: expected hex");
    assert!(fault(&["vm.json", "--roots", "report.bin"]).starts_with("--roots: expected root"));
    folder.put("large.bin", &vec![0; 600 << 10]);
    assert!(fault(&["large.bin"]).ends_with("expected at most 524288 bytes"));
}

fn corpus(test: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus"));
    let folder = env::var_os("VOUCHSAFE_CORPUS").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "a test that checks nothing must say so")]
    {
        eprintln!("corpus absent: {test}");
    }
    None
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

#[test]
fn corpus_every_file_of_evidence_is_shown() {
    let Some(folder) = corpus("corpus_every_file_of_evidence_is_shown") else { return };
    let shown = [
        ("azure-cleanroom/cvm/insecure-virtual/signing/attestation.json", "clean room evidence"),
        ("azure-cleanroom/insecure-virtual/encryption/attestation.json", "clean room evidence"),
        (
            "azure-cleanroom/insecure-virtual/encryption/maa-request.json",
            "attestation request (SevSnpVm)",
        ),
        ("azure-cvm-tooling/certs.pem", "certificates"),
        ("azure-cvm-tooling/hcl-report-snp.bin", "hcl report"),
        ("azure-cvm-tooling/hcl-report-tdx.bin", "hcl report"),
        ("azure-cvm-tooling/var-data.bin", "runtime claims"),
        (
            "confidential-sidecar-containers/attest/body.uvm_reference_info.bin",
            "utility vm endorsement",
        ),
        ("confidential-sidecar-containers/attest/snp_report.bin", "snp report"),
        (
            "confidential-sidecar-containers/attest/uvm_host_amd_certificate.json",
            "platform certificates (thim)",
        ),
        ("confidential-sidecar-containers/attest/uvm_host_amd_certificate.pem", "certificates"),
        (
            "confidential-sidecar-containers/security-context/host-amd-cert-base64",
            "platform certificates (thim)",
        ),
        (
            "confidential-sidecar-containers/security-context/reference-info-base64",
            "utility vm endorsement",
        ),
        ("tee-attestation-verification/milan_attestation_report.bin", "snp report"),
        ("tee-attestation-verification/turin_attestation_report.bin", "snp report"),
        ("tee-attestation-verification/turin_vcek.pem", "certificates"),
        ("trustee/az-snp-vtpm/evidence-v1.json", "rcar evidence (az-snp-vtpm)"),
        ("trustee/az-snp-vtpm/hcl-report.bin", "hcl report"),
        ("trustee/az-snp-vtpm/tpm-quote-v1.json", "tpm quote"),
        ("trustee/az-snp-vtpm/tpm-quote.msg", "tpm quote"),
        ("trustee/az-snp-vtpm/vcek.pem", "certificates"),
        ("trustee/snp/test-report.bin", "snp report"),
        ("trustee/snp/test-vcek.der", "certificates"),
        ("trustee/turin_ask_ark_asvk.pem", "certificates"),
    ];
    for (name, format) in shown {
        for words in [&["show"][..], &["show", "--json"]] {
            let path = folder.join(name);
            let (ended, text) = command(&[words, &[path.to_str().unwrap()]].concat());
            ended.unwrap_or_else(|fault| panic!("{name}: {}", crate::fault::chain(&fault)));
            assert!(text.contains(format), "{name}: {text}");
        }
    }
    // Whatever else lies there is shown or refused with a reason.
    let mut all = Vec::new();
    files(&folder, &mut all);
    for path in all {
        let (ended, _) = command(&["show", path.to_str().unwrap()]);
        if let Err(fault) = ended {
            assert!(!fault.is_refusal() && !crate::fault::chain(&fault).is_empty());
        }
    }
}

#[test]
fn corpus_evidence_verifies_step_by_step() {
    let Some(folder) = corpus("corpus_evidence_verifies_step_by_step") else { return };
    let verify = |words: &[&str]| {
        let words: Vec<_> = words
            .iter()
            .map(|word| match word.contains('/') {
                true => folder.join(word).to_str().unwrap().to_owned(),
                false => (*word).to_owned(),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        command(&[&["verify"], words.as_slice()].concat())
    };
    let passes = |words: &[&str]| {
        let (ended, text) = verify(words);
        ended.unwrap_or_else(|fault| panic!("{fault}: {text}"));
    };
    let refused = |words: &[&str], line: &str| {
        let (ended, text) = verify(words);
        assert!(ended.is_err_and(|fault| fault.is_refusal()), "{text}");
        assert!(text.contains(line), "{line} in {text}");
    };
    passes(&["azure-cleanroom/insecure-virtual/encryption/maa-request.json"]);
    passes(&["azure-cleanroom/insecure-virtual/encryption/attestation.json"]);
    passes(&["azure-cleanroom/cvm/insecure-virtual/signing/attestation.json"]);
    let milan = "trustee/milan_ask_ark_asvk.pem";
    passes(&["trustee/az-snp-vtpm/evidence-v1.json", "--certificates", milan]);
    let report = "trustee/snp/test-report.bin";
    passes(&[report, "--certificates", milan, "--certificates", "trustee/snp/test-vcek.der"]);
    refused(
        &[
            report,
            "--certificates",
            milan,
            "--certificates",
            "trustee/snp/test-vcek-invalid-new.der",
        ],
        "3 report signature: REFUSED",
    );
    let attest = "confidential-sidecar-containers/attest";
    let [report, thim, endorsement] =
        ["snp_report.bin", "uvm_host_amd_certificate.json", "body.uvm_reference_info.bin"]
            .map(|name| format!("{attest}/{name}"));
    passes(&[&report, "--certificates", &thim, "--endorsement", &endorsement]);
    let hcl = "azure-cvm-tooling/hcl-report-snp.bin";
    refused(&[hcl, "--certificates", "azure-cvm-tooling/certs.pem"], "3 report signature: REFUSED");
    passes(&[
        "trustee/az-snp-vtpm/hcl-report.bin",
        "--certificates",
        "trustee/az-snp-vtpm/vcek.pem",
    ]);
}
