use evidence::{
    Binding, PcrIndex, QuoteNonce, RawEvidence, RawQuote, RawVmEvidence, UserData, VerifiedReport,
    VerifiedVm, VmBinding, verify, verify_vm,
};
use forged_root::vm::{Hcl, QuoteFields, SoftwareAk, VmClaims, vm_fields};
use forged_root::{Chip, Form, ReportFields, UVM_MEASUREMENT, UVM_SVN, uvm_endorsement};

use super::*;

const DEV: &str = include_str!("../../../manifests/dev.toml");

/// Evidence of the demo workload after a change, verified as a server would.
fn evidence(manifest: &Manifest, change: impl FnOnce(&mut ReportFields)) -> VerifiedReport {
    let product = forged_root::Product::Milan;
    let chip = Chip::new(product, "appraisal", product.tcb());
    let mut fields = chip.fields();
    let demo = DEV.split("host_data = [\"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
    fields.host_data = *demo.parse::<evidence::HostData>().unwrap().as_bytes();
    change(&mut fields);
    let raw = RawEvidence {
        report: chip.sign(&fields),
        certificates: chip.vcek_pem_chain(),
        uvm_endorsement: uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json),
    };
    let mut policy = manifest.admission_policy();
    if manifest.workload().is_empty() {
        policy = Manifest::parse("dev.toml", DEV).unwrap().admission_policy();
    }
    let now = "2026-03-01T00:00:00Z".parse().unwrap();
    verify(&policy, &manifest.anchors(), &raw, &Binding::new(fields.report_data), now).unwrap()
}

/// The manifest with a change in the section of the demo workload.
fn manifest(old: &str, new: &str) -> Manifest {
    let (before, workload) = DEV.split_at(DEV.find("[workload.demo]").unwrap());
    assert!(workload.contains(old));
    let text = format!("{before}{}", workload.replacen(old, new, 1));
    Manifest::parse("dev.toml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Another workload that admits anything that demo could want of a platform, so that the evidence is verified.
fn with_lax(old: &str, new: &str) -> Manifest {
    let lax = "[workload.lax]\nkind = \"container\"\nhost_data = [\"LAX\"]\ndebug = true\nvmpl = 0\n\
        tcb.milan = { bootloader = 0, tee = 0, snp = 0, microcode = 0 }\n\
        uvm = { feed = \"ContainerPlat-AMD-UVM\", minimum_svn = 1 }\n\n[workload.demo]";
    let lax = lax.replace("LAX", &"0".repeat(64));
    let (before, workload) = DEV.split_at(DEV.find("[workload.demo]").unwrap());
    let workload = workload.replacen(old, new, 1).replacen("[workload.demo]", &lax, 1);
    Manifest::parse("dev.toml", &format!("{before}{workload}"))
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// The one difference that keeps the evidence from being demo's.
fn check(manifest: &Manifest, change: impl FnOnce(&mut ReportFields)) -> String {
    let refused = appraise(manifest, &evidence(manifest, change)).unwrap_err();
    let demo = refused.candidates().iter().find(|c| c.workload.as_str() == "demo").unwrap();
    let [only] = demo.differences.as_slice() else { panic!("{refused}") };
    format!("{}: {} / {}", only.field, only.expected, only.found)
}

#[test]
fn names_the_workload_and_its_secrets() {
    let manifest = manifest("", "");
    let appraised = appraise(&manifest, &evidence(&manifest, |_| {})).unwrap();
    assert_eq!(appraised.workload().as_str(), "demo");
    let readable: Vec<String> =
        appraised.readable().iter().map(|(path, field)| format!("{path} {field}")).collect();
    assert_eq!(readable, ["demo/db-password value", "demo/tls-key pem"]);
}

#[test]
fn each_requirement_keeps_evidence_out_alone() {
    let dev = with_lax("", "");
    let found = check(&dev, |fields| fields.host_data = [7; 32]);
    assert!(found.starts_with("host_data: "), "{found}");
    assert!(found.ends_with(&"07".repeat(32)), "{found}");
    assert_eq!(check(&dev, |fields| fields.policy |= 1 << 19), "debug: false / true");

    let measured =
        with_lax("vmpl = 0", &format!("vmpl = 0\nlaunch_measurements = [\"{}\"]", "1".repeat(96)));
    let found = check(&measured, |_| {});
    assert!(found.starts_with(&format!("launch_measurements: {}", "1".repeat(96))), "{found}");

    let newer = with_lax("microcode = 219", "microcode = 220");
    let refused = appraise(&newer, &evidence(&newer, |_| {})).unwrap_err();
    let demo = refused.candidates().iter().find(|c| c.workload.as_str() == "demo").unwrap();
    let tcb: Vec<&str> =
        demo.differences.iter().map(|d| d.expected.split(' ').next().unwrap()).collect();
    assert_eq!(tcb, ["reported", "committed", "launch"]);

    for at in ["committed", "launch"] {
        let older = |fields: &mut ReportFields| match at {
            "committed" => fields.committed_tcb[7] -= 1,
            _ => fields.launch_tcb[7] -= 1,
        };
        assert!(check(&dev, older).starts_with(&format!("tcb: {at} at least")));
    }

    let genoa_only = with_lax("tcb.milan", "# tcb.milan");
    assert_eq!(check(&genoa_only, |_| {}), "tcb: genoa / milan");
    let svn = with_lax("minimum_svn = 100", "minimum_svn = 105");
    assert_eq!(check(&svn, |_| {}), "uvm: minimum_svn 105 / 104");
}

#[test]
fn says_which_workload_is_nearest() {
    let dev = with_lax("", "");
    let text = appraise(&dev, &evidence(&dev, |f| f.policy |= 1 << 19)).unwrap_err().to_string();
    // Both differ in one thing, so the order is that of the names.
    assert!(
        text.starts_with(
            "the evidence fits no workload; the nearest is demo: debug: expected false"
        ),
        "{text}"
    );
    let text = appraise(
        &dev,
        &evidence(&dev, |f| {
            f.policy |= 1 << 19;
            f.host_data = [7; 32];
        }),
    );
    assert!(text.unwrap_err().to_string().contains("the nearest is lax: host_data"));
}

#[test]
fn a_manifest_without_workloads_admits_nobody() {
    let (before, _) = DEV.split_at(DEV.find("[workload.demo]").unwrap());
    let empty = Manifest::parse("dev.toml", before).unwrap();
    assert!(empty.admission_policy().report.floors.is_empty());
    let refused = appraise(&empty, &evidence(&empty, |_| {})).unwrap_err();
    assert_eq!(refused.to_string(), "the manifest names no workload");
}

#[test]
fn admission_is_what_some_workload_admits() {
    let policy = with_lax("", "").admission_policy();
    assert_eq!(policy.report.floors[&Product::Milan], TcbFloor::default());
    assert_eq!(policy.report.floors[&Product::Genoa].bootloader, 10);
    assert_eq!((policy.uvm.min_svn, policy.report.debug), (1, DebugPolicy::DangerouslyAllow));
    assert_eq!(manifest("", "").admission_policy().report.debug, DebugPolicy::Refuse);
    let turin = |fmc| TcbFloor { fmc, ..TcbFloor::default() };
    assert_eq!(lower(turin(Some(2)), turin(Some(1))).fmc, Some(1));
}

/// What a machine shows, before it is evidence.
struct Machine {
    claims: VmClaims,
    registers: Vec<(u8, [u8; 32])>,
    fields: fn(&mut ReportFields),
}

/// Evidence of dev.toml's machine after a change, verified as a server would.
fn machine(manifest: &Manifest, change: impl FnOnce(&mut Machine)) -> VerifiedVm {
    let product = forged_root::Product::Milan;
    let chip = Chip::new(product, "appraisal", product.tcb());
    let ak = SoftwareAk::new();
    let value = |register: &str| {
        let text = DEV.split(&format!("\n{register} = [\"")).nth(1).and_then(|rest| rest.get(..64));
        *text.unwrap().parse::<PcrValue>().unwrap().as_bytes()
    };
    let mut machine = Machine {
        claims: VmClaims::new(ak.public()),
        registers: vec![(4, value("4")), (7, value("7"))],
        fields: |_| {},
    };
    change(&mut machine);
    let claims = machine.claims.json();
    let mut fields = vm_fields(&chip, &claims);
    (machine.fields)(&mut fields);
    let message = QuoteFields::new(b"a challenge", &machine.registers).attest();
    let pcrs = machine
        .registers
        .iter()
        .map(|(register, value)| (PcrIndex::try_from(*register).unwrap(), PcrValue::new(*value)));
    let raw = RawVmEvidence {
        hcl_report: Hcl::with(&fields, &chip, claims).bytes(),
        certificates: chip.vcek_pem_chain(),
        quote: RawQuote { signature: ak.sign(&message), message, pcrs: pcrs.collect() },
    };
    let nonce = QuoteNonce::new(b"a challenge".to_vec()).unwrap();
    let binding = VmBinding { nonce, user_data: UserData::Any };
    let now = "2026-03-01T00:00:00Z".parse().unwrap();
    let policy = manifest.vm_admission_policy();
    verify_vm(&policy, &manifest.anchors(), &raw, &binding, now).unwrap()
}

/// dev.toml with a change in the section of the machine, and another one that admits any platform.
fn with_lax_machine(old: &str, new: &str) -> Manifest {
    let (before, section) = DEV.split_at(DEV.find("[workload.machine]").unwrap());
    let measurement = section.split("launch_measurements = [\"").nth(1).unwrap().get(..96).unwrap();
    let other = "1".repeat(96);
    let lax = format!(
        "[workload.lax]\nkind = \"vm\"\ndebug = true\nvmpl = 0\nsecure_boot = false\n\
        launch_measurements = [\"{measurement}\", \"{other}\"]\npcrs.4 = [\"{0}\"]\npcrs.7 = [\"{0}\"]\n\
        tcb.milan = {{ bootloader = 0, tee = 0, snp = 0, microcode = 0 }}\n\n",
        "0".repeat(64)
    );
    assert!(section.contains(old));
    let text = format!("{before}{lax}{}", section.replacen(old, new, 1));
    Manifest::parse("dev.toml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The one difference that keeps the evidence from being the machine's.
fn check_machine(manifest: &Manifest, change: impl FnOnce(&mut Machine)) -> String {
    let refused = appraise_vm(manifest, &machine(manifest, change)).unwrap_err();
    let candidates = refused.candidates();
    let nearest = candidates.iter().find(|c| c.workload.as_str() == "machine").unwrap();
    let [only] = nearest.differences.as_slice() else { panic!("{refused}") };
    format!("{}: {} / {}", only.field, only.expected, only.found)
}

#[test]
fn names_the_machine_and_its_secrets() {
    let dev = manifest("", "");
    let appraised = appraise_vm(&dev, &machine(&dev, |_| {})).unwrap();
    assert_eq!(appraised.workload().as_str(), "machine");
    let readable: Vec<&str> = appraised.readable().keys().map(SecretPath::as_str).collect();
    assert_eq!(readable, ["machine/disk-key"]);
}

#[test]
fn each_requirement_keeps_a_machine_out_alone() {
    let dev = with_lax_machine("", "");
    let check = |change: fn(&mut Machine)| check_machine(&dev, change);
    let found = check(|machine| machine.registers[0].1 = [4; 32]);
    assert!(found.starts_with("pcrs: 4 = ") && found.ends_with(&"04".repeat(32)), "{found}");
    let found = check(|machine| machine.registers.truncate(1));
    assert!(found.starts_with("pcrs: 7 = ") && found.ends_with("/ not quoted"), "{found}");
    assert_eq!(
        check(|machine| machine.claims.secure_boot = Some(false)),
        "secure_boot: true / false"
    );
    assert_eq!(
        check(|machine| machine.claims.secure_boot = None),
        "secure_boot: true / no claim about it"
    );
    assert_eq!(
        check(|machine| machine.fields = |fields| fields.policy |= 1 << 19),
        "debug: false / true"
    );
    let found = check(|machine| machine.fields = |fields| fields.measurement = [0x11; 48]);
    assert!(found.starts_with("launch_measurements: "), "{found}");
    let genoa_only = with_lax_machine("tcb.milan", "# tcb.milan");
    assert_eq!(check_machine(&genoa_only, |_| {}), "tcb: genoa / milan");
}

#[test]
fn a_container_is_no_machine_and_a_machine_no_container() {
    let dev = manifest("", "");
    let refused = appraise(&dev, &evidence(&dev, |fields| fields.host_data = [7; 32])).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("the nearest is demo: host_data"), "{text}");
    assert_eq!(refused.candidates()[1].differences[0].field, Requirement::Kind);
    let wrong = machine(&dev, |machine| machine.registers[0].1 = [4; 32]);
    let refused = appraise_vm(&dev, &wrong).unwrap_err();
    assert!(refused.to_string().contains("the nearest is machine: pcrs"), "{refused}");
    let kind = &refused.candidates()[1].differences[0];
    assert_eq!((kind.expected.as_str(), kind.found.as_str()), ("container", "vm"));
    // Neither kind's admission admits the other's measurement or floors.
    let (before, _) = DEV.split_at(DEV.find("[workload.machine]").unwrap());
    let containers = Manifest::parse("dev.toml", before).unwrap();
    assert!(containers.vm_admission_policy().report.floors.is_empty());
    assert_eq!(containers.vm_admission_policy().report.measurements, Allowed::only([]));
}
