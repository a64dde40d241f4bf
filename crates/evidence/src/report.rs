//! The attestation report of SNP firmware, taken apart.
//!
//! Wire layout: ATTESTATION_REPORT of AMD 56860, "SEV Secure Nested Paging Firmware ABI Specification", revision 1.58,
//! table 23 (report versions 2 to 5), little-endian throughout.
//! Parsing proves nothing: a [`Report`] is what somebody sent. It refuses another length, a version that it does not
//! know, a signature algorithm other than ECDSA P-384 with SHA-384, and a signature field that cannot be one.
//! All other fields are kept as they are, whatever their value.

use std::fmt;

use serde::Serialize;

use crate::{
    Binding, ChipId, FamilyId, GuestPolicy, HostData, ImageId, KeyDigest, KeyFlags, Measurement,
    PlatformInfo, Product, ReportId, TcbBytes,
};

/// A report, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// VERSION: 2 to 5.
    pub version: u32,
    /// GUEST_SVN of the ID block.
    pub guest_svn: u32,
    /// POLICY under which the guest was launched.
    pub policy: GuestPolicy,
    /// FAMILY_ID of the ID block.
    pub family_id: FamilyId,
    /// IMAGE_ID of the ID block.
    pub image_id: ImageId,
    /// VMPL at which the report was asked for; above 3 the host asked for it.
    pub vmpl: u32,
    /// CURRENT_TCB: what runs now.
    pub current_tcb: TcbBytes,
    /// PLATFORM_INFO: how the machine is set up.
    pub platform: PlatformInfo,
    /// Which key signed, and what is masked.
    pub flags: KeyFlags,
    /// REPORT_DATA.
    pub report_data: Binding,
    /// MEASUREMENT at launch.
    pub measurement: Measurement,
    /// HOST_DATA of the launch.
    pub host_data: HostData,
    /// ID_KEY_DIGEST.
    pub id_key_digest: KeyDigest,
    /// AUTHOR_KEY_DIGEST.
    pub author_key_digest: KeyDigest,
    /// REPORT_ID of this guest.
    pub report_id: ReportId,
    /// REPORT_ID_MA of its migration agent.
    pub report_id_ma: ReportId,
    /// REPORTED_TCB: the version whose key signed.
    pub reported_tcb: TcbBytes,
    /// Family, model and stepping, which version 3 added.
    pub cpuid: Option<Cpuid>,
    /// CHIP_ID, zeros where it is masked.
    pub chip_id: ChipId,
    /// COMMITTED_TCB: below it the platform cannot go back.
    pub committed_tcb: TcbBytes,
    /// The firmware that runs.
    pub current_firmware: FirmwareVersion,
    /// The firmware that is committed.
    pub committed_firmware: FirmwareVersion,
    /// LAUNCH_TCB: the current version when the guest was launched or imported.
    pub launch_tcb: TcbBytes,
    /// LAUNCH_MIT_VECTOR, which version 5 added.
    pub launch_mitigations: Option<u64>,
    /// CURRENT_MIT_VECTOR, which version 5 added.
    pub current_mitigations: Option<u64>,
    /// The signature: r and s, big-endian, one after the other.
    pub(crate) signature: [u8; 96],
}

/// Family, model and stepping of the processor, in the combined form of CPUID Fn0000_0001.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the three numbers have the names of the processor's manual")]
pub struct Cpuid {
    pub family: u8,
    pub model: u8,
    pub stepping: u8,
}

/// A version of the SNP firmware, ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "the three numbers have the names of the firmware's manual")]
pub struct FirmwareVersion {
    pub major: u8,
    pub minor: u8,
    pub build: u8,
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// Bytes that cannot be a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A report is [`Report::LEN`] bytes long.
    #[error("expected 1184 bytes, found {0}")]
    Length(usize),
    /// The version is none of 2 to 5.
    #[error("expected a report version of 2 to 5, found {0}")]
    Version(u32),
    /// The signature algorithm is not 1.
    #[error("expected signature algorithm 1 (ecdsa p-384 with sha-384), found {0}")]
    Algorithm(u32),
    /// The signature field holds more than two numbers of 384 bits.
    #[error("expected a signature of two 48-byte numbers and zeros, found other bytes")]
    Signature,
}

impl Report {
    /// The length of every version so far.
    pub const LEN: usize = 1184;
    /// How many bytes, from the first, are signed.
    pub const SIGNED_LEN: usize = 672;

    /// Takes a report apart.
    ///
    /// # Errors
    /// When the bytes cannot be a report of a version that we know; see [`ReportError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() != Self::LEN {
            return Err(ReportError::Length(bytes.len()));
        }
        let mut fields = Fields { rest: bytes, len: bytes.len() };
        let version = fields.u32()?;
        if !(2..=5).contains(&version) {
            return Err(ReportError::Version(version));
        }
        let guest_svn = fields.u32()?;
        let policy = GuestPolicy(fields.u64()?);
        let family_id = FamilyId::new(fields.take()?);
        let image_id = ImageId::new(fields.take()?);
        let vmpl = fields.u32()?;
        let algorithm = fields.u32()?;
        if algorithm != ECDSA_P384_SHA384 {
            return Err(ReportError::Algorithm(algorithm));
        }
        let current_tcb = TcbBytes::new(fields.take()?);
        let platform = PlatformInfo(fields.u64()?);
        let flags = KeyFlags(fields.u32()?);
        let _reserved: [u8; 4] = fields.take()?;
        let report_data = Binding::new(fields.take()?);
        let measurement = Measurement::new(fields.take()?);
        let host_data = HostData::new(fields.take()?);
        let id_key_digest = KeyDigest::new(fields.take()?);
        let author_key_digest = KeyDigest::new(fields.take()?);
        let report_id = ReportId::new(fields.take()?);
        let report_id_ma = ReportId::new(fields.take()?);
        let reported_tcb = TcbBytes::new(fields.take()?);
        let [family, model, stepping] = fields.take()?;
        let _reserved: [u8; 21] = fields.take()?;
        let chip_id = ChipId::new(fields.take()?);
        let committed_tcb = TcbBytes::new(fields.take()?);
        let current_firmware = fields.firmware()?;
        let committed_firmware = fields.firmware()?;
        let launch_tcb = TcbBytes::new(fields.take()?);
        let launch_mitigations = fields.u64()?;
        let current_mitigations = fields.u64()?;
        let _reserved: [u8; 152] = fields.take()?;
        let signature = fields.signature()?;
        Ok(Self {
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            current_tcb,
            platform,
            flags,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb,
            cpuid: (version >= 3).then_some(Cpuid { family, model, stepping }),
            chip_id,
            committed_tcb,
            current_firmware,
            committed_firmware,
            launch_tcb,
            launch_mitigations: (version >= 5).then_some(launch_mitigations),
            current_mitigations: (version >= 5).then_some(current_mitigations),
            signature,
        })
    }

    /// The product that the report itself names: nothing in version 2, or for a processor that we do not know.
    #[must_use]
    pub fn product(&self) -> Option<Product> {
        self.cpuid.and_then(|Cpuid { family, model, .. }| Product::of_cpuid(family, model))
    }
}

/// What has not been read yet.
struct Fields<'a> {
    rest: &'a [u8],
    len: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ReportError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(ReportError::Length(self.len))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, ReportError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ReportError> {
        self.take().map(u64::from_le_bytes)
    }

    fn firmware(&mut self) -> Result<FirmwareVersion, ReportError> {
        let [build, minor, major, _reserved] = self.take()?;
        Ok(FirmwareVersion { major, minor, build })
    }

    /// SIGNATURE (AMD 56860, table 139): r and s as little-endian numbers of 72 bytes each, then zeros.
    fn signature(&mut self) -> Result<[u8; 96], ReportError> {
        let mut signature = [0; 96];
        let (halves, _) = signature.as_chunks_mut::<48>();
        for half in halves {
            *half = self.take()?;
            half.reverse();
            if self.take()? != [0; 24] {
                return Err(ReportError::Signature);
            }
        }
        if self.rest.iter().any(|byte| *byte != 0) {
            return Err(ReportError::Signature);
        }
        Ok(signature)
    }
}

const ECDSA_P384_SHA384: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(version: u8) -> Vec<u8> {
        let mut bytes = vec![0; Report::LEN];
        bytes[0] = version;
        bytes[52] = 1;
        bytes
    }

    #[test]
    fn reads_every_field_from_its_offset() {
        let mut bytes = blank(5);
        for (at, value) in [
            (4, 1),
            (8, 2),
            (16, 3),
            (32, 4),
            (48, 5),
            (56, 6),
            (64, 7),
            (72, 8),
            (80, 9),
            (144, 10),
        ] {
            bytes[at] = value;
        }
        for (at, value) in [
            (192, 11),
            (224, 12),
            (272, 13),
            (320, 14),
            (352, 15),
            (384, 16),
            (392, 0x1a),
            (393, 2),
        ] {
            bytes[at] = value;
        }
        for (at, value) in
            [(416, 17), (480, 18), (488, 19), (492, 20), (496, 21), (504, 22), (512, 23)]
        {
            bytes[at] = value;
        }
        bytes[672] = 24;
        bytes[744] = 25;
        let report = Report::parse(&bytes).unwrap();
        assert_eq!((report.version, report.guest_svn, report.policy.0, report.vmpl), (5, 1, 2, 5));
        assert_eq!((report.family_id.as_bytes()[0], report.image_id.as_bytes()[0]), (3, 4));
        assert_eq!(
            (report.current_tcb.as_bytes()[0], report.platform.0, report.flags.0),
            (6, 7, 8)
        );
        assert_eq!((report.report_data.as_bytes()[0], report.measurement.as_bytes()[0]), (9, 10));
        assert_eq!((report.host_data.as_bytes()[0], report.id_key_digest.as_bytes()[0]), (11, 12));
        assert_eq!(
            (report.author_key_digest.as_bytes()[0], report.report_id.as_bytes()[0]),
            (13, 14)
        );
        assert_eq!(
            (report.report_id_ma.as_bytes()[0], report.reported_tcb.as_bytes()[0]),
            (15, 16)
        );
        assert_eq!((report.product(), report.chip_id.as_bytes()[0]), (Some(Product::Turin), 17));
        assert_eq!((report.committed_tcb.as_bytes()[0], report.current_firmware.build), (18, 19));
        assert_eq!((report.committed_firmware.build, report.launch_tcb.as_bytes()[0]), (20, 21));
        assert_eq!((report.launch_mitigations, report.current_mitigations), (Some(22), Some(23)));
        assert_eq!((report.signature[47], report.signature[95]), (24, 25));
    }

    #[test]
    fn older_versions_lack_what_came_later() {
        let report = Report::parse(&blank(2)).unwrap();
        assert_eq!((report.cpuid, report.launch_mitigations), (None, None));
        let report = Report::parse(&blank(3)).unwrap();
        assert_eq!((report.product(), report.launch_mitigations), (None, None));
    }

    #[test]
    fn refuses_what_cannot_be_a_report() {
        assert_eq!(Report::parse(&[]), Err(ReportError::Length(0)));
        assert_eq!(Report::parse(&[2; Report::LEN + 1]), Err(ReportError::Length(Report::LEN + 1)));
        for version in [0, 1, 6, 255] {
            assert_eq!(Report::parse(&blank(version)), Err(ReportError::Version(version.into())));
        }
        let with = |at: usize| {
            let mut bytes = blank(3);
            bytes[at] ^= 0x80;
            Report::parse(&bytes).unwrap_err()
        };
        assert_eq!(with(52), ReportError::Algorithm(0x81));
        for at in [720, 743, 792, 815, 816, 1183] {
            assert_eq!(with(at), ReportError::Signature, "{at}");
        }
    }
}
