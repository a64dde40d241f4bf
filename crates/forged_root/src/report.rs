//! Attestation reports of any content.
//!
//! Wire layout: ATTESTATION_REPORT of AMD 56860, revision 1.58, table 23, little-endian.

use crate::{Product, Tcb, UVM_MEASUREMENT};

/// What a report says. Every field can be set to anything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of AMD's manual")]
pub struct ReportFields {
    pub version: u32,
    pub guest_svn: u32,
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub signature_algorithm: u32,
    pub current_tcb: [u8; 8],
    pub platform_info: u64,
    /// Bit 0 author key, bit 1 masked chip key, bits 2 to 4 the signing key.
    pub flags: u32,
    pub report_data: [u8; 64],
    pub measurement: [u8; 48],
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub report_id: [u8; 32],
    pub report_id_ma: [u8; 32],
    pub reported_tcb: [u8; 8],
    /// Family, model, stepping; written from version 3 on.
    pub cpuid: [u8; 3],
    pub chip_id: [u8; 64],
    pub committed_tcb: [u8; 8],
    /// Build, minor, major.
    pub current_firmware: [u8; 3],
    pub committed_firmware: [u8; 3],
    pub launch_tcb: [u8; 8],
    /// Written from version 5 on, as the next.
    pub launch_mitigations: u64,
    pub current_mitigations: u64,
}

impl ReportFields {
    /// A report as Azure's containers get it: version 3 (5 on Turin), policy 0x3001f, VMPL 0, one TCB everywhere, and
    /// the measurement of our utility VM.
    #[must_use]
    pub fn new(product: Product, tcb: Tcb) -> Self {
        let (family, model) = product.cpuid();
        let tcb = tcb.bytes(product);
        let turin = product == Product::Turin;
        let firmware = if turin { [0x41, 0x37, 1] } else { [0x1d, 0x37, 1] };
        let mitigations = if turin { 0x3f } else { 0 };
        let mut family_id = [0; 16];
        family_id[0] = 1;
        let mut image_id = [0; 16];
        image_id[0] = 2;
        Self {
            version: if turin { 5 } else { 3 },
            guest_svn: 2,
            policy: 0x3_001f,
            family_id,
            image_id,
            vmpl: 0,
            signature_algorithm: 1,
            current_tcb: tcb,
            platform_info: if turin { 0x65 } else { 0x25 },
            flags: 0,
            report_data: [0; 64],
            measurement: UVM_MEASUREMENT,
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: [0x5a; 32],
            report_id_ma: [0xff; 32],
            reported_tcb: tcb,
            cpuid: [family, model, 1],
            chip_id: [0; 64],
            committed_tcb: tcb,
            current_firmware: firmware,
            committed_firmware: firmware,
            launch_tcb: tcb,
            launch_mitigations: mitigations,
            current_mitigations: mitigations,
        }
    }

    /// The 672 bytes that are signed.
    #[must_use]
    pub fn signed_part(&self) -> Vec<u8> {
        let cpuid = if self.version >= 3 { self.cpuid } else { [0; 3] };
        let (launch, current) = if self.version >= 5 {
            (self.launch_mitigations, self.current_mitigations)
        } else {
            (0, 0)
        };
        let [build, minor, major] = self.current_firmware;
        let [committed_build, committed_minor, committed_major] = self.committed_firmware;
        let parts: [(usize, &[u8]); 30] = [
            (0, &self.version.to_le_bytes()),
            (4, &self.guest_svn.to_le_bytes()),
            (8, &self.policy.to_le_bytes()),
            (16, &self.family_id),
            (32, &self.image_id),
            (48, &self.vmpl.to_le_bytes()),
            (52, &self.signature_algorithm.to_le_bytes()),
            (56, &self.current_tcb),
            (64, &self.platform_info.to_le_bytes()),
            (72, &self.flags.to_le_bytes()),
            (80, &self.report_data),
            (144, &self.measurement),
            (192, &self.host_data),
            (224, &self.id_key_digest),
            (272, &self.author_key_digest),
            (320, &self.report_id),
            (352, &self.report_id_ma),
            (384, &self.reported_tcb),
            (392, &cpuid),
            (416, &self.chip_id),
            (480, &self.committed_tcb),
            (488, &[build, minor, major]),
            (491, &[0]),
            (492, &[committed_build, committed_minor, committed_major]),
            (495, &[0]),
            (496, &self.launch_tcb),
            (504, &launch.to_le_bytes()),
            (512, &current.to_le_bytes()),
            (520, &[0; 152]),
            (SIGNED_LEN, &[]),
        ];
        let mut out = Vec::with_capacity(LEN);
        for (offset, part) in parts {
            out.resize(offset, 0);
            out.extend_from_slice(part);
        }
        out
    }
}

/// The length of a report.
pub(crate) const LEN: usize = 1184;
const SIGNED_LEN: usize = 672;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_part_has_its_length_whatever_it_says() {
        for product in Product::ALL {
            assert_eq!(ReportFields::new(product, product.tcb()).signed_part().len(), SIGNED_LEN);
        }
    }
}
