//! The whole verification of a virtual machine's evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::claims::{RsaKey, RuntimeClaims};
use super::hcl::{HclReport, HclReportKind};
use super::quote::{TpmQuote, TpmSignature};
use super::registers::{PcrIndex, PcrSelection, PcrValue, QuoteNonce};
use crate::cache::Trust;
use crate::raw::base64url;
use crate::{
    Anchors, Binding, Product, Refusal, Report, ReportPolicy, Requirement, Step, VerifiedHardware,
    demands, hardware,
};

/// The evidence of a virtual machine, in bytes. In JSON the binary parts are base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawVmEvidence {
    /// The HCL report: what the TPM's index 0x01400001 holds.
    #[serde(with = "base64url")]
    pub hcl_report: Vec<u8>,
    /// The certificates as PEM, one after the other: that of the signing key first, then ASK and ARK.
    pub certificates: String,
    /// The TPM's quote.
    pub quote: RawQuote,
}

/// A TPM's quote, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawQuote {
    /// What is signed: a TPMS_ATTEST.
    #[serde(with = "base64url")]
    pub message: Vec<u8>,
    /// The signature: a TPMT_SIGNATURE.
    #[serde(with = "base64url")]
    pub signature: Vec<u8>,
    /// The values of the quoted registers, of the SHA-256 bank.
    pub pcrs: BTreeMap<PcrIndex, PcrValue>,
}

/// The demands on a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmPolicy {
    /// What is demanded of the paravisor's report.
    pub report: ReportPolicy,
    /// Registers that must have been quoted, and the values accepted of each; an empty set accepts none.
    pub pcrs: BTreeMap<PcrIndex, BTreeSet<PcrValue>>,
    /// Whether the machine must have been configured to boot only signed code.
    pub secure_boot: Requirement,
}

/// What the evidence must carry to be of this moment and for this purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmBinding {
    /// What the quote must carry, exactly.
    pub nonce: QuoteNonce,
    /// What the paravisor's report must carry.
    pub user_data: UserData,
}

/// What is demanded of the claim `user-data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// Nothing: the quote is fresh, and its key is the report's.
    Any,
    /// It must begin with these bytes, and the rest must be zeros.
    Exactly(Vec<u8>),
}

/// Evidence that passed every step of [`verify_vm`], which is the only way to get one.
#[derive(Debug)]
pub struct VerifiedVm {
    hardware: VerifiedHardware,
    claims: RuntimeClaims,
    quote: TpmQuote,
    pcrs: BTreeMap<PcrIndex, PcrValue>,
}

/// Verifies the evidence of a confidential virtual machine of Azure.
///
/// The steps, in the order in which they are performed; the first that fails is the answer. The first is that of
/// [`crate::verify()`] with the HCL report's frame, which must be of a known version and hold an SNP report; so are 2 to
/// 24, where 19, *binding*, demands that REPORT_DATA is the digest of the runtime claims, and zeros. Then:
///
/// 35. *runtime claims*: JSON, with one attestation key.
/// 36. *user data*: as demanded.
/// 37. *quote signature*: the attestation key signed the quote, RSASSA with SHA-256.
/// 38. *quote structure*: the TPM made it (its magic number), it is a quote (its type), and nothing follows.
/// 39. *quote nonce*: exactly that of `binding`.
/// 40. *pcr selection*: only the SHA-256 bank, exactly the registers whose values are shown, among them all of the policy.
/// 41. *pcr digest*: it is the digest of the values that are shown.
/// 42. *pcrs*: the value of each register of the policy is accepted.
/// 43. *secure boot*: the claims say so, where it is demanded.
///
/// The TPM's counters are for the caller to see, in [`VerifiedVm::quote`].
///
/// # Errors
/// The first step that fails, what it expected and what it found.
pub fn verify_vm(
    policy: &VmPolicy,
    anchors: &Anchors,
    evidence: &RawVmEvidence,
    binding: &VmBinding,
    now: Timestamp,
) -> Result<VerifiedVm, Refusal> {
    verify_under(policy, Trust::once(anchors), evidence, binding, now)
}

/// The same, with what was verified before.
pub(crate) fn verify_under(
    policy: &VmPolicy,
    trust: Trust<'_>,
    evidence: &RawVmEvidence,
    binding: &VmBinding,
    now: Timestamp,
) -> Result<VerifiedVm, Refusal> {
    // 1. Report structure; that of the report within follows.
    let hcl = HclReport::parse(&evidence.hcl_report)
        .map_err(|fault| Step::Structure.refuse("an hcl report", fault))?;
    if hcl.kind() != HclReportKind::Snp {
        return Err(Step::Structure.refuse("an hcl report of kind snp", hcl.kind()));
    }
    // 2 to 24.
    let revocation = &policy.report.revocation;
    let certificates = &evidence.certificates;
    let hardware = hardware::verify(trust, revocation, hcl.report(), certificates, now)?;
    demands::check(&policy.report, &hardware, &Binding::sha256(hcl.claims_bytes()))?;
    // 35. Runtime claims.
    let claims = hcl
        .claims()
        .map_err(|_| Step::RuntimeClaims.refuse("runtime claims in json", "other bytes"))?;
    let [key] = claims.attestation_keys() else {
        let found = claims.attestation_keys().len();
        return Err(Step::RuntimeClaims.refuse("one rsa key HCLAkPub", found));
    };
    // 36. User data.
    check_user_data(&binding.user_data, &claims)?;
    // 37. Quote signature.
    verify_signature(key, &evidence.quote)?;
    // 38. Quote structure.
    let quote = TpmQuote::parse(&evidence.quote.message)
        .map_err(|fault| Step::QuoteStructure.refuse("a quote", fault))?;
    // 39. Quote nonce.
    if quote.extra_data != binding.nonce.as_bytes() {
        return Err(Step::QuoteNonce.refuse(Hex(binding.nonce.as_bytes()), Hex(&quote.extra_data)));
    }
    // 40. PCR selection.
    let pcrs = &evidence.quote.pcrs;
    check_selection(policy, &quote, pcrs)?;
    // 41. PCR digest.
    let digest = pcr_digest(pcrs);
    if quote.pcr_digest != digest.as_bytes() {
        return Err(Step::PcrDigest
            .refuse(format_args!("{digest}, of the values shown"), Hex(&quote.pcr_digest)));
    }
    // 42. PCRs.
    for (index, accepted) in &policy.pcrs {
        let found = pcrs.get(index);
        if !found.is_some_and(|value| accepted.contains(value)) {
            let found = found.map_or("none".to_owned(), PcrValue::to_string);
            let accepted = crate::Allowed::Only(accepted.clone());
            return Err(Step::Pcrs.refuse(format_args!("register {index} with {accepted}"), found));
        }
    }
    // 43. Secure Boot.
    match (policy.secure_boot, claims.secure_boot()) {
        (Requirement::NotRequired, _) | (Requirement::Required, Some(true)) => {}
        (Requirement::Required, Some(false)) => {
            return Err(Step::SecureBoot.refuse("secure boot", "a claim that it is off"));
        }
        (Requirement::Required, None) => {
            return Err(Step::SecureBoot.refuse("secure boot", "no claim about it"));
        }
    }
    Ok(VerifiedVm { hardware, quote, pcrs: pcrs.clone(), claims })
}

fn check_user_data(demanded: &UserData, claims: &RuntimeClaims) -> Result<(), Refusal> {
    let UserData::Exactly(bytes) = demanded else {
        return Ok(());
    };
    let Some(found) = claims.user_data() else {
        return Err(Step::UserData.refuse(Hex(bytes), "no user data"));
    };
    match found.strip_prefix(bytes.as_slice()) {
        Some(rest) if rest.iter().all(|byte| *byte == 0) => Ok(()),
        _ => Err(Step::UserData.refuse(Hex(bytes), Hex(found))),
    }
}

fn verify_signature(key: &RsaKey, quote: &RawQuote) -> Result<(), Refusal> {
    if quote.message.len() > MAX_QUOTE {
        return Err(Step::QuoteSignature
            .refuse(format_args!("at most {MAX_QUOTE} bytes of quote"), quote.message.len()));
    }
    let signature = TpmSignature::parse(&quote.signature)
        .map_err(|fault| Step::QuoteSignature.refuse("a tpm signature", fault))?;
    RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent }
        .verify(&RSA_PKCS1_2048_8192_SHA256, &quote.message, signature.as_bytes())
        .map_err(|_| {
            Step::QuoteSignature.refuse("a signature by the attestation key", "another signature")
        })
}

fn check_selection(
    policy: &VmPolicy,
    quote: &TpmQuote,
    pcrs: &BTreeMap<PcrIndex, PcrValue>,
) -> Result<(), Refusal> {
    let [selection] = quote.selections.as_slice() else {
        return Err(Step::PcrSelection
            .refuse("one bank of registers", format_args!("{} banks", quote.selections.len())));
    };
    let shown = PcrSelection {
        bank: PcrSelection::SHA256,
        registers: pcrs.keys().fold(0, |set, index| set | 1 << index.number()),
    };
    if *selection != shown {
        return Err(
            Step::PcrSelection.refuse(format_args!("{shown}, whose values are shown"), selection)
        );
    }
    match policy.pcrs.keys().find(|index| !selection.contains(**index)) {
        None => Ok(()),
        Some(lacking) => Err(Step::PcrSelection
            .refuse(format_args!("register {lacking} among the quoted"), selection)),
    }
}

/// The digest of the values in the order of the registers.
fn pcr_digest(pcrs: &BTreeMap<PcrIndex, PcrValue>) -> PcrValue {
    let mut context = digest::Context::new(&digest::SHA256);
    pcrs.values().for_each(|value| context.update(value.as_bytes()));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    PcrValue::new(out)
}

impl VerifiedVm {
    /// The hardware's part.
    #[must_use]
    pub fn hardware(&self) -> &VerifiedHardware {
        &self.hardware
    }

    /// The paravisor's report.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.hardware.report()
    }

    /// The processor's product.
    #[must_use]
    pub fn product(&self) -> Product {
        self.hardware.product()
    }

    /// What the paravisor says about the machine.
    #[must_use]
    pub fn claims(&self) -> &RuntimeClaims {
        &self.claims
    }

    /// What the TPM signed, with its counters.
    #[must_use]
    pub fn quote(&self) -> &TpmQuote {
        &self.quote
    }

    /// The values of the quoted registers.
    #[must_use]
    pub fn pcrs(&self) -> &BTreeMap<PcrIndex, PcrValue> {
        &self.pcrs
    }
}

/// Bytes for a refusal.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(64).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if self.0.is_empty() || self.0.len() > 64 {
            write!(f, " ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// Real ones have about 150 bytes.
const MAX_QUOTE: usize = 1024;
