//! What the tests of this crate share: forged signers, a trust root, a bundle, master keys.

use std::collections::BTreeSet;

use aws_lc_rs::agreement;
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use evidence::{HostData, Sha256};
use forged_root::SignerName;
use zeroize::Zeroizing;

use crate::bundle::{Artefact, BundleBody, MasterKeyRef, SecretRef, StoreAuth, StoreRef};
use crate::jwk::{Curve, EcPublicKey};
use crate::jws::{self, DocumentType, SignerCertificate, SignerId, SignerKey, ToSign};
use crate::trust_root::{Body, Cloud, InsecureLocal, TrustRoot};
use crate::wrap::MasterKey;

pub(crate) fn rng() -> SystemRandom {
    SystemRandom::new()
}

/// A signer with certificate and key.
pub(crate) struct TestSigner {
    pub(crate) certificate: SignerCertificate,
    pub(crate) key: SignerKey,
}

impl TestSigner {
    fn new(name: SignerName) -> Self {
        let signer = forged_root::signer(name);
        Self {
            certificate: SignerCertificate::from_pem(signer.certificate_pem).unwrap(),
            key: SignerKey::from_pem(signer.key_pem).unwrap(),
        }
    }

    pub(crate) fn sign(&self, kind: DocumentType, payload: &[u8]) -> String {
        self.sign_prepared(jws::prepare(kind, &self.certificate, payload).unwrap())
    }

    pub(crate) fn sign_prepared(&self, document: ToSign) -> String {
        self.key.sign(document, &rng()).unwrap()
    }
}

pub(crate) fn first() -> TestSigner {
    TestSigner::new(SignerName::First)
}

pub(crate) fn stranger() -> TestSigner {
    TestSigner::new(SignerName::Stranger)
}

pub(crate) fn signers() -> BTreeSet<SignerId> {
    [SignerName::First, SignerName::Second].map(|s| TestSigner::new(s).certificate.id()).into()
}

pub(crate) fn trust_root() -> TrustRoot {
    TrustRoot::new(Body {
        version: 1,
        deployment: "dev".into(),
        cloud: Cloud::Local,
        attestation: "https://vouchsafedev.weu.attest.azure.net".into(),
        vault: "https://vouchsafe-dev.vault.azure.net".into(),
        signers: signers(),
        insecure_local: Some(InsecureLocal {
            address: [127, 0, 0, 1].into(),
            ca_sha256: Sha256::of(b"ca"),
            amd_root_sha256: [Sha256::of(b"milan"), Sha256::of(b"genoa"), Sha256::of(b"turin")]
                .into(),
            uvm_root_sha256: Sha256::of(b"uvm"),
        }),
    })
    .unwrap()
}

pub(crate) fn bundle_body() -> BundleBody {
    let secret = |artefact: Artefact| SecretRef {
        secret: artefact.secret_name("dev"),
        version: "0".repeat(32),
        sha256: Sha256::of(artefact.name().as_bytes()),
    };
    BundleBody {
        version: 1,
        deployment: "dev".into(),
        serial: 3,
        minimum_revision: 1,
        master_key: MasterKeyRef {
            name: "dev-0123456789".into(),
            version: "1".repeat(32),
            public_key: master_key(Curve::P384).public().clone(),
            release_policy: serde_json::json!({"version": "1.0.0"}),
            immutable: true,
        },
        artefacts: [Artefact::Tls, Artefact::TlsPassword, Artefact::StorageKey]
            .map(|a| (a, secret(a)))
            .into(),
        store: StoreRef {
            endpoint: "https://vouchsafedev.blob.core.windows.net".into(),
            account: "vouchsafedev".into(),
            container: "vouchsafe".into(),
            auth: StoreAuth::AccessKey,
        },
        manifest: "manifest/current".into(),
        host_data: [HostData::new([7; 32])].into(),
        identity: None,
        birth: None,
    }
}

/// A fresh master key.
pub(crate) fn master_key(curve: Curve) -> MasterKey {
    let algorithm = match curve {
        Curve::P256 => &agreement::ECDH_P256,
        Curve::P384 => &agreement::ECDH_P384,
    };
    let private = agreement::PrivateKey::generate(algorithm).unwrap();
    let scalar: aws_lc_rs::encoding::EcPrivateKeyBin<'_> = private.as_be_bytes().unwrap();
    let public = private.compute_public_key().unwrap();
    let public = EcPublicKey::from_point(curve, public.as_ref()).unwrap();
    MasterKey::new(Zeroizing::new(scalar.as_ref().to_vec()), public).unwrap()
}
