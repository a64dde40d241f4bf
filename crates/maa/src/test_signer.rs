//! An RSA key and a self-signed certificate for tests.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};

pub(crate) struct TestSigner {
    pub(crate) key: RsaKeyPair,
    pub(crate) certificate: Vec<u8>,
}

impl TestSigner {
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }
}

/// One signer for all tests of a process; no test depends on which key it is.
pub(crate) fn signer() -> &'static TestSigner {
    static SIGNER: OnceLock<TestSigner> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &der.as_ref().into(),
            &rcgen::PKCS_RSA_SHA256,
        )
        .unwrap();
        let certificate =
            rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap();
        TestSigner { key, certificate: certificate.der().to_vec() }
    })
}
