//! Whole evidence, forged and real.

mod cache;
mod corpus;
mod each_step;
mod fields;
mod mutations;
mod neighbours;
mod revocation;
mod steps;
mod versions;
mod vm;

use std::collections::BTreeMap;

use forged_root::{Chip, Endorsement, Form, ReportFields, UVM_MEASUREMENT, UVM_SVN};
use jiff::Timestamp;

use crate::{
    Anchors, Binding, Policy, Product, RawEvidence, Refusal, Sha256, Step, TcbFloor,
    VerifiedReport, Verifier, verify,
};

/// Everything that goes into a verification; a sound one until a test changes something.
struct Sample {
    chip: Chip,
    fields: ReportFields,
    endorsement: Endorsement,
    policy: Policy,
    anchors: Anchors,
    binding: Binding,
    now: Timestamp,
    /// Changes the bytes after everything is signed.
    spoil: fn(&mut RawEvidence),
}

impl Sample {
    fn new(product: forged_root::Product, form: Form) -> Self {
        Self::of(Chip::new(product, "evidence", product.tcb()), form)
    }

    fn vlek(product: forged_root::Product) -> Self {
        let mut sample = Self::of(Chip::new_vlek(product, "evidence", product.tcb()), Form::Json);
        sample.policy.report.keys = crate::KeyPolicy::VcekOrVlek;
        sample
    }

    fn of(chip: Chip, form: Form) -> Self {
        let binding = Binding::sha256(b"runtime data");
        let fields =
            ReportFields { report_data: *binding.as_bytes(), host_data: [7; 32], ..chip.fields() };
        Self {
            endorsement: Endorsement::new(&UVM_MEASUREMENT, UVM_SVN, form),
            policy: Policy::container(forged_floors(), UVM_SVN),
            anchors: forged_anchors(),
            binding,
            now: NOW,
            spoil: |_| {},
            chip,
            fields,
        }
    }

    fn evidence(&self) -> RawEvidence {
        let mut evidence = RawEvidence {
            report: self.chip.sign(&self.fields),
            certificates: self.chip.vcek_pem_chain(),
            uvm_endorsement: self.endorsement.sign(),
        };
        (self.spoil)(&mut evidence);
        evidence
    }

    /// Verifies, and shows that a verifier that has seen the same before says the same.
    fn verify(&self) -> Result<VerifiedReport, Refusal> {
        let evidence = self.evidence();
        let first = self.check(&evidence);
        let verifier = Verifier::new(self.anchors.clone());
        for again in 0..2 {
            let next = verifier.verify(&self.policy, &evidence, &self.binding, self.now);
            assert_eq!(next.as_ref().err(), first.as_ref().err(), "again {again}");
        }
        first
    }

    fn check(&self, evidence: &RawEvidence) -> Result<VerifiedReport, Refusal> {
        verify(&self.policy, &self.anchors, evidence, &self.binding, self.now)
    }
}

fn forged_anchors() -> Anchors {
    let roots =
        forged_root::Product::ALL.map(|product| Sha256::new(forged_root::amd_root_sha256(product)));
    Anchors::insecure(roots, Sha256::new(forged_root::uvm_root_sha256()))
}

/// Exactly what the forged machines have.
fn forged_floors() -> BTreeMap<Product, TcbFloor> {
    let floor = |product: forged_root::Product| {
        let forged_root::Tcb { fmc, bootloader, tee, snp, microcode } = product.tcb();
        TcbFloor { fmc, bootloader, tee, snp, microcode }
    };
    forged_root::Product::ALL
        .map(|product| (product.to_string().parse().unwrap(), floor(product)))
        .into()
}

const NOW: Timestamp = Timestamp::constant(1_772_323_200, 0);

#[test]
fn the_documentation_lists_every_step_in_order() {
    let documents = [include_str!("../verify.rs"), include_str!("../vm/verify.rs")];
    let listed: Vec<_> = documents
        .iter()
        .flat_map(|document| document.lines())
        .filter_map(|line| line.strip_prefix("/// "))
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(head, _)| head.split_once(". "))
        .filter(|(number, _)| number.parse::<usize>().is_ok())
        .map(|(number, name)| format!("{number} {}", name.trim_matches('*')))
        .collect();
    let steps: Vec<_> = Step::ALL.iter().map(|step| format!("{} {step}", step.number())).collect();
    assert_eq!(listed, steps);
}
