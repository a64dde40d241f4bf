//! The roots that evidence must lead to, named by the SHA-256 of their certificates.
//!
//! The certificates themselves travel with the evidence, so a digest is all that is compiled in.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Sha256;

/// The pinned roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    amd_roots: BTreeSet<Sha256>,
    uvm_root: Sha256,
}

impl Anchors {
    /// The roots of AMD and of Microsoft.
    #[must_use]
    pub fn amd() -> Self {
        Self {
            amd_roots: [ARK_MILAN, ARK_GENOA, ARK_TURIN].into(),
            uvm_root: MICROSOFT_SUPPLY_CHAIN_ROOT,
        }
    }

    /// Other roots, whose holders can forge any evidence.
    #[must_use]
    pub fn insecure(amd_roots: impl IntoIterator<Item = Sha256>, uvm_root: Sha256) -> Self {
        Self { amd_roots: amd_roots.into_iter().collect(), uvm_root }
    }

    /// The accepted AMD root keys. Which product a root is for stands in the root's own name.
    #[must_use]
    pub fn amd_roots(&self) -> &BTreeSet<Sha256> {
        &self.amd_roots
    }

    /// The accepted root of utility-VM endorsements.
    #[must_use]
    pub fn uvm_root(&self) -> &Sha256 {
        &self.uvm_root
    }

    /// The issuer that an endorsement must name to come from this root with this key usage (did:x509 version 0).
    #[must_use]
    pub fn uvm_issuer(&self, eku: &str) -> String {
        format!("did:x509:0:sha256:{}::eku:{eku}", URL_SAFE_NO_PAD.encode(self.uvm_root.as_bytes()))
    }
}

/// ARK-Milan, serial 65536, valid 2020-10-22 to 2045-10-22: the second certificate of
/// <https://kdsintf.amd.com/vcek/v1/Milan/cert_chain>, SHA-256 of its DER
/// 69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd.
const ARK_MILAN: Sha256 = Sha256::new([
    0x69, 0xd0, 0x63, 0xb4, 0x53, 0x44, 0xd2, 0x6a, 0x2e, 0x94, 0xe1, 0xf4, 0x21, 0x0d, 0xe4,
    0x9e, //
    0xf5, 0x55, 0x30, 0x82, 0x87, 0xd4, 0xc1, 0x74, 0x44, 0x5c, 0x95, 0x63, 0x9a, 0x54, 0x0b, 0xcd,
]);

/// ARK-Genoa, valid 2022-01-26 to 2047-01-26: the second certificate of
/// <https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain>, SHA-256 of its DER
/// 4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1.
const ARK_GENOA: Sha256 = Sha256::new([
    0x4c, 0x65, 0x98, 0xd1, 0x9c, 0x18, 0x71, 0x9c, 0x5d, 0xfd, 0x4a, 0x7d, 0x33, 0x5f, 0x67,
    0x4e, //
    0x5b, 0xfe, 0x1d, 0x8f, 0x80, 0x0c, 0xea, 0x2c, 0xf2, 0x70, 0xc1, 0x0d, 0x10, 0x3d, 0xb2, 0xf1,
]);

/// ARK-Turin, serial 196608, valid 2023-05-15 to 2048-05-15: the second certificate of
/// <https://kdsintf.amd.com/vcek/v1/Turin/cert_chain>, SHA-256 of its DER
/// 1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a.
const ARK_TURIN: Sha256 = Sha256::new([
    0x1f, 0x08, 0x41, 0x61, 0xa4, 0x4b, 0xb6, 0xd9, 0x37, 0x78, 0xa9, 0x04, 0x87, 0x7d, 0x48,
    0x19, //
    0xca, 0xfa, 0x5d, 0x05, 0xef, 0x41, 0x93, 0xb2, 0xde, 0xd9, 0xdd, 0x9c, 0x73, 0xdd, 0x3f, 0x6a,
]);

/// Microsoft Supply Chain RSA Root CA 2022, valid 2022-02-17 to 2047-02-17: the last certificate of every endorsement
/// of Azure's utility VMs, named by their issuer `did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s`;
/// SHA-256 of its DER 23ffe2b8bdb9a1711515d4cffda04bc7f793d513c76c243f1020507d8669b7db.
const MICROSOFT_SUPPLY_CHAIN_ROOT: Sha256 = Sha256::new([
    0x23, 0xff, 0xe2, 0xb8, 0xbd, 0xb9, 0xa1, 0x71, 0x15, 0x15, 0xd4, 0xcf, 0xfd, 0xa0, 0x4b,
    0xc7, //
    0xf7, 0x93, 0xd5, 0x13, 0xc7, 0x6c, 0x24, 0x3f, 0x10, 0x20, 0x50, 0x7d, 0x86, 0x69, 0xb7, 0xdb,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_one_that_endorsements_name() {
        assert_eq!(
            Anchors::amd().uvm_issuer("1.3.6.1.4.1.311.76.59.1.2"),
            "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2"
        );
    }
}
