//! AMD's key distribution service: the revocation lists of the products' roots.
//!
//! `GET https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/crl`, a CRL in DER (AMD 57230, "VCEK certificate and KDS interface
//! specification", chapter on the CRL). A list proves nothing before its signature has been checked under the root, so the
//! service is not trusted; whoever keeps it from us keeps us without a list, which the manifest's `crl` decides about.

use azure_core::http::Method;
use evidence::Product;
use url::Url;

use crate::call::{Answer, Call, Fault, Malformed, Unavailable};
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Wire, place};

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KdsError {
    /// AMD refused, as it does when asked too often.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer.
    #[error("amd's key distribution service is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl KdsError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        "permit connections to kdsintf.amd.com, or wait"
    }
}

impl From<Fault> for KdsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => Self::Rejected(answer),
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}

/// The revocation list of a product's root, as DER, not yet verified. Asks once; the caller knows when to ask again.
pub async fn revocation_list(endpoints: &Endpoints, product: Product) -> Result<Vec<u8>, KdsError> {
    let name = match product {
        Product::Milan => "Milan",
        Product::Genoa => "Genoa",
        Product::Turin => "Turin",
    };
    let mut url = KDS.clone();
    url.set_path(&format!("/vcek/v1/{name}/crl"));
    let call = Call::new("get revocation list", place(&url));
    let asked = Asked::new(Method::Get, url).header("accept", "application/pkix-crl, */*");
    let got = Wire::new(endpoints, Retries::None, None).send(&call, asked).await?;
    let list = got.body.to_vec();
    // DER of a SEQUENCE; an error page is none.
    if list.first() != Some(&0x30) || list.len() > LARGEST {
        return Err(KdsError::Malformed(Malformed::new(&call, "a certificate revocation list")));
    }
    Ok(list)
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
static KDS: std::sync::LazyLock<Url> =
    std::sync::LazyLock::new(|| Url::parse(ADDRESS).expect("an address"));
const ADDRESS: &str = "https://kdsintf.amd.com";
/// Real ones have less than 2 KB.
const LARGEST: usize = 64 << 10;
