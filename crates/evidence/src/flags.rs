//! The fields of a report that are sets of bits.

use std::fmt;

/// POLICY (AMD 56860, table 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

/// PLATFORM_INFO (AMD 56860, table 24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformInfo(pub u64);

/// The flags at offset 72.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFlags(pub u32);

/// The key that signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigningKey {
    /// Derived from a secret of this chip.
    Vcek,
    /// Loaded by a cloud provider, the same on many chips.
    Vlek,
    /// None: the report is not signed.
    None,
    /// A value without a meaning so far.
    Other(u8),
}

impl GuestPolicy {
    /// The least firmware ABI under which the guest may run: major, minor.
    #[must_use]
    pub const fn abi(self) -> (u8, u8) {
        let [minor, major, ..] = self.0.to_le_bytes();
        (major, minor)
    }

    /// Simultaneous multithreading is allowed.
    #[must_use]
    pub const fn allows_smt(self) -> bool {
        self.0 & 1 << 16 != 0
    }

    /// Bit 17, which is reserved and must be one.
    #[must_use]
    pub const fn has_reserved_one(self) -> bool {
        self.0 & 1 << 17 != 0
    }

    /// Association with a migration agent is allowed.
    #[must_use]
    pub const fn allows_migration(self) -> bool {
        self.0 & 1 << 18 != 0
    }

    /// Debugging is allowed, which lets the host read the guest's memory.
    #[must_use]
    pub const fn allows_debug(self) -> bool {
        self.0 & 1 << 19 != 0
    }

    /// The guest may be activated on one socket only.
    #[must_use]
    pub const fn requires_single_socket(self) -> bool {
        self.0 & 1 << 20 != 0
    }

    /// Devices and memory may be attached over CXL.
    #[must_use]
    pub const fn allows_cxl(self) -> bool {
        self.0 & 1 << 21 != 0
    }

    /// Memory must be encrypted with AES-256 in XTS mode.
    #[must_use]
    pub const fn requires_aes_256_xts(self) -> bool {
        self.0 & 1 << 22 != 0
    }

    /// The running-average-power-limit feature must be off.
    #[must_use]
    pub const fn requires_rapl_disabled(self) -> bool {
        self.0 & 1 << 23 != 0
    }

    /// Ciphertext hiding must be on for memory.
    #[must_use]
    pub const fn requires_ciphertext_hiding(self) -> bool {
        self.0 & 1 << 24 != 0
    }

    /// The host may not move or swap the guest's pages through the firmware.
    #[must_use]
    pub const fn disables_page_swap(self) -> bool {
        self.0 & 1 << 25 != 0
    }
}

impl PlatformInfo {
    /// Simultaneous multithreading is on.
    #[must_use]
    pub const fn smt_enabled(self) -> bool {
        self.0 & 1 != 0
    }

    /// Transparent encryption of all memory (TSME) is on.
    #[must_use]
    pub const fn tsme_enabled(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// Memory has error correction.
    #[must_use]
    pub const fn ecc_enabled(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// The running-average-power-limit feature is off.
    #[must_use]
    pub const fn rapl_disabled(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// Ciphertext hiding is on for memory.
    #[must_use]
    pub const fn ciphertext_hiding(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// The check for aliased memory addresses has been completed since the last reset (AMD-SB-3015).
    #[must_use]
    pub const fn alias_check_complete(self) -> bool {
        self.0 & 1 << 5 != 0
    }
}

impl KeyFlags {
    /// The ID block was signed by an author key.
    #[must_use]
    pub const fn author_key(self) -> bool {
        self.0 & 1 != 0
    }

    /// The platform hides its chip id, and then does not sign with a VCEK.
    #[must_use]
    pub const fn mask_chip_key(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// The key that signed.
    #[must_use]
    pub const fn signing_key(self) -> SigningKey {
        let [low, ..] = self.0.to_le_bytes();
        match low >> 2 & 7 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            7 => SigningKey::None,
            other => SigningKey::Other(other),
        }
    }
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcek => f.write_str("vcek"),
            Self::Vlek => f.write_str("vlek"),
            Self::None => f.write_str("none"),
            Self::Other(other) => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_their_bits() {
        assert_eq!(KeyFlags(0).signing_key(), SigningKey::Vcek);
        assert_eq!(KeyFlags(1 << 2).signing_key(), SigningKey::Vlek);
        assert_eq!(KeyFlags(7 << 2).signing_key(), SigningKey::None);
        assert_eq!(KeyFlags(3 << 2).signing_key(), SigningKey::Other(3));
        assert!(KeyFlags(2).mask_chip_key() && !KeyFlags(2).author_key());
        let guest = |bits| {
            let policy = GuestPolicy(bits);
            [
                policy.requires_single_socket(),
                policy.allows_cxl(),
                policy.requires_aes_256_xts(),
                policy.requires_rapl_disabled(),
                policy.requires_ciphertext_hiding(),
                policy.disables_page_swap(),
            ]
        };
        let platform = |bits| {
            let info = PlatformInfo(bits);
            [
                info.smt_enabled(),
                info.tsme_enabled(),
                info.ecc_enabled(),
                info.rapl_disabled(),
                info.ciphertext_hiding(),
                info.alias_check_complete(),
            ]
        };
        for bit in 0..6 {
            let only = std::array::from_fn(|at| at == bit);
            assert_eq!((guest(1 << (20 + bit)), platform(1 << bit)), (only, only));
        }
        let policy = GuestPolicy(0x3_001f);
        assert_eq!(policy.abi(), (0, 31));
        assert!(policy.allows_smt() && policy.has_reserved_one());
        assert!(
            !policy.allows_migration()
                && !policy.allows_debug()
                && !policy.requires_single_socket()
        );
    }
}
