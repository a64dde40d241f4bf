//! The processors that we forge, and their TCB versions.

use std::fmt;
use std::str::FromStr;

/// A generation of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// Family 19h, model 01h.
    Milan,
    /// Family 19h, model 11h.
    Genoa,
    /// Family 1Ah, model 02h.
    Turin,
}

/// A TCB version by component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the components have the names of AMD's manual")]
pub struct Tcb {
    /// Only Turin has one.
    pub fmc: Option<u8>,
    pub bootloader: u8,
    pub tee: u8,
    pub snp: u8,
    pub microcode: u8,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name in AMD's certificates.
    #[must_use]
    pub const fn amd_name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The value of a VEK's product extension, as real ones have it.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Milan => "Milan-B0",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Family and model.
    #[must_use]
    pub const fn cpuid(self) -> (u8, u8) {
        match self {
            Self::Milan => (0x19, 0x01),
            Self::Genoa => (0x19, 0x11),
            Self::Turin => (0x1a, 0x02),
        }
    }

    /// A TCB version that real machines of Azure had in 2026.
    #[must_use]
    pub const fn tcb(self) -> Tcb {
        match self {
            Self::Milan => Tcb { fmc: None, bootloader: 4, tee: 0, snp: 0x18, microcode: 0xdb },
            Self::Genoa => Tcb { fmc: None, bootloader: 10, tee: 0, snp: 0x17, microcode: 0x54 },
            Self::Turin => Tcb { fmc: Some(1), bootloader: 1, tee: 1, snp: 4, microcode: 0x51 },
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.amd_name().to_lowercase())
    }
}

impl FromStr for Product {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|product| product.to_string() == text);
        found.ok_or_else(|| format!("expected milan, genoa or turin, found {text}"))
    }
}

impl Tcb {
    /// The eight bytes of a report.
    #[must_use]
    pub const fn bytes(self, product: Product) -> [u8; 8] {
        let Self { fmc, bootloader, tee, snp, microcode } = self;
        match (product, fmc) {
            (Product::Milan | Product::Genoa, _) => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
            (Product::Turin, Some(fmc)) => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
            (Product::Turin, None) => [0, bootloader, tee, snp, 0, 0, 0, microcode],
        }
    }
}
