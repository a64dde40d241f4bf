//! The versioned endorsement key: AMD's certificate of the key that signed a report.
//!
//! Wire layout: the extensions of AMD 57230, "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface
//! Specification", revision 1.00, tables 8 and 10, under 1.3.6.1.4.1.3704.1: product name (2), TCB (3.1 to 3.9, DER
//! INTEGERs), chip id (4, which is bare in most certificates and an OCTET STRING in some), and, only in a VLEK, the
//! cloud provider (5).
//! Everything is read strictly: an extension that is missing, doubled or of another form is refused.

use x509_parser::oid_registry::Oid;
use x509_parser::oid_registry::asn1_rs::oid;

use crate::certificate::{Certificate, Fault};
use crate::{ChipId, Product, SigningKey, TcbBytes};

/// A VEK's certificate, with what AMD says in it.
pub(crate) struct Vek<'a> {
    pub(crate) certificate: Certificate<'a>,
    pub(crate) kind: VekKind,
    pub(crate) product: Product,
    /// The TCB version in the layout of the product's reports.
    pub(crate) tcb: TcbBytes,
    /// The chip, in the layout of the product's reports.
    pub(crate) chip: Option<ChipId>,
}

/// The two kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VekKind {
    Vcek,
    Vlek,
}

impl<'a> Vek<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Fault> {
        let certificate = Certificate::parse(der)?;
        let kind = match certificate.common_name() {
            Some("SEV-VCEK") => VekKind::Vcek,
            Some("SEV-VLEK") => VekKind::Vlek,
            other => {
                return Err((
                    "SEV-VCEK or SEV-VLEK as the first certificate".to_owned(),
                    other.unwrap_or("another name").to_owned(),
                ));
            }
        };
        let product = product(&certificate)?;
        let tcb = tcb(&certificate, product)?;
        let chip = match kind {
            VekKind::Vcek => {
                absent(&certificate, &CSP, "a cloud provider in the certificate of a chip's key")?;
                Some(chip(&certificate, product)?)
            }
            VekKind::Vlek => {
                absent(&certificate, &HWID, "a chip in the certificate of a provider's key")?;
                provider(&certificate)?;
                None
            }
        };
        Ok(Self { certificate, kind, product, tcb, chip })
    }
}

impl VekKind {
    /// The common name of the authority that signs this kind for a product.
    pub(crate) fn authority(self, product: Product) -> String {
        match self {
            Self::Vcek => format!("SEV-{}", product.amd_name()),
            Self::Vlek => format!("SEV-VLEK-{}", product.amd_name()),
        }
    }

    /// The key that a report signed with this kind must name.
    pub(crate) fn signing_key(self) -> SigningKey {
        match self {
            Self::Vcek => SigningKey::Vcek,
            Self::Vlek => SigningKey::Vlek,
        }
    }
}

fn product(certificate: &Certificate<'_>) -> Result<Product, Fault> {
    let expected = || "the name of a known product in the key's certificate".to_owned();
    let value = value(certificate, &PRODUCT)?;
    let [IA5_STRING, length, text @ ..] = value else {
        return Err((expected(), "another type".to_owned()));
    };
    if usize::from(*length) != text.len() {
        return Err((expected(), "another length".to_owned()));
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(Product::of_amd_name)
        .ok_or_else(|| (expected(), text.escape_ascii().take(40).map(char::from).collect()))
}

fn tcb(certificate: &Certificate<'_>, product: Product) -> Result<TcbBytes, Fault> {
    let places = match product {
        Product::Milan | Product::Genoa => {
            [&SPL_1, &SPL_2, &SPL_4, &SPL_5, &SPL_6, &SPL_7, &SPL_3, &SPL_8]
        }
        Product::Turin => [&SPL_9, &SPL_1, &SPL_2, &SPL_3, &SPL_5, &SPL_6, &SPL_7, &SPL_8],
    };
    let mut bytes = [0; 8];
    for (byte, oid) in bytes.iter_mut().zip(places) {
        *byte = match value(certificate, oid)? {
            [INTEGER, 1, small @ ..=0x7f] => *small,
            [INTEGER, 2, 0, large @ 0x80..=0xff] => *large,
            _ => {
                return Err((
                    format!("an integer of one byte in {oid}"),
                    "something else".to_owned(),
                ));
            }
        };
    }
    Ok(TcbBytes::new(bytes))
}

fn chip(certificate: &Certificate<'_>, product: Product) -> Result<ChipId, Fault> {
    let len = match product {
        Product::Milan | Product::Genoa => 64,
        Product::Turin => 8,
    };
    let id = match value(certificate, &HWID)? {
        [OCTET_STRING, length, id @ ..] if usize::from(*length) == len && id.len() == len => id,
        id if id.len() == len => id,
        other => {
            return Err((format!("a chip id of {len} bytes"), format!("{} bytes", other.len())));
        }
    };
    let mut bytes = [0; 64];
    bytes.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    Ok(ChipId::new(bytes))
}

/// The name of the cloud provider that holds a VLEK.
fn provider(certificate: &Certificate<'_>) -> Result<(), Fault> {
    match value(certificate, &CSP)? {
        [IA5_STRING, length, text @ ..]
            if usize::from(*length) == text.len() && !text.is_empty() && text.is_ascii() =>
        {
            Ok(())
        }
        _ => Err(("the name of a cloud provider".to_owned(), "something else".to_owned())),
    }
}

fn absent(certificate: &Certificate<'_>, oid: &Oid<'_>, what: &str) -> Result<(), Fault> {
    match certificate.has_extension(oid) {
        false => Ok(()),
        true => Err(("none of the other kind's extensions".to_owned(), what.to_owned())),
    }
}

fn value<'c>(certificate: &'c Certificate<'_>, oid: &Oid<'_>) -> Result<&'c [u8], Fault> {
    certificate.extension(oid).ok_or_else(|| {
        (format!("one extension {oid} in the key's certificate"), "none or several".to_owned())
    })
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const IA5_STRING: u8 = 0x16;

const PRODUCT: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.2);
const SPL_1: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.1);
const SPL_2: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.2);
const SPL_3: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.3);
const SPL_4: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.4);
const SPL_5: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.5);
const SPL_6: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.6);
const SPL_7: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.7);
const SPL_8: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.8);
const SPL_9: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.9);
const HWID: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.4);
const CSP: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.5);
