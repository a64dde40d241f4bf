//! A verifier that remembers gives the answers of one that does not, and remembers only what passed.

use std::num::NonZeroUsize;
use std::time::Duration;

use forged_root::certificate::to_pem;
use forged_root::{Chip, Form, Product, Value};

use super::{NOW, Sample};
use crate::{Policy, RawEvidence, Revocation, Step, Verifier};

/// How many chains and endorsements are remembered.
fn known(verifier: &Verifier) -> (usize, usize) {
    (verifier.cache().chains.len(), verifier.cache().endorsements.len())
}

fn step(verifier: &Verifier, sample: &Sample, evidence: &RawEvidence) -> Option<Step> {
    let Sample { policy, binding, now, .. } = sample;
    verifier.verify(policy, evidence, binding, *now).err().map(|refusal| refusal.step)
}

#[test]
fn remembers_what_passed() {
    let sample = Sample::new(Product::Milan, Form::Json);
    let verifier = Verifier::new(sample.anchors.clone());
    let evidence = sample.evidence();
    for _ in 0..3 {
        assert_eq!(step(&verifier, &sample, &evidence), None);
        assert_eq!(known(&verifier), (1, 1));
    }
    let genoa = Sample::new(Product::Genoa, Form::Transparent);
    assert_eq!(step(&verifier, &genoa, &genoa.evidence()), None);
    assert_eq!((known(&verifier), verifier.cache().authorities.len()), ((2, 2), 2));
}

type Spoil = fn(&mut RawEvidence);

#[test]
fn remembers_nothing_that_was_refused() {
    let cases: [(Step, Spoil); 7] = [
        (Step::Structure, |evidence| evidence.report.truncate(1)),
        (Step::Certificates, |evidence| evidence.certificates.clear()),
        (Step::Signature, |evidence| evidence.report[80] ^= 1),
        (Step::Root, |evidence| {
            let at = evidence.certificates.rfind("-----BEGIN").unwrap();
            evidence.certificates.truncate(at);
        }),
        (Step::Chain, |evidence| super::steps::flip_der(evidence, 0, -1)),
        (Step::Chain, |evidence| super::steps::flip_der(evidence, 1, -1)),
        (Step::EndorsementSignature, |evidence| {
            *evidence.uvm_endorsement.last_mut().unwrap() ^= 1;
        }),
    ];
    for (expected, spoil) in cases {
        let sample = Sample::new(Product::Milan, Form::Json);
        let verifier = Verifier::new(sample.anchors.clone());
        let mut evidence = sample.evidence();
        spoil(&mut evidence);
        for _ in 0..2 {
            assert_eq!(step(&verifier, &sample, &evidence), Some(expected));
        }
        let chains = usize::from(expected == Step::EndorsementSignature);
        assert_eq!(known(&verifier), (chains, 0), "{expected}");
    }
    let mut expired = Sample::new(Product::Milan, Form::Json);
    expired.now = "2074-01-02T00:00:00Z".parse().unwrap();
    let verifier = Verifier::new(expired.anchors.clone());
    assert_eq!(step(&verifier, &expired, &expired.evidence()), Some(Step::Validity));
    assert_eq!(known(&verifier), (0, 0));
}

#[test]
fn a_remembered_key_signs_only_what_it_signed() {
    let sample = Sample::new(Product::Milan, Form::Json);
    let verifier = Verifier::new(sample.anchors.clone());
    let good = sample.evidence();
    assert_eq!(step(&verifier, &sample, &good), None);
    // Another chip's report under the remembered certificates.
    let other = Chip::new(Product::Milan, "other", Product::Milan.tcb());
    let report = other.sign(&other.fields());
    let mixed = RawEvidence { report, ..good.clone() };
    assert_eq!(step(&verifier, &sample, &mixed), Some(Step::Signature));
    // Its own report of another chip id, and of another version.
    let mut fields = sample.fields.clone();
    fields.chip_id[0] ^= 1;
    let report = sample.chip.sign(&fields);
    assert_eq!(
        step(&verifier, &sample, &RawEvidence { report, ..good.clone() }),
        Some(Step::VekChip)
    );
    // A remembered endorsement is of its own measurement, feed and version, and for its own use.
    let refused = |change: fn(&mut Policy)| {
        let mut policy = sample.policy.clone();
        change(&mut policy);
        let refusal = verifier.verify(&policy, &good, &sample.binding, sample.now).unwrap_err();
        refusal.step
    };
    assert_eq!(refused(|policy| policy.uvm.min_svn += 1), Step::EndorsementSvn);
    assert_eq!(refused(|policy| policy.uvm.feed.push('x')), Step::EndorsementFeed);
    assert_eq!(refused(|policy| policy.uvm.eku = "1.2.3".to_owned()), Step::EndorsementUsage);
    let mut fields = sample.fields.clone();
    fields.measurement[0] ^= 1;
    let report = sample.chip.sign(&fields);
    assert_eq!(
        step(&verifier, &sample, &RawEvidence { report, ..good }),
        Some(Step::EndorsedMeasurement)
    );
}

#[test]
fn an_expiry_is_honoured() {
    let mut sample = Sample::new(Product::Milan, Form::Json);
    sample.chip.certificate.not_after = NOW + Duration::from_secs(10);
    sample.chip.certificate.not_before = NOW - Duration::from_secs(10);
    let verifier = Verifier::new(sample.anchors.clone());
    let evidence = sample.evidence();
    assert_eq!(step(&verifier, &sample, &evidence), None);
    sample.now = NOW + Duration::from_secs(10);
    assert_eq!(step(&verifier, &sample, &evidence), None);
    sample.now = NOW + Duration::from_secs(11);
    assert_eq!(step(&verifier, &sample, &evidence), Some(Step::Validity));
    assert_eq!(known(&verifier), (0, 1));
    sample.now = NOW;
    assert_eq!(step(&verifier, &sample, &evidence), None);
    sample.now = NOW - Duration::from_secs(11);
    assert_eq!(step(&verifier, &sample, &evidence), Some(Step::Validity));
}

#[test]
fn a_revocation_is_honoured() {
    let mut sample = Sample::new(Product::Milan, Form::Json);
    let verifier = Verifier::new(sample.anchors.clone());
    let evidence = sample.evidence();
    assert_eq!(step(&verifier, &sample, &evidence), None);
    let list = |revoked: &[u64]| {
        let (from, until) = ("2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z");
        let (from, until) = (from.parse().unwrap(), until.parse().unwrap());
        Revocation::Required(vec![forged_root::amd_crl(Product::Milan, revoked, from, until)])
    };
    for (revoked, expected) in [(&[][..], None), (&[1], Some(Step::Revocation)), (&[], None)] {
        sample.policy.report.revocation = list(revoked);
        for _ in 0..2 {
            assert_eq!(step(&verifier, &sample, &evidence), expected);
        }
    }
    // A remembered list runs out, too.
    sample.now = "2026-12-02T00:00:00Z".parse().unwrap();
    assert_eq!(step(&verifier, &sample, &evidence), Some(Step::Revocation));
}

#[test]
fn one_processor_and_one_endorsement_have_one_place() {
    let mut sample = Sample::new(Product::Milan, Form::Json);
    let capacity = NonZeroUsize::new(3).unwrap();
    let verifier = Verifier::with_capacity(sample.anchors.clone(), capacity);
    let other = Sample::new(Product::Turin, Form::Transparent);
    assert_eq!(step(&verifier, &other, &other.evidence()), None);
    let vek = to_pem(&sample.chip.vek_der());
    let good = sample.evidence();
    let at = good.certificates.find("-----END CERTIFICATE-----\n").unwrap() + 26;
    for spaces in 1..20 {
        // The same certificates in other words, and the same endorsement with another unsigned header.
        let certificates = format!("{vek}{}{}", "\n".repeat(spaces), &good.certificates[at..]);
        let uvm_endorsement = relabel(&good.uvm_endorsement, spaces);
        let evidence = RawEvidence { certificates, uvm_endorsement, ..good.clone() };
        assert_eq!(step(&verifier, &sample, &evidence), None);
        assert_eq!(known(&verifier), (2, 2), "{spaces}");
    }
    // Others drive out the oldest, and no more than there is room for.
    for seed in ["a", "b", "c", "d"] {
        sample.chip = Chip::new(Product::Milan, seed, Product::Milan.tcb());
        sample.fields.chip_id = sample.chip.chip_id;
        assert_eq!(step(&verifier, &sample, &sample.evidence()), None);
        assert!(known(&verifier).0 <= 3);
    }
}

/// The message with an unprotected header, which nobody signed.
fn relabel(message: &[u8], label: usize) -> Vec<u8> {
    let Value::Tag(tag, inner) = ciborium::from_reader(message).unwrap() else { panic!("no tag") };
    let Value::Array(mut parts) = *inner else { panic!("no array") };
    parts[1] = Value::Map(vec![(Value::Text(format!("x{label}")), 1.into())]);
    let mut out = Vec::new();
    ciborium::into_writer(&Value::Tag(tag, Box::new(Value::Array(parts))), &mut out).unwrap();
    out
}
