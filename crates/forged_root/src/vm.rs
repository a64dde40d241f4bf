//! A virtual machine of Azure: its paravisor's HCL report, and quotes of its TPM.
//!
//! Wire layouts: the HCL report of Microsoft's "guest attestation design detail"; TPMS_ATTEST and TPMT_SIGNATURE of the
//! TPM 2.0 library, part 2, sections 10.12 and 11.3.
//! The attestation key is the caller's to choose: that of a software TPM, or [`SoftwareAk`], which is in the source.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::keys::{self, sha256};
use crate::{Chip, ReportFields};

/// An RSA public key: modulus and exponent, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the line above says")]
pub struct RsaPublic {
    pub modulus: Vec<u8>,
    pub exponent: Vec<u8>,
}

/// What the paravisor says about a machine. Every field can be set to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmClaims {
    /// The attestation keys; a sound machine has one.
    pub attestation_keys: Vec<RsaPublic>,
    /// Left out where nothing is said.
    pub secure_boot: Option<bool>,
    /// The machine's identity.
    pub vm_id: String,
    /// 64 bytes, or left out.
    pub user_data: Option<Vec<u8>>,
}

/// An HCL report. Every field can be set to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hcl {
    /// What stands at the front.
    pub magic: [u8; 4],
    /// Of the header.
    pub version: u32,
    /// 1 VBS, 2 SNP, 3 trusted launch, 4 TDX.
    pub report_type: u32,
    /// 1 SHA-256.
    pub hash_type: u32,
    /// The hardware's report.
    pub report: Vec<u8>,
    /// The runtime claims.
    pub claims: Vec<u8>,
    /// The size of the TPM's index, which is filled with zeros.
    pub size: usize,
}

/// A TPM's attestation key that everybody has.
#[derive(Debug)]
pub struct SoftwareAk(RsaKeyPair);

/// What a TPM says in a quote. Every field can be set to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of the TPM's specification")]
pub struct QuoteFields {
    pub magic: u32,
    pub kind: u16,
    pub qualified_signer: Vec<u8>,
    pub extra_data: Vec<u8>,
    pub clock: u64,
    pub reset_count: u32,
    pub restart_count: u32,
    pub safe: u8,
    pub firmware_version: u64,
    /// Of each bank: the hash, and the registers as bits.
    pub selections: Vec<(u16, [u8; 3])>,
    pub pcr_digest: Vec<u8>,
}

impl VmClaims {
    /// The claims of a machine with this attestation key, which boots only signed code.
    #[must_use]
    pub fn new(attestation_key: RsaPublic) -> Self {
        Self {
            attestation_keys: vec![attestation_key],
            secure_boot: Some(true),
            vm_id: "D0B7A1F0-0000-4000-8000-5EC0DE5EC0DE".to_owned(),
            user_data: Some(vec![0; 64]),
        }
    }

    /// The claims as the paravisor writes them.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let keys: Vec<_> = self
            .attestation_keys
            .iter()
            .map(|key| {
                json!({
                    "kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA",
                    "e": URL_SAFE_NO_PAD.encode(&key.exponent),
                    "n": URL_SAFE_NO_PAD.encode(&key.modulus),
                })
            })
            .collect();
        let mut configuration = serde_json::Map::from_iter([
            ("console-enabled".to_owned(), true.into()),
            ("tpm-enabled".to_owned(), true.into()),
            ("vmUniqueId".to_owned(), self.vm_id.clone().into()),
        ]);
        if let Some(on) = self.secure_boot {
            configuration.insert("secure-boot".to_owned(), on.into());
        }
        let mut claims = serde_json::Map::from_iter([
            ("keys".to_owned(), keys.into()),
            ("vm-configuration".to_owned(), configuration.into()),
        ]);
        if let Some(bytes) = &self.user_data {
            claims.insert("user-data".to_owned(), hex::encode_upper(bytes).into());
        }
        let claims = serde_json::Value::Object(claims);
        claims.to_string().into_bytes()
    }
}

impl Hcl {
    /// The report of a machine on `chip`, as newer images have it: version 2, 2600 bytes.
    #[must_use]
    pub fn new(chip: &Chip, claims: &VmClaims) -> Self {
        let claims = claims.json();
        Self::with(&vm_fields(chip, &claims), chip, claims)
    }

    /// The same with what the processor says.
    #[must_use]
    pub fn with(fields: &ReportFields, chip: &Chip, claims: Vec<u8>) -> Self {
        Self {
            magic: *b"HCLA",
            version: 2,
            report_type: 2,
            hash_type: 1,
            report: chip.sign(fields),
            claims,
            size: 2600,
        }
    }

    /// The bytes of the TPM's index.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let claims_len = word(self.claims.len());
        let data_len = claims_len.saturating_add(20);
        let total = word(self.report.len()).saturating_add(32).saturating_add(data_len);
        let mut out = self.magic.to_vec();
        let header = [self.version, total, 2, 0, 0, 0, 0];
        out.extend(header.into_iter().flat_map(u32::to_le_bytes));
        out.extend(&self.report);
        let frame = [data_len, 1, self.report_type, self.hash_type, claims_len];
        out.extend(frame.into_iter().flat_map(u32::to_le_bytes));
        out.extend(&self.claims);
        out.resize(out.len().max(self.size), 0);
        out
    }
}

/// What the processor says about a paravisor with these claims.
#[must_use]
pub fn vm_fields(chip: &Chip, claims: &[u8]) -> ReportFields {
    let mut report_data = [0; 64];
    report_data.iter_mut().zip(sha256(claims)).for_each(|(to, from)| *to = from);
    ReportFields { report_data, measurement: VM_MEASUREMENT, guest_svn: 10, ..chip.fields() }
}

impl SoftwareAk {
    /// The key.
    #[must_use]
    pub fn new() -> Self {
        Self(keys::vm_ak())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> RsaPublic {
        // RSAPublicKey of RFC 8017, section A.1.1, of a key of 2048 bits: the modulus begins behind two headers and a
        // zero, the exponent 65537 ends it.
        let pkcs1 = self.0.public_key().as_ref();
        let modulus = pkcs1.iter().copied().skip(9).take(256).collect();
        RsaPublic { modulus, exponent: vec![1, 0, 1] }
    }

    /// A TPMT_SIGNATURE of a TPMS_ATTEST.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "signing fails only without memory or randomness, and this is for tests"
    )]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the key is sound");
        tpmt_signature(&signature)
    }
}

impl QuoteFields {
    /// A quote over `nonce` and the values of these registers of the SHA-256 bank, in ascending order.
    #[must_use]
    pub fn new(nonce: &[u8], registers: &[(u8, [u8; 32])]) -> Self {
        let set = registers.iter().fold(0u32, |set, (index, _)| set | 1 << (index % 24));
        let [a, b, c, _] = set.to_le_bytes();
        let values: Vec<u8> = registers.iter().flat_map(|(_, value)| *value).collect();
        Self {
            magic: 0xff54_4347,
            kind: 0x8018,
            qualified_signer: [&[0, 0x0b][..], &[0x5a; 32]].concat(),
            extra_data: nonce.to_vec(),
            clock: 3_363_536,
            reset_count: 3,
            restart_count: 0,
            safe: 1,
            firmware_version: 0x2020_0312_0012_0003,
            selections: vec![(0x000b, [a, b, c])],
            pcr_digest: sha256(&values).to_vec(),
        }
    }

    /// The TPMS_ATTEST.
    #[must_use]
    pub fn attest(&self) -> Vec<u8> {
        let mut out = self.magic.to_be_bytes().to_vec();
        out.extend(self.kind.to_be_bytes());
        sized(&mut out, &self.qualified_signer);
        sized(&mut out, &self.extra_data);
        out.extend(self.clock.to_be_bytes());
        out.extend(self.reset_count.to_be_bytes());
        out.extend(self.restart_count.to_be_bytes());
        out.push(self.safe);
        out.extend(self.firmware_version.to_be_bytes());
        out.extend(word(self.selections.len()).to_be_bytes());
        for (bank, registers) in &self.selections {
            out.extend(bank.to_be_bytes());
            out.push(3);
            out.extend(registers);
        }
        sized(&mut out, &self.pcr_digest);
        out
    }
}

/// An RSASSA signature with SHA-256 as a TPM frames it.
#[must_use]
pub fn tpmt_signature(signature: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0x14, 0, 0x0b];
    sized(&mut out, signature);
    out
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(bytes);
}

fn word(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The measurement of our paravisor.
pub const VM_MEASUREMENT: [u8; 48] = *b"vouchsafe insecure paravisor, measured by nobody";
