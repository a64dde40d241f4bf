//! What the silicon says: SNP reports, AMD's certificate chain, UVM endorsements and TPM quotes, parsed and verified.
//!
//! Every guest shows a report that the processor signed and the certificates of the key that signed it, up to a root of
//! AMD; [`verify_snp`] judges these two.
//! A confidential container of Azure shows Microsoft's endorsement of the measured utility VM in which it runs, too:
//! [`verify()`].
//! A confidential virtual machine of Azure shows the report of the paravisor below it, and a quote of the TPM that the
//! paravisor keeps for it: [`verify_vm`].
//! Each takes the evidence together with a policy, the [`Anchors`] and what the evidence must carry to be fresh, and
//! returns a proof which nothing else can make, or a [`Refusal`] that names the step, what it expected and what it found.
//!
//! It trusts the pinned digests of [`Anchors`] and nothing that comes with the evidence.
//! Every byte of the evidence is hostile until its signature has been checked; a value that no published firmware
//! produces is a value to be refused by a step, never a reason to panic.
//! The crate is pure: time, policy and anchors are arguments, and it performs no I/O.

mod anchors;
mod bytes;
mod cache;
mod certificate;
mod demands;
pub mod document;
mod endorsement;
mod flags;
mod hardware;
pub mod inspect;
mod policy;
mod product;
mod raw;
mod refusal;
mod report;
mod revocation;
mod tcb;
mod vek;
mod verify;
mod vm;

pub use anchors::Anchors;
pub use bytes::{
    Binding, ChipId, FamilyId, HexError, HostData, ImageId, KeyDigest, Measurement, ReportId,
    Sha256,
};
pub use cache::Verifier;
pub use endorsement::{EndorsementForm, VerifiedEndorsement, verify_endorsement};
pub use flags::{GuestPolicy, KeyFlags, PlatformInfo, SigningKey};
pub use hardware::{VerifiedHardware, verify_hardware};
pub use policy::{
    AbiVersion, Allowed, CxlPolicy, DebugPolicy, FirmwarePolicy, GuestRequirements, KeyPolicy,
    MigrationPolicy, PlatformPolicy, Policy, ProvisionalPolicy, ReportPolicy, Requirement,
    SmtPolicy, SocketPolicy, UvmPolicy,
};
pub use product::{Product, UnknownProduct};
pub use raw::{RawEvidence, SecurityContextError, certificates_from_thim};
pub use refusal::{Kind, Refusal, Step};
pub use report::{Cpuid, FirmwareVersion, Report, ReportError};
pub use revocation::{Absence, ListRefused, Revocation, RevocationList, RevocationStatus};
pub use tcb::{BelowFloor, Tcb, TcbBytes, TcbComponent, TcbFloor};
pub use verify::{VerifiedReport, VerifiedSnp, verify, verify_snp};
pub use vm::{
    HclError, HclReport, HclReportKind, NotARegister, PcrIndex, PcrSelection, PcrValue, QuoteError,
    QuoteNonce, RawQuote, RawVmEvidence, RuntimeClaims, TpmQuote, TpmSignature, UserData,
    VerifiedVm, VmBinding, VmPolicy, WrongNonce, verify_vm,
};

#[cfg(test)]
mod tests;
