//! One change for each numbered step that breaks this step and no other: nothing that an earlier or a later step looks at is
//! different. A step without its change, or a change without its step, fails here; many more changes are in `steps.rs`, `vm.rs`
//! and `fields.rs`.

use forged_root::{Form, Product};

use super::vm::Vm;
use super::{NOW, Sample, steps};
use crate::{
    Allowed, Anchors, Binding, ChipId, HostData, ImageId, KeyDigest, Kind, Measurement, PcrIndex,
    PcrValue, QuoteNonce, Requirement, Revocation, Step, UserData,
};

type Break<T> = (Step, fn(&mut T));

const CONTAINER: [Break<Sample>; 34] = [
    (Step::Structure, |s| s.fields.version = 6),
    (Step::Certificates, |s| s.chip.certificate.provider = Some("someone")),
    (Step::Signature, |s| s.spoil = |e| e.report[672] ^= 1),
    (Step::Root, |s| s.anchors = Anchors::insecure([], *s.anchors.uvm_root())),
    (Step::Chain, |s| s.spoil = |e| steps::flip_der(e, 1, -1)),
    (Step::Validity, |s| s.chip.certificate.not_after = NOW - std::time::Duration::from_secs(1)),
    (Step::Revocation, |s| s.policy.report.revocation = Revocation::Required(vec![])),
    (Step::Product, |s| s.fields.cpuid = [0x19, 0x11, 1]),
    (Step::VekChip, |s| s.fields.chip_id[0] ^= 1),
    (Step::VekTcb, |s| s.chip.certificate.tcb[4] ^= 1),
    (Step::SigningKey, |s| s.fields.flags |= 1 << 1),
    (Step::Vmpl, |s| s.fields.vmpl = 1),
    (Step::Debug, |s| s.fields.policy |= 1 << 19),
    (Step::Migration, |s| s.fields.policy |= 1 << 18),
    (Step::GuestPolicy, |s| s.fields.policy &= !(1 << 17)),
    (Step::Platform, |s| s.policy.report.platform.rapl_disabled = Requirement::Required),
    (Step::TcbOrder, |s| s.fields.launch_tcb[7] += 1),
    (Step::TcbFloor, |s| s.fields.launch_tcb[7] -= 1),
    (Step::Binding, |s| s.binding = Binding::sha256(b"other")),
    (Step::HostData, |s| s.policy.report.host_data = Allowed::only([HostData::new([8; 32])])),
    (Step::Measurement, |s| {
        s.policy.report.measurements = Allowed::only([Measurement::new([0; 48])]);
    }),
    (Step::Image, |s| s.policy.report.image_ids = Allowed::only([ImageId::new([9; 16])])),
    (Step::IdKeys, |s| s.policy.report.id_keys = Allowed::only([KeyDigest::new([1; 48])])),
    (Step::Chip, |s| s.policy.report.chips = Allowed::only([ChipId::new([1; 64])])),
    (Step::EndorsementStructure, |s| s.spoil = |e| e.uvm_endorsement.push(0)),
    (Step::EndorsementAlgorithm, |s| s.endorsement.algorithm = -37),
    (Step::EndorsementRoot, |s| {
        s.anchors =
            Anchors::insecure(s.anchors.amd_roots().iter().copied(), *Anchors::amd().uvm_root());
        s.endorsement.issuer = s.anchors.uvm_issuer(forged_root::UVM_EKU);
    }),
    (Step::EndorsementChain, |s| *s.endorsement.chain[1].last_mut().unwrap() ^= 1),
    (Step::EndorsementUsage, |s| {
        s.endorsement.chain[0] =
            steps::leaf(&["1.3.6.1.4.1.311.76.59.1.1"], 1_704_067_200, 3_000_000_000);
    }),
    (Step::EndorsementSignature, |s| {
        s.spoil = |e| *e.uvm_endorsement.last_mut().unwrap() ^= 1;
    }),
    (Step::EndorsementIssuer, |s| s.endorsement.issuer.push('3')),
    (Step::EndorsementFeed, |s| s.endorsement.feed = "ConfAKS-AMD-UVM".to_owned()),
    (Step::EndorsementSvn, |s| s.endorsement.svn = forged_root::UVM_SVN - 1),
    (Step::EndorsedMeasurement, |s| s.endorsement.measurement[47] ^= 1),
];

const MACHINE: [Break<Vm>; 33] = [
    (Step::Structure, |vm| vm.change_hcl = |hcl| hcl.report_type = 4),
    (Step::Certificates, |vm| vm.chip.certificate.provider = Some("someone")),
    (Step::Signature, |vm| vm.spoil = |e| e.hcl_report[32 + 672] ^= 1),
    (Step::Root, |vm| vm.anchors = Anchors::insecure([], *vm.anchors.uvm_root())),
    (Step::Chain, |vm| vm.chip.certificate.product = Product::Genoa),
    (Step::Validity, |vm| {
        vm.chip.certificate.not_after = NOW - std::time::Duration::from_secs(1);
    }),
    (Step::Revocation, |vm| vm.policy.report.revocation = Revocation::Required(vec![])),
    (Step::Product, |vm| vm.change_fields = |fields| fields.cpuid = [0x19, 0x11, 1]),
    (Step::VekChip, |vm| vm.change_fields = |fields| fields.chip_id[0] ^= 1),
    (Step::VekTcb, |vm| vm.chip.certificate.tcb[4] ^= 1),
    (Step::SigningKey, |vm| vm.change_fields = |fields| fields.flags |= 1 << 1),
    (Step::Vmpl, |vm| vm.change_fields = |fields| fields.vmpl = 1),
    (Step::Debug, |vm| vm.change_fields = |fields| fields.policy |= 1 << 19),
    (Step::Migration, |vm| vm.change_fields = |fields| fields.policy |= 1 << 18),
    (Step::GuestPolicy, |vm| vm.change_fields = |fields| fields.policy &= !(1 << 17)),
    (Step::Platform, |vm| vm.policy.report.platform.rapl_disabled = Requirement::Required),
    (Step::TcbOrder, |vm| vm.change_fields = |fields| fields.launch_tcb[7] += 1),
    (Step::TcbFloor, |vm| vm.change_fields = |fields| fields.launch_tcb[7] -= 1),
    (Step::Binding, |vm| vm.change_fields = |fields| fields.report_data[63] = 1),
    (Step::HostData, |vm| {
        vm.policy.report.host_data = Allowed::only([HostData::new([8; 32])]);
    }),
    (Step::Measurement, |vm| vm.change_fields = |fields| fields.measurement[0] ^= 1),
    (Step::Image, |vm| vm.policy.report.image_ids = Allowed::only([ImageId::new([9; 16])])),
    (Step::IdKeys, |vm| vm.policy.report.id_keys = Allowed::only([KeyDigest::new([1; 48])])),
    (Step::Chip, |vm| vm.policy.report.chips = Allowed::only([ChipId::new([1; 64])])),
    (Step::RuntimeClaims, |vm| vm.claims.attestation_keys.push(vm.ak.public())),
    (Step::UserData, |vm| vm.binding.user_data = UserData::Exactly(vec![7; 32])),
    (Step::QuoteSignature, |vm| {
        vm.spoil = |e| *e.quote.signature.last_mut().unwrap() ^= 1;
    }),
    (Step::QuoteStructure, |vm| vm.change_quote = |quote| quote.magic = 0xff54_4348),
    (Step::QuoteNonce, |vm| {
        vm.change_quote = |quote| quote.extra_data = QuoteNonce::sha256(b"old").as_bytes().to_vec();
    }),
    (Step::PcrSelection, |vm| vm.change_quote = |quote| quote.selections.push((0x000c, [1, 0, 0]))),
    (Step::PcrDigest, |vm| vm.change_quote = |quote| quote.pcr_digest[31] ^= 1),
    (Step::Pcrs, |vm| {
        vm.pcrs.insert(PcrIndex::try_from(4).unwrap(), PcrValue::of(b"malware"));
    }),
    (Step::SecureBoot, |vm| vm.claims.secure_boot = Some(false)),
];

#[test]
fn each_step_of_a_container_has_a_change_that_breaks_only_it() {
    let steps: Vec<_> = CONTAINER.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, Step::of(Kind::Container).collect::<Vec<_>>());
    for form in [Form::Json, Form::Transparent] {
        Sample::new(Product::Milan, form).verify().unwrap();
        for (step, change) in CONTAINER {
            let mut sample = Sample::new(Product::Milan, form);
            change(&mut sample);
            assert_eq!(sample.verify().unwrap_err().step, step);
        }
    }
}

#[test]
fn each_step_of_a_bare_report_has_a_change_that_breaks_only_it() {
    let steps = Step::of(Kind::Report);
    for ((expected, change), step) in CONTAINER.into_iter().zip(steps) {
        assert_eq!(expected, step);
        let mut sample = Sample::new(Product::Milan, Form::Json);
        change(&mut sample);
        let evidence = sample.evidence();
        let answer = crate::verify_snp(
            &sample.policy.report,
            &sample.anchors,
            &evidence.report,
            &evidence.certificates,
            &sample.binding,
            sample.now,
        );
        assert_eq!(answer.unwrap_err().step, step);
    }
}

#[test]
fn each_step_of_a_virtual_machine_has_a_change_that_breaks_only_it() {
    let steps: Vec<_> = MACHINE.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, Step::of(Kind::VirtualMachine).collect::<Vec<_>>());
    Vm::new(Product::Milan).verify().unwrap();
    for (step, change) in MACHINE {
        let mut vm = Vm::new(Product::Milan);
        change(&mut vm);
        assert_eq!(vm.verify().unwrap_err().step, step);
    }
}
