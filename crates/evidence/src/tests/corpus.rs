//! Real evidence: each set verifies, or is refused for the reason that its description gives.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use forged_root::certificate::to_pem;
use jiff::Timestamp;

use crate::{
    Allowed, Anchors, Binding, HclReport, HclReportKind, HostData, Measurement, PcrIndex, PcrValue,
    Policy, Product, QuoteNonce, RawEvidence, RawQuote, RawVmEvidence, Report, ReportPolicy,
    Requirement, Step, TcbFloor, TpmQuote, TpmSignature, UserData, UvmPolicy, VmBinding, VmPolicy,
    certificates_from_thim, verify, verify_endorsement, verify_hardware, verify_vm,
};

/// The corpus, unless it is absent, which is said.
fn corpus(test: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
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

fn now() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn any_tcb() -> BTreeMap<Product, TcbFloor> {
    Product::ALL.map(|product| (product, TcbFloor::default())).into()
}

/// Base64url as Microsoft's clients write it, with padding or without.
fn base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).unwrap()
}

#[test]
fn corpus_a_complete_container_set_verifies() {
    let Some(folder) = corpus("corpus_a_complete_container_set_verifies") else { return };
    let folder = folder.join("confidential-sidecar-containers/attest");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let evidence = RawEvidence {
        report: read("snp_report.bin"),
        certificates: String::from_utf8(read("uvm_host_amd_certificate.pem")).unwrap(),
        uvm_endorsement: read("body.uvm_reference_info.bin"),
    };
    let binding = Report::parse(&evidence.report).unwrap().report_data;
    let rego = STANDARD.decode(read("uvm_security_policy.base64").trim_ascii()).unwrap();
    let host_data = HostData::of_policy(&rego);
    assert!(host_data.to_string().starts_with("cadd74f7"));
    let mut policy = Policy::container(any_tcb(), 22);
    policy.report.host_data = Allowed::only([host_data]);
    let verified = verify(&policy, &Anchors::amd(), &evidence, &binding, now()).unwrap();
    assert_eq!((verified.product(), verified.uvm_svn()), (Product::Milan, 22));
    assert_eq!(verified.reported_tcb().to_string(), "bootloader 3, tee 0, snp 8, microcode 115");

    let thim = certificates_from_thim(&read("uvm_host_amd_certificate.json")).unwrap();
    let from_service = RawEvidence { certificates: thim, ..evidence.clone() };
    verify(&policy, &Anchors::amd(), &from_service, &binding, now()).unwrap();

    let refused = |policy: &Policy, now: &str| {
        verify(policy, &Anchors::amd(), &evidence, &binding, now.parse().unwrap()).unwrap_err().step
    };
    assert_eq!(refused(&policy, "2031-01-01T00:00:00Z"), Step::Validity);
    let floor = TcbFloor { snp: 9, ..TcbFloor::default() };
    assert_eq!(
        refused(
            &Policy {
                report: ReportPolicy::guest([(Product::Milan, floor)].into()),
                uvm: policy.uvm.clone()
            },
            "2026-03-01T00:00:00Z"
        ),
        Step::TcbFloor
    );
    assert_eq!(
        refused(
            &Policy { uvm: UvmPolicy::container_platform(100), ..policy },
            "2026-03-01T00:00:00Z"
        ),
        Step::EndorsementSvn
    );
}

#[test]
fn corpus_a_real_attestation_request_verifies() {
    let Some(folder) = corpus("corpus_a_real_attestation_request_verifies") else { return };
    let path = folder.join("azure-cleanroom/insecure-virtual/encryption/maa-request.json");
    let request: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let text = |value: &serde_json::Value| base64url(value.as_str().unwrap());
    let report: serde_json::Value = serde_json::from_slice(&text(&request["report"])).unwrap();
    let endorsements: serde_json::Value =
        serde_json::from_slice(&text(&report["Endorsements"])).unwrap();
    let evidence = RawEvidence {
        report: text(&report["SnpReport"]),
        certificates: String::from_utf8(text(&report["VcekCertChain"])).unwrap(),
        uvm_endorsement: text(&endorsements["Uvm"][0]),
    };
    let binding = Binding::sha256(&text(&request["runtimeData"]["data"]));
    let policy = Policy::container(any_tcb(), 103);
    let verified = verify(&policy, &Anchors::amd(), &evidence, &binding, now()).unwrap();
    assert_eq!(
        (verified.product(), verified.report().version, verified.uvm_svn()),
        (Product::Milan, 3, 103)
    );
    let allow_all = "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20";
    assert_eq!(verified.host_data().to_string(), allow_all);
    let step = verify(&policy, &Anchors::amd(), &evidence, &Binding::sha256(b"other"), now())
        .unwrap_err()
        .step;
    assert_eq!(step, Step::Binding);
}

#[test]
fn corpus_a_security_context_is_read() {
    let Some(folder) = corpus("corpus_a_security_context_is_read") else { return };
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let context =
        |name: &str| read(&format!("confidential-sidecar-containers/security-context/{name}"));
    let report = read("tee-attestation-verification/milan_attestation_report.bin");
    let evidence = RawEvidence::from_security_context(
        report,
        &context("host-amd-cert-base64"),
        &context("reference-info-base64"),
    )
    .unwrap();
    let rego = STANDARD.decode(context("security-policy-base64").trim_ascii()).unwrap();
    let parsed = Report::parse(&evidence.report).unwrap();
    assert_eq!(parsed.host_data, HostData::of_policy(&rego));
    // The certificates are those of another machine.
    let refusal = verify_hardware(&Anchors::amd(), &evidence.report, &evidence.certificates, now())
        .unwrap_err();
    assert_eq!(refusal.step, Step::Signature);
    let endorsed = "03fea02823189b25d0623a5c81f97c8ba4d2fbc48c914a55ce525f90454ddcec\
                    303743dac2fc013f0846912d1412f6df";
    let endorsed: Measurement = endorsed.parse().unwrap();
    let check = |min_svn, measurement: &Measurement| {
        let policy = UvmPolicy::container_platform(min_svn);
        verify_endorsement(&policy, &Anchors::amd(), &evidence.uvm_endorsement, measurement)
    };
    assert_eq!(check(100, &endorsed).unwrap().svn(), 100);
    assert_eq!(check(101, &endorsed).unwrap_err().step, Step::EndorsementSvn);
    assert_eq!(check(100, &parsed.measurement).unwrap_err().step, Step::EndorsedMeasurement);
}

#[test]
fn corpus_reports_of_azure_verify_under_their_chains() {
    let Some(folder) = corpus("corpus_reports_of_azure_verify_under_their_chains") else { return };
    let folder = folder.join("tee-attestation-verification");
    for (name, product, version) in [("milan", Product::Milan, 3), ("turin", Product::Turin, 5)] {
        let text =
            |part: &str| fs::read_to_string(folder.join(format!("{name}_{part}.pem"))).unwrap();
        let report = fs::read(folder.join(format!("{name}_attestation_report.bin"))).unwrap();
        let certificates = format!("{}\n{}\n{}", text("vcek"), text("ask"), text("ark"));
        let verified = verify_hardware(&Anchors::amd(), &report, &certificates, now()).unwrap();
        assert_eq!((verified.product(), verified.report().version), (product, version));
        assert!(verified.report().platform.alias_check_complete());
        let early = "2020-01-01T00:00:00Z".parse().unwrap();
        let refusal = verify_hardware(&Anchors::amd(), &report, &certificates, early).unwrap_err();
        assert_eq!(refusal.step, Step::Validity);
    }
}

#[test]
fn corpus_a_bare_metal_report_verifies_and_foreign_keys_do_not() {
    let Some(folder) = corpus("corpus_a_bare_metal_report_verifies_and_foreign_keys_do_not") else {
        return;
    };
    let folder = folder.join("trustee");
    let report = fs::read(folder.join("snp/test-report.bin")).unwrap();
    let authorities = fs::read_to_string(folder.join("milan_ask_ark_asvk.pem")).unwrap();
    let check = |vcek: &str| {
        let der = fs::read(folder.join(format!("snp/{vcek}.der"))).unwrap();
        let certificates = to_pem(&der) + &authorities;
        verify_hardware(&Anchors::amd(), &report, &certificates, now())
    };
    assert_eq!(check("test-vcek").unwrap().product(), Product::Milan);
    assert_eq!(check("test-vcek-invalid-new").unwrap_err().step, Step::Signature);
    assert_eq!(check("test-vcek-invalid-legacy").unwrap_err().step, Step::Signature);
}

#[test]
fn corpus_the_report_of_a_vm_verifies_only_under_its_own_chain() {
    let Some(folder) = corpus("corpus_the_report_of_a_vm_verifies_only_under_its_own_chain") else {
        return;
    };
    let report = |name: &str| {
        let hcl = fs::read(folder.join(name)).unwrap();
        hcl[32..32 + Report::LEN].to_vec()
    };
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let check = |report: &[u8], certificates: &str| {
        verify_hardware(&Anchors::amd(), report, certificates, now())
    };
    let verified =
        check(&report("trustee/az-snp-vtpm/hcl-report.bin"), &text("trustee/az-snp-vtpm/vcek.pem"));
    assert!(verified.is_ok(), "{verified:?}");
    let foreign = check(
        &report("azure-cvm-tooling/hcl-report-snp.bin"),
        &text("azure-cvm-tooling/certs.pem"),
    );
    assert_eq!(foreign.unwrap_err().step, Step::Signature);
    // A report of Intel's is none of ours.
    let intel = check(
        &report("azure-cvm-tooling/hcl-report-tdx.bin"),
        &text("azure-cvm-tooling/certs.pem"),
    );
    assert_eq!(intel.unwrap_err().step, Step::Structure);
}

#[test]
fn corpus_a_complete_vm_set_verifies() {
    let Some(folder) = corpus("corpus_a_complete_vm_set_verifies") else { return };
    let path = folder.join("azure-cleanroom/cvm/insecure-virtual/signing/attestation.json");
    let document: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let set = &document["report"]["snpCvm"];
    let bytes = |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    // Two bytes of length, the quote, its signature.
    let quote = bytes(&set["evidence"]["tpmQuote"]);
    let (len, rest) = quote.split_first_chunk().unwrap();
    let (message, signature) = rest.split_at(u16::from_be_bytes(*len).into());
    let pcrs = set["evidence"]["pcrs"].as_object().unwrap().iter().map(|(index, value)| {
        let index = PcrIndex::try_from(index.parse::<u8>().unwrap()).unwrap();
        (index, PcrValue::new(bytes(value).try_into().unwrap()))
    });
    let pcrs: BTreeMap<_, _> = pcrs.collect();
    let evidence = RawVmEvidence {
        hcl_report: bytes(&set["evidence"]["hclReport"]),
        certificates: set["platformCertificates"].as_str().unwrap().to_owned(),
        quote: RawQuote {
            message: message.to_vec(),
            signature: signature.to_vec(),
            pcrs: pcrs.clone(),
        },
    };
    let claims = HclReport::parse(&evidence.hcl_report).unwrap().claims().unwrap();
    let user_data = claims.user_data().unwrap();
    let binding = VmBinding {
        nonce: QuoteNonce::new(bytes(&set["nonce"])).unwrap(),
        user_data: UserData::Exactly(user_data[..32].to_vec()),
    };
    let policy = VmPolicy {
        report: ReportPolicy::guest(any_tcb()),
        pcrs: pcrs.into_iter().map(|(index, value)| (index, [value].into())).collect(),
        secure_boot: Requirement::Required,
    };
    let verified = verify_vm(&policy, &Anchors::amd(), &evidence, &binding, now()).unwrap();
    assert_eq!((verified.product(), verified.report().version), (Product::Milan, 3));
    assert_eq!(verified.claims().vm_id(), Some("BDD43C6F-0B79-4D3F-BE6A-C594AF3BAF6E"));
    assert_eq!((verified.quote().reset_count, verified.quote().restart_count), (2, 0));
    let other = VmBinding { nonce: QuoteNonce::sha256(b"other"), ..binding };
    let refusal = verify_vm(&policy, &Anchors::amd(), &evidence, &other, now()).unwrap_err();
    assert_eq!(refusal.step, Step::QuoteNonce);
}

#[test]
fn corpus_the_vtpm_evidence_of_confidential_containers_verifies() {
    let test = "corpus_the_vtpm_evidence_of_confidential_containers_verifies";
    let Some(folder) = corpus(test) else { return };
    let read = |name: &str| fs::read(folder.join("trustee").join(name)).unwrap();
    let document: serde_json::Value =
        serde_json::from_slice(&read("az-snp-vtpm/evidence-v1.json")).unwrap();
    let text = |value: &serde_json::Value| base64url(value.as_str().unwrap());
    let quote: RcarQuote = serde_json::from_value(document["tpm_quote"].clone()).unwrap();
    let authorities = String::from_utf8(read("milan_ask_ark_asvk.pem")).unwrap();
    let evidence = RawVmEvidence {
        hcl_report: text(&document["hcl_report"]),
        certificates: to_pem(&text(&document["vcek"])) + &authorities,
        quote: quote.raw(),
    };
    let nonce = TpmQuote::parse(&evidence.quote.message).unwrap().extra_data;
    let policy = VmPolicy {
        report: ReportPolicy::guest(any_tcb()),
        pcrs: BTreeMap::new(),
        secure_boot: Requirement::NotRequired,
    };
    let check = |evidence: &RawVmEvidence, nonce| {
        let binding = VmBinding { nonce, user_data: UserData::Any };
        verify_vm(&policy, &Anchors::amd(), evidence, &binding, now())
    };
    let verified = check(&evidence, QuoteNonce::new(nonce).unwrap()).unwrap();
    assert_eq!((verified.pcrs().len(), verified.claims().secure_boot()), (24, Some(true)));
    // The quote that lies beside it is of another machine's TPM, that of the other report.
    let other: RcarQuote = serde_json::from_slice(&read("az-snp-vtpm/tpm-quote-v1.json")).unwrap();
    let whole = RawVmEvidence {
        hcl_report: read("az-snp-vtpm/hcl-report.bin"),
        certificates: String::from_utf8(read("az-snp-vtpm/vcek.pem")).unwrap(),
        quote: other.raw(),
    };
    check(&whole, QuoteNonce::new(b"challenge\0".to_vec()).unwrap()).unwrap_err();
    check(&whole, QuoteNonce::new(b"challenge".to_vec()).unwrap()).unwrap();
    let mixed = RawVmEvidence { quote: other.raw(), ..evidence };
    let refusal = check(&mixed, QuoteNonce::sha256(b"challenge")).unwrap_err();
    assert_eq!(refusal.step, Step::QuoteSignature);
}

/// A quote as Confidential Containers send it: everything in hex.
#[derive(serde::Deserialize)]
struct RcarQuote {
    signature: String,
    message: String,
    pcrs: Vec<PcrValue>,
}

impl RcarQuote {
    fn raw(&self) -> RawQuote {
        let signature = TpmSignature::rsassa_sha256(unhex(&self.signature)).unwrap();
        RawQuote {
            message: unhex(&self.message),
            signature: signature.to_bytes(),
            pcrs: PcrIndex::all().zip(self.pcrs.iter().copied()).collect(),
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn corpus_hcl_reports_of_both_sizes_and_versions_are_read() {
    let Some(folder) = corpus("corpus_hcl_reports_of_both_sizes_and_versions_are_read") else {
        return;
    };
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    for (name, size, version, kind, secure_boot, user_data) in [
        ("azure-cvm-tooling/hcl-report-snp.bin", 2048, 1, HclReportKind::Snp, true, None),
        ("azure-cvm-tooling/hcl-report-tdx.bin", 2600, 2, HclReportKind::Tdx, false, Some(64)),
        ("trustee/az-snp-vtpm/hcl-report.bin", 2600, 1, HclReportKind::Snp, true, Some(64)),
    ] {
        let bytes = read(name);
        let hcl = HclReport::parse(&bytes).unwrap();
        assert_eq!((bytes.len(), hcl.version(), hcl.kind()), (size, version, kind), "{name}");
        let claims = hcl.claims().unwrap();
        assert!(claims.attestation_key().is_some_and(|(modulus, _)| modulus.len() == 256));
        assert_eq!(claims.secure_boot(), Some(secure_boot), "{name}");
        assert_eq!(claims.user_data().map(<[u8]>::len), user_data, "{name}");
        if kind == HclReportKind::Snp {
            let report = Report::parse(hcl.report()).unwrap();
            assert_eq!(report.report_data, Binding::sha256(hcl.claims_bytes()), "{name}");
        }
    }
    // The chain beside the older report is that of another machine.
    let evidence = RawVmEvidence {
        hcl_report: read("azure-cvm-tooling/hcl-report-snp.bin"),
        certificates: String::from_utf8(read("azure-cvm-tooling/certs.pem")).unwrap(),
        quote: RawQuote { message: vec![], signature: vec![], pcrs: BTreeMap::new() },
    };
    let policy = VmPolicy {
        report: ReportPolicy::guest(any_tcb()),
        pcrs: BTreeMap::new(),
        secure_boot: Requirement::NotRequired,
    };
    let binding = VmBinding { nonce: QuoteNonce::sha256(b""), user_data: UserData::Any };
    let check = |evidence: &RawVmEvidence| {
        verify_vm(&policy, &Anchors::amd(), evidence, &binding, now()).unwrap_err().step
    };
    assert_eq!(check(&evidence), Step::Signature);
    let tdx = read("azure-cvm-tooling/hcl-report-tdx.bin");
    assert_eq!(check(&RawVmEvidence { hcl_report: tdx, ..evidence }), Step::Structure);
}
