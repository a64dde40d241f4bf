//! What a verifier demands of evidence.
//!
//! A policy is complete: every field is a decision, and none is taken from the evidence.
//! [`ReportPolicy`] is about the report and its chain, which every kind of evidence has; [`Policy`] adds what a
//! container of Azure shows, [`crate::VmPolicy`] what a virtual machine of Azure shows.
//! [`Policy::container`] is what a confidential container of Azure meets; a caller narrows it further.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{
    Absence, ChipId, FamilyId, FirmwareVersion, HostData, ImageId, KeyDigest, Measurement, Product,
    ReportId, Revocation, TcbFloor,
};

/// The demands on a confidential container of Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is demanded of its report.
    pub report: ReportPolicy,
    /// Which endorsement of the utility VM is demanded.
    pub uvm: UvmPolicy,
}

/// The demands on a report and its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPolicy {
    /// The least TCB of each accepted product, for reported, committed and launch TCB; a product that is absent is
    /// refused.
    pub floors: BTreeMap<Product, TcbFloor>,
    /// What is known about revoked authorities of AMD.
    pub revocation: Revocation,
    /// Which keys may sign.
    pub keys: KeyPolicy,
    /// The privilege level at which the report was asked for, exactly.
    pub vmpl: u8,
    /// Whether the host may debug the guest.
    pub debug: DebugPolicy,
    /// Whether the guest may be migrated.
    pub migration: MigrationPolicy,
    /// Whether the guest's policy may allow multithreading.
    pub smt: SmtPolicy,
    /// Whether the guest may span sockets.
    pub sockets: SocketPolicy,
    /// Whether the guest's policy may allow devices and memory over CXL.
    pub cxl: CxlPolicy,
    /// What the guest's policy must demand of the machine that it is started or resumed on.
    pub guest: GuestRequirements,
    /// The least firmware ABI that the guest's policy must demand.
    pub min_abi: AbiVersion,
    /// How the machine must be set up.
    pub platform: PlatformPolicy,
    /// Which firmware may run.
    pub firmware: FirmwarePolicy,
    /// Mitigations that must have been in place at launch and now, as bits of the report's vectors; a report before
    /// version 5 shows none.
    pub mitigations: u64,
    /// Accepted HOST_DATA; a caller that appraises it later says [`Allowed::Any`].
    pub host_data: Allowed<HostData>,
    /// Accepted launch measurements, beside the endorsement.
    pub measurements: Allowed<Measurement>,
    /// Accepted family ids.
    pub family_ids: Allowed<FamilyId>,
    /// Accepted image ids.
    pub image_ids: Allowed<ImageId>,
    /// The least GUEST_SVN of the ID block.
    pub min_guest_svn: u32,
    /// Accepted runs of the guest, by REPORT_ID.
    pub report_ids: Allowed<ReportId>,
    /// Accepted migration agents, by REPORT_ID_MA, which is all ones where there is none.
    pub migration_agents: Allowed<ReportId>,
    /// Accepted digests of the ID-block key.
    pub id_keys: Allowed<KeyDigest>,
    /// Accepted digests of the author key.
    pub author_keys: Allowed<KeyDigest>,
    /// Accepted processors.
    pub chips: Allowed<ChipId>,
}

/// Whose endorsement of the measurement counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UvmPolicy {
    /// The extended key usage of the signer's certificate, in dotted form.
    pub eku: String,
    /// The feed: which product of the issuer this is.
    pub feed: String,
    /// The least security version of the endorsed VM.
    pub min_svn: u64,
}

/// The values of a field that are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed<T> {
    /// Every value, because somebody else decides or the field says nothing.
    Any,
    /// These; an empty set accepts none.
    Only(BTreeSet<T>),
}

/// Which of AMD's endorsement keys may sign a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPolicy {
    /// Only a key derived from the chip's own secret.
    Vcek,
    /// Also a key that the cloud provider holds for many chips.
    VcekOrVlek,
}

/// Whether the host may debug the guest, that is: read its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugPolicy {
    /// Never.
    Refuse,
    /// Yes: whoever runs the host reads every secret.
    DangerouslyAllow,
}

/// Whether the guest may have a migration agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Never.
    Refuse,
    /// Yes: the agent, which this crate does not verify, may move the guest elsewhere.
    DangerouslyAllow,
}

/// Whether the guest's policy may allow simultaneous multithreading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtPolicy {
    /// Yes, as Azure launches its containers.
    Allow,
    /// The guest must refuse to run beside another thread.
    Refuse,
}

/// Whether the guest may span sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketPolicy {
    /// Yes.
    Any,
    /// The guest must refuse it.
    Single,
}

/// A version of the firmware's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the numbers have the names of the firmware's manual")]
pub struct AbiVersion {
    pub major: u8,
    pub minor: u8,
}

/// Protections of the machine that can be demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformPolicy {
    /// The firmware has checked that no two addresses alias (AMD-SB-3015).
    pub alias_check: Requirement,
    /// The host cannot read the guest's ciphertext.
    pub ciphertext_hiding: Requirement,
    /// Power measurement is off.
    pub rapl_disabled: Requirement,
    /// Multithreading is off on the whole machine, whatever the guest's policy allows.
    pub smt_disabled: Requirement,
    /// Transparent encryption of all memory must be off: its key is the firmware's, and a guest needs it not.
    pub tsme_disabled: Requirement,
    /// Memory must have error correction.
    pub ecc: Requirement,
}

/// Which firmware may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwarePolicy {
    /// The least version that runs.
    pub least: FirmwareVersion,
    /// Whether it must have been committed.
    pub provisional: ProvisionalPolicy,
}

/// Whether firmware may run that is not committed, so that its host can still go back to an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisionalPolicy {
    /// Yes: the floors hold for the committed TCB, too.
    Allow,
    /// Never: firmware and TCB that run must be those that are committed.
    Refuse,
}

/// Whether the guest's policy may allow devices and memory to be attached over CXL, outside the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CxlPolicy {
    /// It may.
    Allow,
    /// It may not.
    Refuse,
}

/// Protections that the guest's policy must demand, so that firmware without them does not run the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestRequirements {
    /// Memory encryption with AES-256 in XTS mode.
    pub aes_256_xts: Requirement,
    /// Power measurement switched off.
    pub rapl_disabled: Requirement,
    /// Ciphertext hiding.
    pub ciphertext_hiding: Requirement,
    /// No moving and swapping of pages by the host.
    pub page_swap_disabled: Requirement,
}

/// Whether a protection must be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// It must.
    Required,
    /// It need not.
    NotRequired,
}

impl Policy {
    /// What a confidential container of Azure meets on every product named in `floors`: [`ReportPolicy::guest`], and
    /// Microsoft's endorsement at `min_uvm_svn` or later.
    #[must_use]
    pub fn container(floors: BTreeMap<Product, TcbFloor>, min_uvm_svn: u64) -> Self {
        Self {
            report: ReportPolicy::guest(floors),
            uvm: UvmPolicy::container_platform(min_uvm_svn),
        }
    }
}

impl ReportPolicy {
    /// What a guest of Azure meets on every product named in `floors`: VCEK only, VMPL 0, neither debugging nor
    /// migration, no CXL. Revocation lists are not looked at until the caller gives some.
    #[must_use]
    pub fn guest(floors: BTreeMap<Product, TcbFloor>) -> Self {
        Self {
            floors,
            revocation: Revocation::Absent(Absence::NotConsulted),
            keys: KeyPolicy::Vcek,
            vmpl: 0,
            debug: DebugPolicy::Refuse,
            migration: MigrationPolicy::Refuse,
            smt: SmtPolicy::Allow,
            sockets: SocketPolicy::Any,
            cxl: CxlPolicy::Refuse,
            guest: GuestRequirements {
                aes_256_xts: Requirement::NotRequired,
                rapl_disabled: Requirement::NotRequired,
                ciphertext_hiding: Requirement::NotRequired,
                page_swap_disabled: Requirement::NotRequired,
            },
            min_abi: AbiVersion { major: 0, minor: 0 },
            platform: PlatformPolicy {
                alias_check: Requirement::NotRequired,
                ciphertext_hiding: Requirement::NotRequired,
                rapl_disabled: Requirement::NotRequired,
                smt_disabled: Requirement::NotRequired,
                tsme_disabled: Requirement::NotRequired,
                ecc: Requirement::NotRequired,
            },
            firmware: FirmwarePolicy {
                least: FirmwareVersion { major: 0, minor: 0, build: 0 },
                provisional: ProvisionalPolicy::Allow,
            },
            mitigations: 0,
            host_data: Allowed::Any,
            measurements: Allowed::Any,
            family_ids: Allowed::Any,
            image_ids: Allowed::Any,
            min_guest_svn: 0,
            report_ids: Allowed::Any,
            migration_agents: Allowed::Any,
            id_keys: Allowed::Any,
            author_keys: Allowed::Any,
            chips: Allowed::Any,
        }
    }
}

impl UvmPolicy {
    /// The utility VM of Azure Container Instances.
    #[must_use]
    pub fn container_platform(min_svn: u64) -> Self {
        Self {
            eku: "1.3.6.1.4.1.311.76.59.1.2".to_owned(),
            feed: "ContainerPlat-AMD-UVM".to_owned(),
            min_svn,
        }
    }
}

impl<T: Ord> Allowed<T> {
    /// These and no others.
    pub fn only(values: impl IntoIterator<Item = T>) -> Self {
        Self::Only(values.into_iter().collect())
    }
}

/// For a refusal: what was expected.
impl<T: fmt::Display + Ord> fmt::Display for Allowed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Only(values) = self else {
            return f.write_str("any value");
        };
        match values.first() {
            None => f.write_str("no value at all"),
            Some(only) if values.len() == 1 => only.fmt(f),
            Some(first) => write!(f, "one of {} values, such as {first}", values.len()),
        }
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
