//! The generations of processors whose reports we know how to read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A generation of AMD EPYC processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// Family 19h, models 00h to 0Fh.
    Milan,
    /// Family 19h, models 10h to 1Fh and A0h to AFh (Bergamo and Siena carry Genoa's certificates).
    Genoa,
    /// Family 1Ah, models 00h to 11h.
    Turin,
}

/// A name that is none of [`Product::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected milan, genoa or turin")]
pub struct UnknownProduct;

impl Product {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name as AMD's certificates spell it: in `ARK-Milan`, `SEV-Milan` and, perhaps with a stepping, the VEK's
    /// product extension.
    #[must_use]
    pub const fn amd_name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product of a family and a model as a report of version 3 or later states them
    /// (AMD 56860 revision 1.58, table 23; family and model are the combined values of CPUID Fn0000_0001).
    #[must_use]
    pub const fn of_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// The product of a VEK's product extension, such as `Milan-B0` or `Turin`.
    #[must_use]
    pub fn of_amd_name(text: &str) -> Option<Self> {
        let name = text.split_once('-').map_or(text, |(name, _stepping)| name);
        Self::ALL.into_iter().find(|product| product.amd_name() == name)
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milan => "milan",
            Self::Genoa => "genoa",
            Self::Turin => "turin",
        })
    }
}

impl FromStr for Product {
    type Err = UnknownProduct;

    fn from_str(text: &str) -> Result<Self, UnknownProduct> {
        Self::ALL.into_iter().find(|product| product.to_string() == text).ok_or(UnknownProduct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for product in Product::ALL {
            assert_eq!(product.to_string().parse(), Ok(product));
            assert_eq!(serde_json::to_string(&product).unwrap(), format!("\"{product}\""));
            assert_eq!(Product::of_amd_name(product.amd_name()), Some(product));
        }
        assert_eq!(Product::of_amd_name("Milan-B0"), Some(Product::Milan));
        assert_eq!(Product::of_amd_name("Venice"), None);
        assert_eq!(Product::of_amd_name("Milano"), None);
        assert_eq!("Milan".parse::<Product>(), Err(UnknownProduct));
    }
}
