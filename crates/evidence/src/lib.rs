//! What the silicon says: SNP reports, AMD's certificate chain and UVM endorsements, parsed and verified.
//!
//! A confidential container shows three things: a report that the processor signed, the certificates of the key that
//! signed it up to a root of AMD, and Microsoft's endorsement of the measured utility VM in which the container runs.
//! [`verify()`] takes them together with a [`Policy`], the [`Anchors`] and the [`Binding`] that the report must carry, and
//! returns a [`VerifiedReport`], which nothing else can make, or a [`Refusal`] that names the step, what it expected and
//! what it found.
//!
//! It trusts the pinned digests of [`Anchors`] and nothing that comes with the evidence.
//! Every byte of the evidence is hostile until its signature has been checked; a value that no published firmware
//! produces is a value to be refused by a step, never a reason to panic.
//! The crate is pure: time, policy and anchors are arguments, and it performs no I/O.

mod anchors;
mod bytes;
mod certificate;
mod demands;
mod endorsement;
mod flags;
mod hardware;
mod policy;
mod product;
mod raw;
mod refusal;
mod report;
mod revocation;
mod tcb;
mod vek;
mod verify;

pub use anchors::Anchors;
pub use bytes::{
    Binding, ChipId, FamilyId, HexError, HostData, ImageId, KeyDigest, Measurement, ReportId,
    Sha256,
};
pub use endorsement::{EndorsementForm, VerifiedEndorsement, verify_endorsement};
pub use flags::{GuestPolicy, KeyFlags, PlatformInfo, SigningKey};
pub use hardware::{VerifiedHardware, verify_hardware};
pub use policy::{
    AbiVersion, Allowed, DebugPolicy, KeyPolicy, MigrationPolicy, PlatformPolicy, Policy,
    Requirement, SmtPolicy, SocketPolicy, UvmPolicy,
};
pub use product::{Product, UnknownProduct};
pub use raw::{RawEvidence, SecurityContextError, certificates_from_thim};
pub use refusal::{Refusal, Step};
pub use report::{Cpuid, FirmwareVersion, Report, ReportError};
pub use revocation::Revocation;
pub use tcb::{BelowFloor, Tcb, TcbBytes, TcbComponent, TcbFloor};
pub use verify::{VerifiedReport, verify};

#[cfg(test)]
mod tests;
