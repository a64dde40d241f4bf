use evidence::{Binding, RawEvidence, VerifiedReport, verify};
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
