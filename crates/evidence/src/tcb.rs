//! The security version of the platform, component by component.
//!
//! A TCB version is eight bytes whose meaning depends on the product, so a report keeps [`TcbBytes`] and a [`Tcb`] is
//! made only where the product is known. Versions are never compared as one number: a high microcode does not make up
//! for a low boot loader.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Product;

/// A TCB version as it stands in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcbBytes([u8; 8]);

/// A TCB version of a known product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Tcb {
    /// The firmware management controller, which only Turin has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// The boot loader of the security processor.
    pub bootloader: u8,
    /// The operating system of the security processor.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The lowest microcode of all cores.
    pub microcode: u8,
}

/// The least that is accepted of each component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcbFloor {
    /// As in [`Tcb`]; a product without the component does not meet a floor for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// As in [`Tcb`].
    pub bootloader: u8,
    /// As in [`Tcb`].
    pub tee: u8,
    /// As in [`Tcb`].
    pub snp: u8,
    /// As in [`Tcb`].
    pub microcode: u8,
}

/// A part of the TCB that has a version of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcbComponent {
    /// The firmware management controller.
    Fmc,
    /// The boot loader.
    Bootloader,
    /// The security processor's operating system.
    Tee,
    /// The SNP firmware.
    Snp,
    /// The microcode.
    Microcode,
}

/// A component that is older than required.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{component} {found} is below {floor}", found = found.map_or("absent".to_owned(), |found| found.to_string()))]
pub struct BelowFloor {
    /// The first component, in the order of [`TcbComponent`], that is too old.
    pub component: TcbComponent,
    /// What is required.
    pub floor: u8,
    /// What is there; nothing where the product has no such component.
    pub found: Option<u8>,
}

impl TcbBytes {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes in the order of the report.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The components (AMD 56860 revision 1.58, tables 3 and 4: TCB_VERSION of Milan and Genoa, and of Turin).
    #[must_use]
    pub const fn decode(self, product: Product) -> Tcb {
        let [b0, b1, b2, b3, _, _, b6, microcode] = self.0;
        match product {
            Product::Milan | Product::Genoa => {
                Tcb { fmc: None, bootloader: b0, tee: b1, snp: b6, microcode }
            }
            Product::Turin => Tcb { fmc: Some(b0), bootloader: b1, tee: b2, snp: b3, microcode },
        }
    }
}

/// As the platform-certificate service writes `tcbm`: the eight bytes as one little-endian number, in hex.
impl fmt::Display for TcbBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_le_bytes(self.0))
    }
}

impl Tcb {
    /// Shows that every component is at least as new as `floor` says.
    ///
    /// # Errors
    /// The first component that is older, or that the floor names and the product lacks.
    pub fn at_least(&self, floor: &TcbFloor) -> Result<(), BelowFloor> {
        let lacks = |component, floor: u8, found: Option<u8>| match found {
            Some(found) if found >= floor => Ok(()),
            _ => Err(BelowFloor { component, floor, found }),
        };
        if let Some(fmc) = floor.fmc {
            lacks(TcbComponent::Fmc, fmc, self.fmc)?;
        }
        lacks(TcbComponent::Bootloader, floor.bootloader, Some(self.bootloader))?;
        lacks(TcbComponent::Tee, floor.tee, Some(self.tee))?;
        lacks(TcbComponent::Snp, floor.snp, Some(self.snp))?;
        lacks(TcbComponent::Microcode, floor.microcode, Some(self.microcode))
    }
}

/// A floor that is exactly this version.
impl From<Tcb> for TcbFloor {
    fn from(Tcb { fmc, bootloader, tee, snp, microcode }: Tcb) -> Self {
        Self { fmc, bootloader, tee, snp, microcode }
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TcbFloor::from(*self).fmt(f)
    }
}

impl fmt::Display for TcbFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fmc) = self.fmc {
            write!(f, "fmc {fmc}, ")?;
        }
        write!(
            f,
            "bootloader {}, tee {}, snp {}, microcode {}",
            self.bootloader, self.tee, self.snp, self.microcode
        )
    }
}

impl fmt::Display for TcbComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fmc => "fmc",
            Self::Bootloader => "bootloader",
            Self::Tee => "tee",
            Self::Snp => "snp",
            Self::Microcode => "microcode",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_differ_by_product() {
        let milan = TcbBytes::new([4, 0, 0, 0, 0, 0, 0x18, 0xdb]);
        assert_eq!(milan.to_string(), "db18000000000004");
        assert_eq!(
            milan.decode(Product::Milan),
            Tcb { fmc: None, bootloader: 4, tee: 0, snp: 0x18, microcode: 0xdb }
        );
        assert_eq!(
            TcbBytes::new([1, 1, 1, 4, 0, 0, 0, 0x51]).decode(Product::Turin),
            Tcb { fmc: Some(1), bootloader: 1, tee: 1, snp: 4, microcode: 0x51 }
        );
    }

    #[test]
    fn each_component_counts_alone() {
        let tcb = Tcb { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 5 };
        let floor = TcbFloor::from(tcb);
        assert_eq!(tcb.at_least(&floor), Ok(()));
        let cases = [
            (TcbComponent::Fmc, TcbFloor { fmc: Some(2), ..floor }),
            (TcbComponent::Bootloader, TcbFloor { bootloader: 3, ..floor }),
            (TcbComponent::Tee, TcbFloor { tee: 4, ..floor }),
            (TcbComponent::Snp, TcbFloor { snp: 5, ..floor }),
            (TcbComponent::Microcode, TcbFloor { microcode: 6, ..floor }),
        ];
        for (component, floor) in cases {
            assert_eq!(tcb.at_least(&floor).unwrap_err().component, component);
        }
        let milan = Tcb { fmc: None, ..tcb };
        let refused = milan.at_least(&TcbFloor { fmc: Some(0), ..floor }).unwrap_err();
        assert_eq!(refused.to_string(), "fmc absent is below 0");
    }

    #[test]
    fn a_floor_refuses_unknown_fields() {
        let good = r#"{"bootloader":4,"tee":0,"snp":24,"microcode":219}"#;
        assert_eq!(serde_json::from_str::<TcbFloor>(good).unwrap().microcode, 219);
        assert!(serde_json::from_str::<TcbFloor>(&good.replace("tee", "tea")).is_err());
    }
}
