//! Microsoft's part: endorsements of the measurement of a utility VM, in both forms.
//!
//! Wire layout: COSE_Sign1 of RFC 9052, section 4.2, tagged 18, with x5chain (33) and x5t (34) of RFC 9360.
//! The older form has the text headers `iss`, `feed` and `signingtime` and a JSON payload; the newer one is the COSE
//! hash envelope (headers 258 and 259) with CWT claims (header 15, RFC 9597) and the bare measurement as payload.

pub use ciborium::Value;
use jiff::Timestamp;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA384, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::amd::{NOT_AFTER, NOT_BEFORE};
use crate::certificate::{
    COMMON_NAME, COUNTRY, Certificate, Extension, ORGANIZATION, SigningKey, name,
};
use crate::keys::{UVM_INTERMEDIATE, UVM_LEAF, UVM_ROOT, sha256};

/// The two forms of endorsements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON payload.
    Json,
    /// Hash envelope with CWT claims.
    Transparent,
}

/// An endorsement to be signed. Every field can be set to anything.
#[derive(Debug, Clone)]
pub struct Endorsement {
    /// The form.
    pub form: Form,
    /// The COSE algorithm that the header names; the signature is PS384 (-38) in any case.
    pub algorithm: i64,
    /// The certificates: signer, intermediate, root.
    pub chain: Vec<Vec<u8>>,
    /// The issuer.
    pub issuer: String,
    /// The feed.
    pub feed: String,
    /// The security version.
    pub svn: u64,
    /// The endorsed measurement.
    pub measurement: [u8; 48],
    /// When it was signed.
    pub signing_time: Timestamp,
    /// A payload to be signed instead of the form's own.
    pub payload: Option<Vec<u8>>,
    /// Changes the protected headers before they are signed.
    pub change_headers: fn(&mut Vec<(Value, Value)>),
    /// Changes the CWT claims before they are signed.
    pub change_claims: fn(&mut Vec<(Value, Value)>),
}

impl Endorsement {
    /// A sound one.
    #[must_use]
    pub fn new(measurement: &[u8; 48], svn: u64, form: Form) -> Self {
        let root = URL_SAFE_NO_PAD.encode(uvm_root_sha256());
        Self {
            form,
            algorithm: -38,
            chain: vec![UVM_LEAF.der(), UVM_INTERMEDIATE.der(), UVM_ROOT.der()],
            issuer: format!("did:x509:0:sha256:{root}::eku:{UVM_EKU}"),
            feed: UVM_FEED.to_owned(),
            svn,
            measurement: *measurement,
            signing_time: SIGNING_TIME,
            payload: None,
            change_headers: |_| {},
            change_claims: |_| {},
        }
    }

    /// The endorsement, signed with the forged signer's key: a tagged COSE_Sign1.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn sign(&self) -> Vec<u8> {
        let protected = encode(&Value::Map(self.protected()));
        let payload = self.payload();
        let to_be_signed = encode(&Value::Array(vec![
            Value::Text("Signature1".to_owned()),
            Value::Bytes(protected.clone()),
            Value::Bytes(Vec::new()),
            Value::Bytes(payload.clone()),
        ]));
        let message = Value::Array(vec![
            Value::Bytes(protected),
            Value::Map(Vec::new()),
            Value::Bytes(payload),
            Value::Bytes(ps384(&to_be_signed)),
        ]);
        encode(&Value::Tag(18, Box::new(message)))
    }

    fn protected(&self) -> Vec<(Value, Value)> {
        let thumbprint = sha256(self.chain.first().map_or(&[], Vec::as_slice)).to_vec();
        let chain = self.chain.iter().cloned().map(Value::Bytes).collect();
        let time = Value::Tag(1, Box::new(self.signing_time.as_second().into()));
        let mut headers = vec![
            (1.into(), self.algorithm.into()),
            (33.into(), Value::Array(chain)),
            (34.into(), Value::Array(vec![(-16).into(), Value::Bytes(thumbprint)])),
        ];
        match self.form {
            Form::Json => headers.extend([
                (3.into(), Value::Text("application/json".to_owned())),
                (Value::Text("iss".to_owned()), Value::Text(self.issuer.clone())),
                (Value::Text("feed".to_owned()), Value::Text(self.feed.clone())),
                (Value::Text("signingtime".to_owned()), time),
            ]),
            Form::Transparent => {
                let mut claims = vec![
                    (1.into(), Value::Text(self.issuer.clone())),
                    (2.into(), Value::Text(self.feed.clone())),
                    (6.into(), time),
                    (Value::Text("svn".to_owned()), self.svn.into()),
                ];
                (self.change_claims)(&mut claims);
                headers.extend([
                    (15.into(), Value::Map(claims)),
                    (258.into(), (-43).into()),
                    (259.into(), Value::Text("application/octet-stream".to_owned())),
                ]);
            }
        }
        (self.change_headers)(&mut headers);
        headers
    }

    fn payload(&self) -> Vec<u8> {
        if let Some(payload) = &self.payload {
            return payload.clone();
        }
        match self.form {
            Form::Json => json!({
                "x-ms-sevsnpvm-guestsvn": self.svn.to_string(),
                "x-ms-sevsnpvm-guestsvn-int": self.svn,
                "x-ms-sevsnpvm-launchmeasurement": hex::encode(self.measurement),
            })
            .to_string()
            .into_bytes(),
            Form::Transparent => self.measurement.to_vec(),
        }
    }
}

/// A sound endorsement.
#[must_use]
pub fn uvm_endorsement(measurement: &[u8; 48], svn: u64, form: Form) -> Vec<u8> {
    Endorsement::new(measurement, svn, form).sign()
}

/// A certificate of the signer's key for other uses, or for another time.
#[must_use]
pub fn uvm_leaf(uses: &[&str], not_before: Timestamp, not_after: Timestamp) -> Vec<u8> {
    let issuer = UVM_INTERMEDIATE.rsa_sha384();
    let key = UVM_LEAF.rsa_sha384().public();
    Certificate {
        serial: 3,
        issuer: uvm_name("Vouchsafe insecure SCD Products RSA CA"),
        subject: uvm_name("ContainerPlat"),
        not_before,
        not_after,
        extensions: vec![
            Extension::signs_data(),
            Extension::for_use(uses.iter().copied()),
            Extension::subject_key(&key),
            Extension::authority_key(&issuer.public()),
            Extension::end_entity(),
        ],
        key,
    }
    .sign(&issuer)
}

/// The certificate of the signer as it is meant to be; the folder `keys` has one.
#[must_use]
pub fn default_leaf() -> Vec<u8> {
    uvm_leaf(&["1.3.6.1.4.1.311.76.59.1.1", UVM_EKU], NOT_BEFORE, NOT_AFTER)
}

/// A Name in the endorsement's chain.
#[must_use]
pub fn uvm_name(common_name: &str) -> Vec<u8> {
    name(&[(COUNTRY, "US"), (ORGANIZATION, "Forged by Vouchsafe"), (COMMON_NAME, common_name)])
}

/// SHA-256 of the root's certificate.
#[must_use]
pub fn uvm_root_sha256() -> [u8; 32] {
    UVM_ROOT.sha256()
}

#[expect(
    clippy::expect_used,
    reason = "signing fails only without memory or randomness, and this is for tests"
)]
fn ps384(message: &[u8]) -> Vec<u8> {
    let SigningKey::RsaSha384(key) = UVM_LEAF.rsa_sha384() else {
        return Vec::new();
    };
    let key: RsaKeyPair = key;
    let mut out = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), message, &mut out).expect("the key is sound");
    out
}

#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("a vector takes every byte");
    out
}

/// The feed of Azure's containers.
pub const UVM_FEED: &str = "ContainerPlat-AMD-UVM";
/// The extended key usage of Azure's containers.
pub const UVM_EKU: &str = "1.3.6.1.4.1.311.76.59.1.2";
/// The security version of our utility VM.
pub const UVM_SVN: u64 = 104;
/// The measurement of our utility VM: SHA-384 of `vouchsafe insecure utility vm`.
pub const UVM_MEASUREMENT: [u8; 48] = [
    0x52, 0x9f, 0xb5, 0xf2, 0x18, 0x8d, 0x7f, 0x0d, 0x07, 0x83, 0x8c, 0x95, 0x6f, 0x2c, 0x2e,
    0xd5, //
    0x1b, 0x39, 0x26, 0xf7, 0x74, 0x1d, 0x72, 0xe7, 0xe7, 0x60, 0x95, 0x4a, 0xea, 0x7c, 0x4c, 0x35,
    0x16, 0x4f, 0x0c, 0x95, 0xaa, 0xc7, 0xd7, 0xd1, 0x15, 0xf7, 0x67, 0x51, 0x35, 0xcd, 0x0a, 0xdd,
];
/// 2026-02-01.
const SIGNING_TIME: Timestamp = Timestamp::constant(1_769_904_000, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measurement_is_the_digest_of_its_name() {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, b"vouchsafe insecure utility vm");
        assert_eq!(UVM_MEASUREMENT, digest.as_ref());
    }

    #[test]
    fn both_forms_are_tagged_messages() {
        for form in [Form::Json, Form::Transparent] {
            let message = uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, form);
            let Value::Tag(18, inner) = ciborium::from_reader(message.as_slice()).unwrap() else {
                panic!("not tagged");
            };
            assert_eq!(inner.as_array().unwrap().len(), 4);
        }
    }
}
