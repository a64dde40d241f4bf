//! Why evidence was refused: the step that failed, what it expected and what it found.
//!
//! A refusal repeats digests, versions and flags of the evidence, never the evidence itself, so it may go to an audit
//! log; whether a caller may see it is not decided here.

use std::fmt;

use serde::Serialize;

/// The answer when evidence does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("step {number} ({step}): expected {expected}, found {found}", number = step.number())]
pub struct Refusal {
    /// The step that failed; the steps before it passed.
    pub step: Step,
    /// What it demands.
    pub expected: String,
    /// What it met.
    pub found: String,
}

/// A kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A report and its chain: [`crate::verify_snp`].
    Report,
    /// A confidential container of Azure: [`crate::verify()`].
    Container,
    /// A confidential virtual machine of Azure: [`crate::verify_vm`].
    VirtualMachine,
}

/// The steps of a verification, in the order in which they are performed: 1 to 24 of every kind of evidence, 25 to 34 of
/// a container's, 35 to 43 of a virtual machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The report has a length, version and algorithm that we know.
    Structure,
    /// The certificates can be read, and there is one for each place of the chain.
    Certificates,
    /// The VEK signed the report's raw bytes.
    Signature,
    /// The chain ends at a pinned root.
    Root,
    /// The root signed the intermediate and that signed the VEK, each for its purpose.
    Chain,
    /// All certificates are valid now.
    Validity,
    /// Neither root nor intermediate is revoked.
    Revocation,
    /// VEK, root and report are of the same product.
    Product,
    /// The VEK is that of the report's chip.
    VekChip,
    /// The VEK is that of the report's reported TCB.
    VekTcb,
    /// The report says that it was signed by the kind of key that signed it, a permitted one.
    SigningKey,
    /// The report was asked for at the right privilege level.
    Vmpl,
    /// The host may not debug the guest.
    Debug,
    /// The guest may not be migrated.
    Migration,
    /// The rest of the guest's policy: multithreading, sockets, ABI, the reserved one.
    GuestPolicy,
    /// The machine is set up as demanded, and runs accepted firmware.
    Platform,
    /// Reported, committed and launch TCB are not above the current TCB.
    TcbOrder,
    /// Reported, committed and launch TCB are not below the floor of the product.
    TcbFloor,
    /// REPORT_DATA is what was asked to be bound.
    Binding,
    /// HOST_DATA is accepted.
    HostData,
    /// The measurement is accepted.
    Measurement,
    /// Family, image and SVN of the ID block are accepted, and this run of the guest.
    Image,
    /// The keys of the ID block are accepted.
    IdKeys,
    /// The chip is accepted.
    Chip,
    /// The endorsement is a COSE_Sign1 of one of the two known forms.
    EndorsementStructure,
    /// The endorsement is signed with PS384.
    EndorsementAlgorithm,
    /// The endorsement's certificates can be read and lead to the pinned root.
    EndorsementRoot,
    /// Each certificate of the endorsement is signed by the next, for its purpose, valid at the signing time.
    EndorsementChain,
    /// The signer's certificate is for this use.
    EndorsementUsage,
    /// The signer signed the endorsement.
    EndorsementSignature,
    /// The endorsement names the issuer that its certificates show.
    EndorsementIssuer,
    /// The endorsement is for the demanded feed.
    EndorsementFeed,
    /// The endorsement's SVN is high enough.
    EndorsementSvn,
    /// The endorsed measurement is that of the report.
    EndorsedMeasurement,
    /// The runtime claims of a virtual machine can be read, and name one attestation key.
    RuntimeClaims,
    /// The claims carry the demanded user data.
    UserData,
    /// The attestation key signed the quote.
    QuoteSignature,
    /// The TPM made it, as a quote.
    QuoteStructure,
    /// The quote carries the nonce.
    QuoteNonce,
    /// The quote is over the registers that are shown, among them the demanded ones.
    PcrSelection,
    /// The quote is over the values that are shown.
    PcrDigest,
    /// The demanded registers have accepted values.
    Pcrs,
    /// The machine was configured to boot only signed code.
    SecureBoot,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 43] = [
        Self::Structure,
        Self::Certificates,
        Self::Signature,
        Self::Root,
        Self::Chain,
        Self::Validity,
        Self::Revocation,
        Self::Product,
        Self::VekChip,
        Self::VekTcb,
        Self::SigningKey,
        Self::Vmpl,
        Self::Debug,
        Self::Migration,
        Self::GuestPolicy,
        Self::Platform,
        Self::TcbOrder,
        Self::TcbFloor,
        Self::Binding,
        Self::HostData,
        Self::Measurement,
        Self::Image,
        Self::IdKeys,
        Self::Chip,
        Self::EndorsementStructure,
        Self::EndorsementAlgorithm,
        Self::EndorsementRoot,
        Self::EndorsementChain,
        Self::EndorsementUsage,
        Self::EndorsementSignature,
        Self::EndorsementIssuer,
        Self::EndorsementFeed,
        Self::EndorsementSvn,
        Self::EndorsedMeasurement,
        Self::RuntimeClaims,
        Self::UserData,
        Self::QuoteSignature,
        Self::QuoteStructure,
        Self::QuoteNonce,
        Self::PcrSelection,
        Self::PcrDigest,
        Self::Pcrs,
        Self::SecureBoot,
    ];

    /// The steps of a report without more, of a container's evidence and of a virtual machine's, in order.
    pub fn of(kind: Kind) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |step| match kind {
            Kind::Report => *step <= Self::Chip,
            Kind::Container => *step <= Self::EndorsedMeasurement,
            Kind::VirtualMachine => *step <= Self::Chip || *step >= Self::RuntimeClaims,
        })
    }

    /// The number under which the step stands in the documentation of [`crate::verify()`] or [`crate::verify_vm`].
    #[must_use]
    pub fn number(self) -> usize {
        1 + Self::ALL.iter().take_while(|step| **step != self).count()
    }

    /// A refusal by this step.
    pub(crate) fn refuse(self, expected: impl fmt::Display, found: impl fmt::Display) -> Refusal {
        Refusal { step: self, expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Structure => "report structure",
            Self::Certificates => "certificates",
            Self::Signature => "report signature",
            Self::Root => "root",
            Self::Chain => "chain",
            Self::Validity => "validity",
            Self::Revocation => "revocation",
            Self::Product => "product",
            Self::VekChip => "chip of the key",
            Self::VekTcb => "tcb of the key",
            Self::SigningKey => "signing key",
            Self::Vmpl => "vmpl",
            Self::Debug => "debug",
            Self::Migration => "migration",
            Self::GuestPolicy => "guest policy",
            Self::Platform => "platform",
            Self::TcbOrder => "tcb order",
            Self::TcbFloor => "tcb floor",
            Self::Binding => "binding",
            Self::HostData => "host data",
            Self::Measurement => "measurement",
            Self::Image => "image",
            Self::IdKeys => "id-block keys",
            Self::Chip => "chip",
            Self::EndorsementStructure => "endorsement structure",
            Self::EndorsementAlgorithm => "endorsement algorithm",
            Self::EndorsementRoot => "endorsement root",
            Self::EndorsementChain => "endorsement chain",
            Self::EndorsementUsage => "endorsement key usage",
            Self::EndorsementSignature => "endorsement signature",
            Self::EndorsementIssuer => "endorsement issuer",
            Self::EndorsementFeed => "endorsement feed",
            Self::EndorsementSvn => "endorsement svn",
            Self::EndorsedMeasurement => "endorsed measurement",
            Self::RuntimeClaims => "runtime claims",
            Self::UserData => "user data",
            Self::QuoteSignature => "quote signature",
            Self::QuoteStructure => "quote structure",
            Self::QuoteNonce => "quote nonce",
            Self::PcrSelection => "pcr selection",
            Self::PcrDigest => "pcr digest",
            Self::Pcrs => "pcrs",
            Self::SecureBoot => "secure boot",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_in_order() {
        assert!(Step::ALL.is_sorted());
        assert_eq!(Step::Structure.number(), 1);
        assert_eq!(Step::EndorsedMeasurement.number(), 34);
        assert_eq!(Step::SecureBoot.number(), 43);
        let counts = [Kind::Report, Kind::Container, Kind::VirtualMachine];
        assert_eq!(counts.map(|kind| Step::of(kind).count()), [24, 34, 33]);
    }
}
