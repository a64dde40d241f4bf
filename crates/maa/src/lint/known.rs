//! The claims of SEV-SNP evidence and what their values look like ("Azure Attestation claim sets"
//! and recorded tokens).

/// What the values of a claim look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    Integer,
    /// An integer of one byte.
    Byte,
    Text,
    /// Lower-case hex of so many characters.
    Hex(usize),
}

/// What the values of a service claim look like, if it is one that a policy on SEV-SNP sees.
pub(super) fn shape(kind: &str) -> Option<Shape> {
    CLAIMS.iter().find(|(name, _)| *name == kind).map(|(_, shape)| *shape)
}

pub(super) const DEBUGGABLE: &str = "x-ms-sevsnpvm-is-debuggable";
pub(super) const HOST_DATA: &str = "x-ms-sevsnpvm-hostdata";

/// The components of a TCB level.
pub(super) const FLOORS: [&str; 4] = [
    "x-ms-sevsnpvm-bootloader-svn",
    "x-ms-sevsnpvm-tee-svn",
    "x-ms-sevsnpvm-snpfw-svn",
    "x-ms-sevsnpvm-microcode-svn",
];

const CLAIMS: [(&str, Shape); 22] = [
    ("x-ms-ver", Shape::Text),
    ("x-ms-attestation-type", Shape::Text),
    ("x-ms-compliance-status", Shape::Text),
    ("x-ms-policy-hash", Shape::Text),
    ("x-ms-sevsnpvm-authorkeydigest", Shape::Hex(96)),
    ("x-ms-sevsnpvm-bootloader-svn", Shape::Byte),
    ("x-ms-sevsnpvm-familyId", Shape::Hex(32)),
    ("x-ms-sevsnpvm-guestsvn", Shape::Integer),
    ("x-ms-sevsnpvm-hostdata", Shape::Hex(64)),
    ("x-ms-sevsnpvm-idkeydigest", Shape::Hex(96)),
    ("x-ms-sevsnpvm-imageId", Shape::Hex(32)),
    ("x-ms-sevsnpvm-is-debuggable", Shape::Boolean),
    ("x-ms-sevsnpvm-launchmeasurement", Shape::Hex(96)),
    ("x-ms-sevsnpvm-microcode-svn", Shape::Byte),
    ("x-ms-sevsnpvm-migration-allowed", Shape::Boolean),
    ("x-ms-sevsnpvm-reportdata", Shape::Hex(128)),
    ("x-ms-sevsnpvm-reportid", Shape::Hex(64)),
    ("x-ms-sevsnpvm-smt-allowed", Shape::Boolean),
    ("x-ms-sevsnpvm-snpfw-svn", Shape::Byte),
    ("x-ms-sevsnpvm-tee-svn", Shape::Byte),
    ("x-ms-sevsnpvm-vmpl", Shape::Integer),
    ("secureboot", Shape::Boolean),
];
