//! Single fields of a genuine report changed, the rest being as good as before: the refusal names the right step.
//!
//! The report is signed again after each change, so what refuses is the check of that field and nothing else.

use std::collections::BTreeMap;

use forged_root::{Form, Product, ReportFields};

use super::Sample;
use crate::{
    AbiVersion, Allowed, ChipId, FamilyId, FirmwarePolicy, FirmwareVersion, GuestRequirements,
    HostData, ImageId, KeyDigest, Measurement, ProvisionalPolicy, ReportId, Requirement, Step,
};

/// A sample whose policy names the value of every field that can be named.
fn strict(product: Product) -> Sample {
    let mut sample = Sample::new(product, Form::Json);
    // What Azure does not have, so that each of these can be broken, too.
    sample.fields.platform_info = 0b11_1100;
    sample.fields.policy = 0x3d2_001f;
    sample.fields.flags |= 1;
    sample.fields.id_key_digest = [3; 48];
    sample.fields.author_key_digest = [4; 48];
    let fields = &sample.fields;
    let report = &mut sample.policy.report;
    report.smt = crate::SmtPolicy::Refuse;
    report.sockets = crate::SocketPolicy::Single;
    report.min_abi = AbiVersion { major: 0, minor: 31 };
    report.platform.alias_check = Requirement::Required;
    report.platform.ciphertext_hiding = Requirement::Required;
    report.platform.rapl_disabled = Requirement::Required;
    report.platform.smt_disabled = Requirement::Required;
    report.platform.tsme_disabled = Requirement::Required;
    report.platform.ecc = Requirement::Required;
    report.guest = GuestRequirements {
        aes_256_xts: Requirement::Required,
        rapl_disabled: Requirement::Required,
        ciphertext_hiding: Requirement::Required,
        page_swap_disabled: Requirement::Required,
    };
    let [build, minor, major] = fields.current_firmware;
    report.firmware = FirmwarePolicy {
        least: FirmwareVersion { major, minor, build },
        provisional: ProvisionalPolicy::Refuse,
    };
    report.mitigations = if fields.version >= 5 { fields.current_mitigations } else { 0 };
    report.host_data = Allowed::only([HostData::new(fields.host_data)]);
    report.measurements = Allowed::only([Measurement::new(fields.measurement)]);
    report.family_ids = Allowed::only([FamilyId::new(fields.family_id)]);
    report.image_ids = Allowed::only([ImageId::new(fields.image_id)]);
    report.min_guest_svn = fields.guest_svn;
    report.report_ids = Allowed::only([ReportId::new(fields.report_id)]);
    report.migration_agents = Allowed::only([ReportId::new(fields.report_id_ma)]);
    report.id_keys = Allowed::only([KeyDigest::new(fields.id_key_digest)]);
    report.author_keys = Allowed::only([KeyDigest::new(fields.author_key_digest)]);
    report.chips = Allowed::only([ChipId::new(fields.chip_id)]);
    sample
}

/// A change of one field.
struct Change {
    what: String,
    step: Step,
    make: Box<dyn Fn(&mut ReportFields)>,
}

fn change(what: &str, step: Step, make: impl Fn(&mut ReportFields) + 'static) -> Change {
    Change { what: what.to_owned(), step, make: Box::new(make) }
}

/// One bit of each byte of a field, another bit from byte to byte.
fn bytes<const N: usize>(
    what: &'static str,
    step: Step,
    field: fn(&mut ReportFields) -> &mut [u8; N],
) -> impl Iterator<Item = Change> {
    (0..N).map(move |at| {
        change(&format!("{what}, byte {at}"), step, move |fields| {
            field(fields)[at] ^= 1 << (at % 8);
        })
    })
}

fn changes(product: Product) -> Vec<Change> {
    let mut all = vec![
        change("version 1", Step::Structure, |fields| fields.version = 1),
        change("version 6", Step::Structure, |fields| fields.version = 6),
        change("algorithm 0", Step::Structure, |fields| fields.signature_algorithm = 0),
        change("algorithm 2", Step::Structure, |fields| fields.signature_algorithm = 2),
        change("family", Step::Product, |fields| fields.cpuid[0] ^= 0x40),
        change("model", Step::Product, |fields| fields.cpuid[1] ^= 0x40),
        change("says vlek", Step::SigningKey, |fields| fields.flags |= 1 << 2),
        change("says 2", Step::SigningKey, |fields| fields.flags |= 2 << 2),
        change("says none", Step::SigningKey, |fields| fields.flags |= 7 << 2),
        change("masked chip key", Step::SigningKey, |fields| fields.flags |= 1 << 1),
        change("vmpl 1", Step::Vmpl, |fields| fields.vmpl = 1),
        change("vmpl 3", Step::Vmpl, |fields| fields.vmpl = 3),
        change("vmpl of the host", Step::Vmpl, |fields| fields.vmpl = u32::MAX),
        change("debug", Step::Debug, |fields| fields.policy |= 1 << 19),
        change("migration", Step::Migration, |fields| fields.policy |= 1 << 18),
        change("reserved one", Step::GuestPolicy, |fields| fields.policy &= !(1 << 17)),
        change("multithreading", Step::GuestPolicy, |fields| fields.policy |= 1 << 16),
        change("several sockets", Step::GuestPolicy, |fields| fields.policy &= !(1 << 20)),
        change("cxl", Step::GuestPolicy, |fields| fields.policy |= 1 << 21),
        change("aes-256-xts", Step::GuestPolicy, |fields| fields.policy &= !(1 << 22)),
        change("power demand", Step::GuestPolicy, |fields| fields.policy &= !(1 << 23)),
        change("hiding demand", Step::GuestPolicy, |fields| fields.policy &= !(1 << 24)),
        change("page swap", Step::GuestPolicy, |fields| fields.policy &= !(1 << 25)),
        change("tsme", Step::Platform, |fields| fields.platform_info |= 1 << 1),
        change("error correction", Step::Platform, |fields| fields.platform_info &= !(1 << 2)),
        change("no author key", Step::IdKeys, |fields| fields.flags &= !1),
        change("minor abi", Step::GuestPolicy, |fields| fields.policy -= 1),
        change("alias check", Step::Platform, |fields| fields.platform_info &= !(1 << 5)),
        change("ciphertext hiding", Step::Platform, |fields| fields.platform_info &= !(1 << 4)),
        change("power measurement", Step::Platform, |fields| fields.platform_info &= !(1 << 3)),
        change("multithreading on", Step::Platform, |fields| fields.platform_info |= 1),
        change("firmware build", Step::Platform, |fields| fields.current_firmware[0] -= 1),
        change("firmware minor", Step::Platform, |fields| fields.current_firmware[1] -= 1),
        change("firmware major", Step::Platform, |fields| fields.current_firmware[2] -= 1),
        change("committed build", Step::Platform, |fields| fields.committed_firmware[0] -= 1),
        change("committed minor", Step::Platform, |fields| fields.committed_firmware[1] -= 1),
        change("guest svn", Step::Image, |fields| fields.guest_svn -= 1),
    ];
    let components = super::steps::components(product);
    for at in components.iter().copied() {
        all.extend([
            change(&format!("reported tcb {at}"), Step::VekTcb, move |fields| {
                fields.reported_tcb[at] ^= 1;
            }),
            change(&format!("launch tcb above, {at}"), Step::TcbOrder, move |fields| {
                fields.launch_tcb[at] += 1;
            }),
            change(&format!("committed tcb above, {at}"), Step::Platform, move |fields| {
                fields.committed_tcb[at] += 1;
            }),
            change(&format!("current tcb above, {at}"), Step::Platform, move |fields| {
                fields.current_tcb[at] += 1;
            }),
        ]);
        if product.tcb().bytes(product)[at] > 0 {
            all.push(change(&format!("launch tcb below, {at}"), Step::TcbFloor, move |fields| {
                fields.launch_tcb[at] -= 1;
            }));
        }
    }
    if product == Product::Turin {
        for bit in 0..6 {
            all.push(change(&format!("launch mitigation {bit}"), Step::Platform, move |fields| {
                fields.launch_mitigations ^= 1 << bit;
            }));
            all.push(change(&format!("current mitigation {bit}"), Step::Platform, move |fields| {
                fields.current_mitigations ^= 1 << bit;
            }));
        }
    }
    all.extend(bytes("chip id", Step::VekChip, |fields| &mut fields.chip_id));
    all.extend(bytes("report data", Step::Binding, |fields| &mut fields.report_data));
    all.extend(bytes("host data", Step::HostData, |fields| &mut fields.host_data));
    all.extend(bytes("measurement", Step::Measurement, |fields| &mut fields.measurement));
    all.extend(bytes("family id", Step::Image, |fields| &mut fields.family_id));
    all.extend(bytes("image id", Step::Image, |fields| &mut fields.image_id));
    all.extend(bytes("report id", Step::Image, |fields| &mut fields.report_id));
    all.extend(bytes("migration agent", Step::Image, |fields| &mut fields.report_id_ma));
    all.extend(bytes("id key", Step::IdKeys, |fields| &mut fields.id_key_digest));
    all.extend(bytes("author key", Step::IdKeys, |fields| &mut fields.author_key_digest));
    all
}

#[test]
fn every_change_of_a_single_field_is_refused_by_its_step() {
    let mut counts = BTreeMap::new();
    for product in Product::ALL {
        let mut sample = strict(product);
        sample.verify().unwrap_or_else(|refusal| panic!("{product}: {refusal}"));
        let good = sample.evidence();
        for Change { what, step, make } in changes(product) {
            let mut fields = sample.fields.clone();
            make(&mut fields);
            assert_ne!(fields, sample.fields, "{what} changes nothing");
            let report = sample.chip.sign(&fields);
            let evidence = crate::RawEvidence { report, ..good.clone() };
            let refusal = sample.check(&evidence).expect_err(&what);
            assert_eq!(refusal.step, step, "{what} of {product}: {refusal}");
            *counts.entry(product.to_string()).or_insert(0) += 1;
        }
        sample.policy.report.chips = Allowed::only([ChipId::new([0; 64])]);
        assert_eq!(sample.check(&good).unwrap_err().step, Step::Chip);
    }
    assert!(counts.values().all(|count| *count >= 200), "{counts:?}");
}
