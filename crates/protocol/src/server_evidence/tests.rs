//! A server that proves itself is believed; each step that does not hold is a refusal of its own.

use std::collections::BTreeSet;

use crate::attest::Nonce;
use crate::bundle::{BundleBody, Identity, MasterKeyRef, StoreAuth, StoreRef};
use crate::jwk::{Curve, EcPublicKey};
use crate::jws::{SignerCertificate, SignerId, SignerKey, ToSign};
use crate::runtime_data::RuntimeData;
use crate::server_evidence::{
    EvidenceAnswer, Expectation, Head, PURPOSE, ServerRefused, Statement, VerifiedServer, verify,
};
use crate::signed_manifest::{self, ManifestBody, SignedManifest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use evidence::{Absence, HostData, Product, RawEvidence, RevocationStatus, Sha256, Step};
use forged_root::{Chip, Form, SignerName, UVM_MEASUREMENT, UVM_SVN};
use jiff::{SignedDuration, Timestamp};
use manifest::Manifest;

const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);
const NONCE: Nonce = Nonce([9; 32]);
const EXPORTER: [u8; 32] = [8; 32];
const HOST_DATA: [u8; 32] = [7; 32];

/// Everything that a server is made of; a test changes one thing.
struct Fixture {
    bundle: BundleBody,
    signer: SignerName,
    manifest: ManifestBody,
    debug: bool,
    host_data: [u8; 32],
    boot_key: EcdsaKeyPair,
    statement: Statement,
}

fn manifest_toml() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/dev.toml"))
        .unwrap()
}

fn sign(signer: SignerName, prepare: impl FnOnce(&SignerCertificate) -> ToSign) -> String {
    let signer = forged_root::signer(signer);
    let certificate = SignerCertificate::from_pem(signer.certificate_pem).unwrap();
    SignerKey::from_pem(signer.key_pem)
        .unwrap()
        .sign(prepare(&certificate), &SystemRandom::new())
        .unwrap()
}

fn signers() -> BTreeSet<SignerId> {
    [SignerName::First, SignerName::Second]
        .map(|name| {
            SignerCertificate::from_pem(forged_root::signer(name).certificate_pem).unwrap().id()
        })
        .into()
}

fn public(pair: &EcdsaKeyPair) -> EcPublicKey {
    EcPublicKey::from_point(Curve::P256, pair.public_key().as_ref()).unwrap()
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let identity = Identity { public_key: public(&key()) };
        let bundle = BundleBody {
            version: 1,
            deployment: "dev".into(),
            serial: 3,
            minimum_revision: 1,
            master_key: MasterKeyRef {
                name: "dev-0123456789".into(),
                version: "1".repeat(32),
                public_key: EcPublicKey::from_coordinates(Curve::P384, &[1; 48], &[2; 48]).unwrap(),
                release_policy: serde_json::json!({}),
                immutable: true,
            },
            artefacts: [].into(),
            store: StoreRef {
                endpoint: "https://vouchsafedev.blob.core.windows.net".into(),
                account: "vouchsafedev".into(),
                container: "vouchsafe".into(),
                auth: StoreAuth::ManagedIdentity,
            },
            manifest: signed_manifest::BLOB.into(),
            host_data: [HostData::new(HOST_DATA)].into(),
            identity: Some(identity.clone()),
            birth: None,
        };
        let toml = manifest_toml();
        let revision = Manifest::parse("dev.toml", &toml).unwrap().deployment().revision;
        let manifest = ManifestBody { version: 1, deployment: "dev".into(), revision, toml };
        let statement = Statement {
            version: 1,
            purpose: PURPOSE.into(),
            nonce: NONCE,
            exporter: EXPORTER,
            identity,
            head: Head { n: 4, hash: Sha256::of(b"head") },
            revision,
            manifest_sha256: Sha256::of(b""),
            serial: 3,
        };
        Self {
            bundle,
            signer: SignerName::First,
            manifest,
            debug: false,
            host_data: HOST_DATA,
            boot_key: key(),
            statement,
        }
    }

    fn answer(&self) -> EvidenceAnswer {
        let runtime_data =
            RuntimeData::new(&[0xc5; 256], &[1, 0, 1], &public(&self.boot_key)).unwrap();
        let chip =
            Chip::new(forged_root::Product::Milan, "server", forged_root::Product::Milan.tcb());
        let mut fields = chip.fields();
        fields.report_data = *runtime_data.binding().as_bytes();
        fields.host_data = self.host_data;
        if self.debug {
            fields.policy |= 1 << 19;
        }
        let evidence = RawEvidence {
            report: chip.sign(&fields),
            certificates: chip.vcek_pem_chain(),
            uvm_endorsement: forged_root::uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json),
        };
        let bundle = sign(self.signer, |certificate| self.bundle.prepare(certificate).unwrap());
        let manifest =
            sign(SignerName::Second, |certificate| self.manifest.prepare(certificate).unwrap());
        let mut statement = self.statement.clone();
        if let Ok(signed) = SignedManifest::verify(&manifest, "dev", &signers()) {
            statement.manifest_sha256 = signed.digest();
        }
        let signature = statement.sign(&self.boot_key, &SystemRandom::new()).unwrap();
        let runtime_data = runtime_data.bytes().to_vec();
        EvidenceAnswer {
            version: 1,
            evidence,
            runtime_data,
            bundle,
            manifest,
            statement,
            signature,
        }
    }

    fn judge(&self) -> Result<VerifiedServer, ServerRefused> {
        check(&self.answer())
    }
}

fn check(answer: &EvidenceAnswer) -> Result<VerifiedServer, ServerRefused> {
    check_with(vec![list(&[], HOUR)], answer)
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A revocation list of the product of the fixture's processor, in force until then from now.
fn list(revoked: &[u64], until: SignedDuration) -> Vec<u8> {
    forged_root::amd_crl(forged_root::Product::Milan, revoked, NOW - HOUR - HOUR, NOW + until)
}

fn check_with(
    revocation_lists: Vec<Vec<u8>>,
    answer: &EvidenceAnswer,
) -> Result<VerifiedServer, ServerRefused> {
    let anchors = Manifest::parse("dev.toml", &manifest_toml()).unwrap().anchors();
    let expect = Expectation {
        deployment: "dev".into(),
        signers: signers(),
        anchors,
        revocation_lists,
        minimum_revision: 1,
        minimum_serial: 3,
    };
    verify(&expect, answer, &NONCE, &EXPORTER, NOW)
}

#[test]
fn believes_a_confirmed_server() {
    let server = Fixture::new().judge().unwrap().confirmed().unwrap();
    assert_eq!(server.report().host_data(), &HostData::new(HOST_DATA));
    assert_eq!(server.statement().head.n, 4);
}

#[test]
fn an_answer_survives_the_wire() {
    let answer = Fixture::new().answer();
    let again: EvidenceAnswer =
        serde_json::from_slice(&serde_json::to_vec(&answer).unwrap()).unwrap();
    assert_eq!(again, answer);
    assert!(check(&again).is_ok());
}

#[test]
fn a_server_whose_store_nobody_confirmed_is_not_confirmed() {
    let mut fixture = Fixture::new();
    fixture.bundle.identity = None;
    assert!(matches!(fixture.judge().unwrap().confirmed(), Err(ServerRefused::Unconfirmed)));
}

fn of_revocation(outcome: Result<VerifiedServer, ServerRefused>) -> String {
    match outcome {
        Err(ServerRefused::Evidence(refusal)) if refusal.step == Step::Revocation => refusal.found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rejects_a_server_under_a_revoked_authority() {
    // 1 is the serial number of Milan's ASK.
    for crl in ["require", "if-present"] {
        let mut fixture = Fixture::new();
        fixture.manifest.toml =
            fixture.manifest.toml.replace("crl = \"require\"", &format!("crl = \"{crl}\""));
        let answer = fixture.answer();
        let found = of_revocation(check_with(vec![list(&[1], HOUR)], &answer));
        assert_eq!(found, "SEV-Milan, revoked", "{crl}");
        assert!(check_with(vec![list(&[7], HOUR)], &answer).is_ok(), "{crl}");
    }
}

#[test]
fn without_a_list_in_force_the_manifest_decides() {
    let fixture = Fixture::new();
    assert_eq!(of_revocation(check_with(vec![], &fixture.answer())), "none");
    let over = || vec![list(&[], -HOUR)];
    let found = of_revocation(check_with(over(), &fixture.answer()));
    assert_eq!(found, "one that is not in force");

    let mut fixture = Fixture::new();
    let toml = &mut fixture.manifest.toml;
    *toml = toml.replace("crl = \"require\"", "crl = \"if-present\"");
    let status = |lists| {
        let server = check_with(lists, &fixture.answer()).unwrap().confirmed().unwrap();
        server.report().hardware().revocation()
    };
    assert_eq!(status(vec![]), RevocationStatus::Unknown(Absence::Unavailable));
    assert_eq!(status(over()), RevocationStatus::NotRevoked { until: NOW - HOUR });
}

#[test]
fn an_answer_says_whose_list_is_needed() {
    let mut answer = Fixture::new().answer();
    assert_eq!(answer.claimed_product(), Some(Product::Milan));
    answer.evidence.certificates = "nothing".into();
    assert_eq!(answer.claimed_product(), None);
}

#[test]
fn rejects_a_bundle_by_a_stranger() {
    let fixture = Fixture { signer: SignerName::Stranger, ..Fixture::new() };
    assert!(matches!(fixture.judge(), Err(ServerRefused::Bundle(_))));
}

#[test]
fn rejects_an_older_serial() {
    let mut fixture = Fixture::new();
    fixture.bundle.serial = 2;
    fixture.statement.serial = 2;
    assert!(matches!(
        fixture.judge(),
        Err(ServerRefused::Old { what: "serial of the bundle", found: 2, minimum: 3 })
    ));
}

#[test]
fn rejects_a_revision_below_the_bundles() {
    let mut fixture = Fixture::new();
    fixture.bundle.minimum_revision = 99;
    assert!(matches!(fixture.judge(), Err(ServerRefused::Old { minimum: 99, .. })));
}

#[test]
fn rejects_a_manifest_for_another_deployment() {
    let mut fixture = Fixture::new();
    fixture.manifest.deployment = "prod".into();
    assert!(matches!(fixture.judge(), Err(ServerRefused::Manifest(_))));
}

#[test]
fn rejects_a_server_that_the_host_may_debug() {
    let fixture = Fixture { debug: true, ..Fixture::new() };
    assert!(matches!(fixture.judge(), Err(ServerRefused::Evidence(_))));
}

#[test]
fn rejects_software_that_the_bundle_does_not_permit() {
    let fixture = Fixture { host_data: [6; 32], ..Fixture::new() };
    let Err(ServerRefused::Evidence(refusal)) = fixture.judge() else { panic!("accepted") };
    assert_eq!(refusal.step, Step::HostData);
}

#[test]
fn rejects_runtime_data_that_the_report_does_not_bind() {
    let mut answer = Fixture::new().answer();
    answer.runtime_data =
        RuntimeData::new(&[0xc5; 256], &[1, 0, 1], &public(&key())).unwrap().bytes().to_vec();
    let Err(ServerRefused::Evidence(refusal)) = check(&answer) else { panic!("accepted") };
    assert_eq!(refusal.step, Step::Binding);
}

#[test]
fn rejects_a_statement_by_another_key() {
    let fixture = Fixture::new();
    let mut answer = fixture.answer();
    answer.signature = answer.statement.sign(&key(), &SystemRandom::new()).unwrap();
    assert!(matches!(check(&answer), Err(ServerRefused::Signature)));
}

#[test]
fn rejects_an_answer_to_another_nonce() {
    let mut fixture = Fixture::new();
    fixture.statement.nonce = Nonce([1; 32]);
    assert!(matches!(fixture.judge(), Err(ServerRefused::Nonce)));
}

#[test]
fn rejects_somebody_in_the_middle() {
    let mut fixture = Fixture::new();
    fixture.statement.exporter = [1; 32];
    assert!(matches!(fixture.judge(), Err(ServerRefused::Connection)));
}

#[test]
fn rejects_a_statement_for_another_purpose() {
    let mut fixture = Fixture::new();
    fixture.statement.purpose = "something else".into();
    assert!(matches!(fixture.judge(), Err(ServerRefused::Malformed("statement"))));
}

#[test]
fn rejects_a_statement_about_another_bundle() {
    let mut fixture = Fixture::new();
    fixture.statement.serial = 4;
    assert!(matches!(fixture.judge(), Err(ServerRefused::Inconsistent)));
}

#[test]
fn rejects_another_store_than_the_confirmed_one() {
    let mut fixture = Fixture::new();
    fixture.statement.identity = Identity { public_key: public(&key()) };
    assert!(matches!(fixture.judge(), Err(ServerRefused::Identity { .. })));
}
