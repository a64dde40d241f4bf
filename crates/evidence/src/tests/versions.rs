//! Every report version on every product under each kind of key, in all combinations that exist, and what the versions add.
//!
//! AMD 56860: version 2 has no processor and is older than Turin; version 3 adds family, model and stepping; version 5 the
//! mitigation vectors. Turin has a TCB of its own (with FMC), and a hardware id of 8 bytes.

use forged_root::{Chip, Form, Product, Tcb};

use super::Sample;
use crate::{ChipId, Cpuid, FirmwareVersion, KeyPolicy, Report, SigningKey, Step, TcbFloor};

const VERSIONS: [u32; 4] = [2, 3, 4, 5];

fn sample(product: Product, kind: SigningKey) -> Sample {
    match kind {
        SigningKey::Vlek => Sample::vlek(product),
        SigningKey::Vcek | SigningKey::None | SigningKey::Other(_) => {
            Sample::new(product, Form::Transparent)
        }
    }
}

#[test]
fn every_version_of_every_product_under_either_key_verifies() {
    for (product, kind, version) in combinations() {
        let mut sample = sample(product, kind);
        sample.fields.version = version;
        let what = format!("version {version} of {product} under {kind}");
        let answer = sample.verify();
        // Turin's firmware never made version 2, which could not say what processor it is on.
        if product == Product::Turin && version == 2 {
            assert_eq!(answer.unwrap_err().step, Step::Product, "{what}");
            continue;
        }
        let verified = answer.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        let report = verified.report();
        assert_eq!(
            (report.version, verified.product().to_string()),
            (version, product.to_string())
        );
        assert_eq!(verified.hardware().signing_key(), kind, "{what}");
        let [family, model, stepping] = sample.fields.cpuid;
        let cpuid = (version >= 3).then_some(Cpuid { family, model, stepping });
        assert_eq!(report.cpuid, cpuid, "{what}");
        let mitigations = [sample.fields.launch_mitigations, sample.fields.current_mitigations]
            .map(|vector| (version >= 5).then_some(vector));
        assert_eq!([report.launch_mitigations, report.current_mitigations], mitigations, "{what}");
        let Tcb { fmc, bootloader, tee, snp, microcode } = product.tcb();
        let tcb = crate::Tcb { fmc, bootloader, tee, snp, microcode };
        assert_eq!(
            [verified.reported_tcb(), verified.committed_tcb(), verified.launch_tcb()],
            [tcb; 3],
            "{what}"
        );
        assert_eq!(tcb.fmc.is_some(), product == Product::Turin);
        let [build, minor, major] = sample.fields.current_firmware;
        assert_eq!(report.current_firmware, FirmwareVersion { major, minor, build }, "{what}");
    }
}

#[test]
fn every_combination_refuses_what_the_key_does_not_vouch_for() {
    for (product, kind, version) in combinations() {
        if product == Product::Turin && version == 2 {
            continue;
        }
        let refused = |what: &str, step, change: &dyn Fn(&mut Sample)| {
            let mut sample = sample(product, kind);
            sample.fields.version = version;
            change(&mut sample);
            let refusal = sample.verify().expect_err(what);
            let of = format!("{what}, version {version} of {product} under {kind}");
            assert_eq!(refusal.step, step, "{of}: {refusal}");
        };
        for at in super::steps::components(product) {
            refused("another reported tcb", Step::VekTcb, &|s| s.fields.reported_tcb[at] ^= 1);
            refused("a launch tcb above", Step::TcbOrder, &|s| s.fields.launch_tcb[at] += 1);
        }
        refused("the other key's flag", Step::SigningKey, &|s| s.fields.flags ^= 1 << 2);
        refused("a mitigation", Step::Platform, &|s| s.policy.report.mitigations = 1 << 63);
        if kind == SigningKey::Vcek {
            for at in 0..64 {
                refused("another chip", Step::VekChip, &|s| s.fields.chip_id[at] ^= 1);
            }
            refused("a masked chip", Step::VekChip, &|s| s.fields.chip_id = [0; 64]);
        } else {
            refused("only vcek", Step::SigningKey, &|s| s.policy.report.keys = KeyPolicy::Vcek);
        }
        if version >= 3 {
            refused("another family", Step::Product, &|s| s.fields.cpuid[0] = 0x17);
            refused("the next model", Step::Product, &|s| s.fields.cpuid[1] = 0x5f);
        }
        refused("version 6", Step::Structure, &|s| s.fields.version = 6);
    }
}

#[test]
fn mitigations_are_demanded_only_where_a_version_has_them() {
    for version in VERSIONS.into_iter().skip(1) {
        let mut sample = Sample::new(Product::Turin, Form::Json);
        sample.fields.version = version;
        sample.fields.launch_mitigations = 0b101;
        sample.fields.current_mitigations = 0b111;
        sample.policy.report.mitigations = 0b101;
        assert_eq!(sample.verify().is_ok(), version == 5, "{version}");
        sample.policy.report.mitigations = 0b111;
        assert_eq!(sample.verify().unwrap_err().step, Step::Platform, "{version}");
    }
}

#[test]
fn processors_are_of_the_product_that_amd_says() {
    // Family, model from and to; AMD 56860, table 23, and what AMD sells under the certificates of Genoa.
    for (product, family, models) in [
        (Product::Milan, 0x19, 0x00..=0x0f),
        (Product::Genoa, 0x19, 0x10..=0x1f),
        (Product::Genoa, 0x19, 0xa0..=0xaf),
        (Product::Turin, 0x1a, 0x00..=0x11),
    ] {
        for (model, stepping) in [(*models.start(), 0), (*models.end(), 0xff)] {
            let mut sample = Sample::new(product, Form::Json);
            sample.fields.cpuid = [family, model, stepping];
            sample.verify().unwrap_or_else(|refusal| panic!("{family:x} {model:x}: {refusal}"));
        }
    }
}

#[test]
fn the_hardware_id_of_turin_has_8_bytes_and_zeros_behind_them() {
    let mut sample = Sample::new(Product::Turin, Form::Json);
    let hwid = sample.chip.chip_id;
    assert_eq!(hwid[8..], [0; 56]);
    // Both ways in which AMD has written it.
    sample.chip.certificate.hwid = Some([&[4, 8], &hwid[..8]].concat());
    assert_eq!(sample.verify().unwrap().chip_id(), &ChipId::new(hwid));
    for (what, value) in [
        ("7 bytes", hwid[..7].to_vec()),
        ("9 bytes", hwid[..9].to_vec()),
        ("64 bytes, as the others have", hwid.to_vec()),
        ("a wrong length within", [&[4, 7], &hwid[..8]].concat()),
    ] {
        sample.chip.certificate.hwid = Some(value);
        assert_eq!(sample.verify().unwrap_err().step, Step::Certificates, "{what}");
    }
    let mut milan = Sample::new(Product::Milan, Form::Json);
    milan.chip.certificate.hwid = Some(milan.chip.chip_id[..8].to_vec());
    assert_eq!(milan.verify().unwrap_err().step, Step::Certificates);
}

#[test]
fn a_floor_for_fmc_is_for_turin() {
    for product in Product::ALL {
        let mut sample = Sample::of(Chip::new(product, "evidence", product.tcb()), Form::Json);
        let floor = TcbFloor { fmc: Some(0), ..TcbFloor::default() };
        sample.policy.report.floors.values_mut().for_each(|it| *it = floor);
        match (product, sample.verify()) {
            (Product::Turin, answer) => drop(answer.unwrap()),
            (_, answer) => assert_eq!(answer.unwrap_err().step, Step::TcbFloor, "{product}"),
        }
    }
}

#[test]
fn a_report_of_each_version_is_taken_apart_and_unknown_ones_are_not() {
    let chip = Chip::new(Product::Genoa, "evidence", Product::Genoa.tcb());
    for version in 0..=16 {
        let mut fields = chip.fields();
        fields.version = version;
        assert_eq!(Report::parse(&chip.sign(&fields)).is_ok(), VERSIONS.contains(&version));
    }
}

fn combinations() -> impl Iterator<Item = (Product, SigningKey, u32)> {
    Product::ALL.into_iter().flat_map(|product| {
        [SigningKey::Vcek, SigningKey::Vlek]
            .into_iter()
            .flat_map(move |kind| VERSIONS.into_iter().map(move |version| (product, kind, version)))
    })
}
