//! Bits flipped everywhere: nothing passes, nothing panics, and the refusal names the right step.

use forged_root::certificate::to_pem;
use forged_root::{Endorsement, Form, Product, UVM_MEASUREMENT, UVM_SVN};
use proptest::prelude::*;
use x509_parser::pem::Pem;

use super::Sample;
use crate::{Measurement, RawEvidence, Report, Step, verify_endorsement};

#[test]
fn every_bit_of_the_signed_part_counts() {
    // Every bit on one product, a sample on the others: the layouts do not differ in what is signed.
    for (product, stride) in [(Product::Milan, 1), (Product::Genoa, 13), (Product::Turin, 11)] {
        let sample = Sample::new(product, Form::Json);
        let good = sample.evidence();
        for bit in (0..Report::SIGNED_LEN * 8).step_by(stride) {
            let mut evidence = RawEvidence { report: good.report.clone(), ..good.clone() };
            evidence.report[bit / 8] ^= 1 << (bit % 8);
            let step = sample.check(&evidence).expect_err("a flipped bit").step;
            // Version and algorithm are read before the signature is checked; another known version is not.
            let version = u32::from_le_bytes(*evidence.report.first_chunk().unwrap());
            let structure = match bit / 8 {
                0..4 => !(2..=5).contains(&version),
                52..56 => true,
                _ => false,
            };
            assert_eq!(
                step,
                if structure { Step::Structure } else { Step::Signature },
                "bit {bit} of {product}"
            );
        }
    }
}

#[test]
fn every_byte_after_the_signed_part_counts() {
    let sample = Sample::new(Product::Milan, Form::Json);
    let good = sample.evidence();
    for at in Report::SIGNED_LEN..Report::LEN {
        let mut evidence = good.clone();
        evidence.report[at] ^= 0x40;
        let step = sample.check(&evidence).expect_err("a flipped bit").step;
        assert!(matches!(step, Step::Structure | Step::Signature), "byte {at}: {step}");
    }
}

#[test]
fn every_byte_of_the_certificates_counts() {
    let sample = Sample::new(Product::Turin, Form::Json);
    let good = sample.evidence();
    let blocks: Vec<_> = Pem::iter_from_buffer(good.certificates.as_bytes())
        .map(|pem| pem.unwrap().contents)
        .collect();
    for which in 0..blocks.len() {
        for at in 0..blocks[which].len() {
            let mut blocks = blocks.clone();
            blocks[which][at] ^= 1 << (at % 8);
            let certificates = blocks.iter().map(|der| to_pem(der)).collect();
            let step = sample
                .check(&RawEvidence { certificates, ..good.clone() })
                .expect_err("a flipped bit")
                .step;
            assert!(
                (Step::Certificates..=Step::Chain).contains(&step),
                "byte {at} of {which}: {step}"
            );
        }
    }
}

#[test]
fn every_byte_of_the_endorsement_counts() {
    for form in [Form::Json, Form::Transparent] {
        let Sample { policy, anchors, .. } = Sample::new(Product::Milan, form);
        let good = Endorsement::new(&UVM_MEASUREMENT, UVM_SVN, form).sign();
        let check = |message: &[u8]| {
            verify_endorsement(&policy.uvm, &anchors, message, &Measurement::new(UVM_MEASUREMENT))
        };
        check(&good).unwrap();
        for at in 0..good.len() {
            let mut message = good.clone();
            message[at] ^= 1 << (at % 8);
            assert!(check(&message).is_err(), "byte {at} of {form:?}");
        }
    }
}

/// Every bit of what the signatures on certificates do not cover.
#[test]
fn a_certificate_has_one_encoding() {
    let sample = Sample::new(Product::Turin, Form::Json);
    let good = sample.evidence();
    let blocks: Vec<_> = Pem::iter_from_buffer(good.certificates.as_bytes())
        .map(|pem| pem.unwrap().contents)
        .collect();
    let len = blocks[0].len();
    for (at, bit) in
        (0..8).chain(len - 600..len - 500).flat_map(|at| (0..8).map(move |bit| (at, bit)))
    {
        let mut blocks = blocks.clone();
        blocks[0][at] ^= 1 << bit;
        let certificates = blocks.iter().map(|der| to_pem(der)).collect();
        let step = sample
            .check(&RawEvidence { certificates, ..good.clone() })
            .expect_err("a flipped bit")
            .step;
        assert!((Step::Certificates..=Step::Chain).contains(&step), "byte {at}, bit {bit}: {step}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A genuine report of firmware that says anything at all is judged, not feared.
    #[test]
    fn unknown_values_of_genuine_firmware_do_not_panic(
        noise in proptest::collection::vec(any::<u8>(), Report::SIGNED_LEN),
        version in 2u8..=5,
    ) {
        let sample = Sample::new(Product::Milan, Form::Json);
        let mut signed = noise;
        signed[..4].copy_from_slice(&[version, 0, 0, 0]);
        signed[52..56].copy_from_slice(&[1, 0, 0, 0]);
        let evidence = RawEvidence { report: sample.chip.sign_bytes(signed), ..sample.evidence() };
        let step = sample.check(&evidence).expect_err("noise").step;
        prop_assert!(step > Step::Validity, "{step}");
    }

    #[test]
    fn noise_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), text in ".{0,200}") {
        let sample = Sample::new(Product::Milan, Form::Json);
        let good = sample.evidence();
        let with = |evidence: RawEvidence| assert!(sample.check(&evidence).is_err());
        with(RawEvidence { report: bytes.clone(), ..good.clone() });
        with(RawEvidence { certificates: text, ..good.clone() });
        with(RawEvidence { certificates: to_pem(&bytes), ..good.clone() });
        with(RawEvidence { uvm_endorsement: bytes, ..good });
    }
}
