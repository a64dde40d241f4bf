use evidence::{HostData, PcrIndex, PcrValue, RawEvidence, RawQuote, RawVmEvidence};
use forged_root::vm::{Hcl, QuoteFields, SoftwareAk, VmClaims, vm_fields};
use forged_root::{Chip, Form, ReportFields, UVM_MEASUREMENT, UVM_SVN, uvm_endorsement};
use jiff::Timestamp;
use manifest::Manifest;
use serde_json::{Value, json};

use super::*;

const DEV: &str = include_str!("../../../manifests/dev.toml");
const PROD: &str = include_str!("../../../manifests/prod.toml");
const DEMO: &str = "c09492e22dc9662afa2bc8c74cf88d9c3810883b354ad98e93c27540a200fa69";

fn dev() -> Manifest {
    Manifest::parse("dev.toml", DEV).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

/// Evidence of a container with DEMO's HOST_DATA, after a change.
fn raw(change: impl FnOnce(&mut ReportFields)) -> RawEvidence {
    let product = forged_root::Product::Milan;
    let chip = Chip::new(product, "explain", product.tcb());
    let mut fields = chip.fields();
    fields.host_data = *DEMO.parse::<HostData>().unwrap().as_bytes();
    change(&mut fields);
    RawEvidence {
        report: chip.sign(&fields),
        certificates: chip.vcek_pem_chain(),
        uvm_endorsement: uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json),
    }
}

fn container(change: impl FnOnce(&mut ReportFields)) -> Material {
    Material::Container(raw(change).into())
}

/// What dev.toml's machine shows, before it is evidence.
struct Shown {
    fields: fn(&mut ReportFields),
    secure_boot: bool,
    registers: Vec<(u8, [u8; 32])>,
}

fn raw_machine(change: impl FnOnce(&mut Shown)) -> RawVmEvidence {
    let product = forged_root::Product::Milan;
    let chip = Chip::new(product, "explain", product.tcb());
    let ak = SoftwareAk::new();
    let value = |register: &str| {
        let text = DEV.split(&format!("\n{register} = [\"")).nth(1).and_then(|rest| rest.get(..64));
        *text.unwrap().parse::<PcrValue>().unwrap().as_bytes()
    };
    let registers = vec![(4, value("4")), (7, value("7"))];
    let mut shown = Shown { fields: |_| {}, secure_boot: true, registers };
    change(&mut shown);
    let claims = VmClaims { secure_boot: Some(shown.secure_boot), ..VmClaims::new(ak.public()) };
    let claims = claims.json();
    let mut fields = vm_fields(&chip, &claims);
    (shown.fields)(&mut fields);
    let message = QuoteFields::new(b"a challenge", &shown.registers).attest();
    let pcrs = shown
        .registers
        .iter()
        .map(|(register, value)| (PcrIndex::try_from(*register).unwrap(), PcrValue::new(*value)));
    RawVmEvidence {
        hcl_report: Hcl::with(&fields, &chip, claims).bytes(),
        certificates: chip.vcek_pem_chain(),
        quote: RawQuote { signature: ak.sign(&message), message, pcrs: pcrs.collect() },
    }
}

fn machine(change: impl FnOnce(&mut Shown)) -> Material {
    whole_machine(raw_machine(change))
}

fn whole_machine(raw: RawVmEvidence) -> Material {
    let RawVmEvidence { hcl_report, certificates, quote } = raw;
    Material::Machine(Machine { hcl_report, certificates: Some(certificates), quote: Some(quote) })
}

fn known(host_data: &str) -> Own {
    Own::Known(host_data.parse().unwrap())
}

fn of_evidence(own: &Own, material: &Material) -> Explained {
    let subject = Subject::of_evidence(material, &dev().anchors(), now());
    master_key(&dev(), own, &subject, now(), "2026-11-22".parse().unwrap()).unwrap()
}

fn refusing(explained: &Explained) -> Vec<&str> {
    let steps = explained.steps.iter().filter(|step| step.outcome == Outcome::Refuses);
    steps.map(|step| step.name).collect()
}

#[test]
fn evidence_of_the_server_gets_the_master_key() {
    let explained = of_evidence(&known(DEMO), &container(|_| {}));
    assert_eq!(explained.verdict, Verdict::Yes, "{}", text(&explained));
    insta::assert_snapshot!(text(&explained));
}

#[test]
fn other_software_fails_at_host_data() {
    let explained = of_evidence(&known(&"1".repeat(64)), &container(|_| {}));
    assert_eq!(explained.verdict, Verdict::No);
    assert_eq!(refusing(&explained), ["attestation policy", "release policy"]);
    insta::assert_snapshot!(text(&explained));
}

#[test]
fn a_debuggable_guest_fails_at_the_deny() {
    let debuggable = container(|fields| fields.policy |= 1 << 19);
    let explained = of_evidence(&known(DEMO), &debuggable);
    assert_eq!(explained.verdict, Verdict::No);
    insta::assert_snapshot!(text(&explained));
}

#[test]
fn what_depends_on_an_unknown_image_is_said_to() {
    let unknown = Own::Unknown("nobody measured it".to_owned());
    let explained = of_evidence(&unknown, &container(|_| {}));
    assert!(matches!(explained.verdict, Verdict::Unknown(_)), "{}", text(&explained));
    // What fails in any case fails here, too.
    let debuggable = container(|fields| fields.policy |= 1 << 19);
    assert_eq!(of_evidence(&unknown, &debuggable).verdict, Verdict::No);
}

#[test]
fn a_report_alone_is_believed_and_said_to_be() {
    let whole = raw(|_| {});
    let alone = evidence_file(&whole.report).unwrap();
    let explained = of_evidence(&known(DEMO), &alone);
    // Without an endorsement there is no compliance status.
    assert_eq!(refusing(&explained), ["attestation policy", "release policy"]);
    assert_eq!(explained.steps[0].outcome, Outcome::Unseen);
    let mut broken = whole;
    broken.report[0x90] ^= 1;
    assert_eq!(
        refusing(&of_evidence(&known(DEMO), &Material::Container(broken.into())))[0],
        "hardware"
    );
}

#[test]
fn a_token_is_judged_by_its_claims() {
    let whole = container(|_| {});
    let mut claims = Subject::of_evidence(&whole, &dev().anchors(), now()).claims;
    let own = known(DEMO);
    let policy = crate::AttestationPolicy::new(&dev(), &[DEMO.parse().unwrap()].into()).unwrap();
    claims.insert("iss".into(), json!(dev().attestation().address.as_str()));
    claims.insert("x-ms-policy-hash".into(), json!(policy.hash().as_str()));
    claims.insert("exp".into(), json!(now().as_second() + 60));
    let judge = |claims: &serde_json::Map<String, Value>| {
        let subject = Subject::of_token(claims.clone());
        master_key(&dev(), &own, &subject, now(), "2026-11-22".parse().unwrap()).unwrap()
    };
    assert_eq!(judge(&claims).verdict, Verdict::Yes, "{}", text(&judge(&claims)));
    for (name, value, step) in [
        ("iss", json!("https://other.weu.attest.azure.net"), "release policy"),
        (
            "x-ms-policy-hash",
            json!("9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco"),
            "release policy",
        ),
        ("exp", json!(now().as_second()), "validity"),
        ("x-ms-sevsnpvm-microcode-svn", json!(3), "attestation policy"),
    ] {
        let mut claims = claims.clone();
        claims.insert(name.to_owned(), value);
        assert_eq!(refusing(&judge(&claims)), [step], "{name}");
    }
}

fn of_secret(change: impl FnOnce(&mut ReportFields), path: &str) -> Explained {
    secret(&dev(), &container(change), path, now()).unwrap()
}

#[test]
fn the_workload_gets_its_secret() {
    let explained = of_secret(|_| {}, "demo/db-password");
    assert_eq!(explained.verdict, Verdict::Yes);
    insta::assert_snapshot!(text(&explained));
}

#[test]
fn another_names_the_nearest_workload_and_what_differs() {
    let explained = of_secret(|fields| fields.host_data = [7; 32], "demo/db-password");
    assert_eq!(explained.verdict, Verdict::No);
    insta::assert_snapshot!(text(&explained));
    // What no workload admits is compared all the same.
    let explained = of_secret(|fields| fields.policy |= 1 << 19, "demo/db-password");
    assert_eq!(refusing(&explained), ["evidence", "workload"]);
    insta::assert_snapshot!(text(&explained));
}

fn of_machine(change: impl FnOnce(&mut Shown), path: &str) -> Explained {
    secret(&dev(), &machine(change), path, now()).unwrap()
}

#[test]
fn a_machine_gets_its_secret() {
    let explained = of_machine(|_| {}, "machine/disk-key");
    assert_eq!(explained.verdict, Verdict::Yes);
    insta::assert_snapshot!(text(&explained));
    // And nobody else's.
    let explained = of_machine(|_| {}, "demo/db-password");
    assert_eq!(refusing(&explained), ["secret"]);
}

#[test]
fn a_machine_that_booted_otherwise_is_told_what_differs() {
    let other = |shown: &mut Shown| {
        shown.registers[0].1 = [4; 32];
        shown.secure_boot = false;
    };
    let explained = of_machine(other, "machine/disk-key");
    assert_eq!(refusing(&explained), ["workload"]);
    insta::assert_snapshot!(text(&explained));
    // A paravisor that no workload admits is compared all the same.
    let paravisor = |shown: &mut Shown| shown.fields = |fields| fields.measurement = [9; 48];
    let explained = of_machine(paravisor, "machine/disk-key");
    assert_eq!(refusing(&explained), ["evidence", "workload"]);
    insta::assert_snapshot!(text(&explained));
}

#[test]
fn a_machine_that_is_not_sound_is_no_workloads() {
    let Material::Machine(mut broken) = machine(|_| {}) else { panic!("a machine") };
    broken.quote.as_mut().unwrap().message[60] ^= 1;
    let material = Material::Machine(broken.clone());
    let explained = secret(&dev(), &material, "machine/disk-key", now()).unwrap();
    assert_eq!(refusing(&explained), ["evidence"]);
    for (part, without) in [
        ("no quote", Machine { quote: None, ..broken.clone() }),
        ("no certificates", Machine { certificates: None, ..broken }),
    ] {
        let material = Material::Machine(without);
        let explained = secret(&dev(), &material, "machine/disk-key", now()).unwrap();
        assert!(explained.steps[0].why[0].contains(part), "{:?}", explained.steps);
    }
}

#[test]
fn a_machine_never_gets_the_master_key() {
    let explained = of_evidence(&known(DEMO), &machine(|_| {}));
    assert_eq!(explained.verdict, Verdict::No);
    assert_eq!(
        refusing(&explained),
        ["attestation policy", "release policy", "release policy for AzureGuest"]
    );
    insta::assert_snapshot!(text(&explained));
    // Not even one on whose report somebody put the server's HOST_DATA.
    let posing = machine(|shown| {
        shown.fields = |fields| fields.host_data = *DEMO.parse::<HostData>().unwrap().as_bytes();
    });
    let explained = of_evidence(&known(DEMO), &posing);
    assert_eq!(explained.verdict, Verdict::No);
    let unknown = Own::Unknown("nobody measured it".to_owned());
    assert_eq!(of_evidence(&unknown, &posing).verdict, Verdict::No);
    let trusted =
        Material::Machine(Machine { hcl_report: vec![], certificates: None, quote: None });
    assert_eq!(refusing(&of_evidence(&known(DEMO), &trusted))[0], "hardware");
}

#[test]
fn a_workload_that_is_no_reader_is_named() {
    let text = DEV.replace(
        "[secret.\"demo/tls-key\"]\nfield = \"pem\"\nreaders = [\"demo\"]",
        "[secret.\"demo/tls-key\"]\nreaders = [\"other\"]",
    );
    let other = DEV.split("[workload.demo]").nth(1).unwrap().split("[secret").next().unwrap();
    let text = text.replace(
        "[workload.demo]",
        &format!("[workload.other]{}\n[workload.demo]", other.replace(DEMO, &"2".repeat(64))),
    );
    let manifest = Manifest::parse("dev.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    let explained = secret(&manifest, &container(|_| {}), "demo/tls-key", now()).unwrap();
    assert_eq!(refusing(&explained), ["secret"]);
    assert_eq!(explained.steps[2].why, ["demo is none of its readers: other"]);
    let unknown = secret(&manifest, &container(|_| {}), "demo/tls", now()).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the manifest has no secret demo/tls; there is demo/db-password"
    );
}

#[test]
fn reads_evidence_in_each_of_its_forms() {
    let whole = raw(|_| {});
    let expected = Material::Container(whole.clone().into());
    let ours = serde_json::to_value(&whole).unwrap();
    let b64 = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE.encode(bytes)
    };
    let uvm = json!({ "Uvm": [b64(&whole.uvm_endorsement)] }).to_string();
    let inner = json!({
        "SnpReport": b64(&whole.report),
        "VcekCertChain": b64(whole.certificates.as_bytes()),
        "Endorsements": b64(uvm.as_bytes()),
    });
    let forms = [
        ours.clone(),
        json!({ "version": 1, "evidence": ours }),
        inner.clone(),
        json!({ "report": b64(inner.to_string().as_bytes()), "nonce": 1 }),
    ];
    for form in forms {
        assert_eq!(evidence_file(form.to_string().as_bytes()).unwrap(), expected);
    }
    let whole = raw_machine(|_| {});
    let ours = serde_json::to_value(&whole).unwrap();
    for form in [ours.clone(), json!({ "version": 1, "evidence": ours })] {
        let read = evidence_file(form.to_string().as_bytes()).unwrap();
        assert!(read == whole_machine(whole.clone()));
    }
    let alone = Machine { hcl_report: whole.hcl_report.clone(), certificates: None, quote: None };
    assert_eq!(evidence_file(&whole.hcl_report).unwrap(), Material::Machine(alone));
    let quote_alone = evidence_file(&whole.quote.message).unwrap_err();
    assert_eq!(quote_alone.to_string(), "expected evidence with a report, found tpm quote alone");
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"report":1}"#,
        r#"{"report":"e30"}"#,
        r#"{"evidence":{}}"#,
        r#"{"SnpReport":"*"}"#,
    ] {
        evidence_file(bad.as_bytes()).unwrap_err();
    }
    evidence_file(&vec![b' '; (16 << 20) + 1]).unwrap_err();
}

#[test]
fn reads_tokens_and_their_claims() {
    // {"alg":"RS256"}.{"iss":"a"}
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.AA";
    let expected = json!({ "iss": "a" });
    for file in [
        jwt.to_owned(),
        format!("{jwt}\n"),
        json!({ "token": jwt }).to_string(),
        expected.to_string(),
    ] {
        assert_eq!(Value::Object(token_file(file.as_bytes()).unwrap()), expected);
    }
    for bad in ["", "a.b", "a.b.c", "eyJh.W10.AA", "{"] {
        assert_eq!(token_file(bad.as_bytes()), Err(NotToken::Form), "{bad}");
    }
}

#[expect(clippy::print_stderr, reason = "so that ci can count the tests that need the corpus")]
fn corpus(test: &str, path: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("VOUCHSAFE_CORPUS").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")),
        std::path::PathBuf::from,
    );
    let found = std::fs::read(folder.join(path)).ok();
    if found.is_none() {
        eprintln!("corpus absent: {test}");
    }
    found
}

/// The real body of a real request, under AMD's and Microsoft's roots.
#[test]
fn corpus_real_evidence_is_explained() {
    let Some(body) = corpus(
        "corpus_real_evidence_is_explained",
        "azure-cleanroom/insecure-virtual/encryption/maa-request.json",
    ) else {
        return;
    };
    let prod = Manifest::parse("prod.toml", PROD).unwrap();
    let material = evidence_file(&body).unwrap();
    let subject = Subject::of_evidence(&material, &prod.anchors(), now());
    assert!(
        subject.steps.iter().all(|step| step.outcome == Outcome::Passes),
        "{:?}",
        subject.steps
    );
    let host_data = subject.claims["x-ms-sevsnpvm-hostdata"].as_str().unwrap();
    assert_eq!(host_data, "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20");
    let today = "2026-11-22".parse().unwrap();
    let explained = master_key(&prod, &known(host_data), &subject, now(), today).unwrap();
    insta::assert_snapshot!(text(&explained));
    let explained = secret(&prod, &material, "payments/database", now()).unwrap();
    insta::assert_snapshot!(text(&explained));
}

/// A real machine's evidence under AMD's roots: the hardware is sound, and no policy of a deployment is met.
#[test]
fn corpus_a_real_machine_is_explained() {
    let test = "corpus_a_real_machine_is_explained";
    let Some(document) =
        corpus(test, "azure-cleanroom/cvm/insecure-virtual/signing/attestation.json")
    else {
        return;
    };
    let prod = Manifest::parse("prod.toml", PROD).unwrap();
    let material = evidence_file(&document).unwrap();
    let subject = Subject::of_evidence(&material, &prod.anchors(), now());
    assert_eq!(subject.steps[0].outcome, Outcome::Passes, "{:?}", subject.steps);
    let today = "2026-11-22".parse().unwrap();
    let own = known(&"1".repeat(64));
    let explained = master_key(&prod, &own, &subject, now(), today).unwrap();
    assert_eq!(explained.verdict, Verdict::No);
    insta::assert_snapshot!(text(&explained));
    let explained = secret(&prod, &material, "payments/database", now()).unwrap();
    insta::assert_snapshot!(text(&explained));
}

/// A real token of a confidential virtual machine, whose claims of the silicon are one level down.
#[test]
fn corpus_a_real_token_is_explained() {
    let test = "corpus_a_real_token_is_explained";
    let Some(token) = corpus(test, "maa-tokens/cvm-sharedwus-2022.jwt") else { return };
    let prod = Manifest::parse("prod.toml", PROD).unwrap();
    let subject = Subject::of_token(token_file(&token).unwrap());
    let own = known(&"1".repeat(64));
    let today = "2026-11-22".parse().unwrap();
    let explained = master_key(&prod, &own, &subject, now(), today).unwrap();
    assert_eq!(refusing(&explained), ["attestation policy", "release policy", "validity"]);
    let unknown = Own::Unknown("nobody measured it".to_owned());
    let same = master_key(&prod, &unknown, &subject, now(), today).unwrap();
    assert_eq!(refusing(&same), refusing(&explained));
    insta::assert_snapshot!(text(&explained));
}
