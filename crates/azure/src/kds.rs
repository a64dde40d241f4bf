//! AMD's key distribution service: the products' roots, and their revocation lists.
//!
//! `GET https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/crl`, a CRL in DER, and `…/cert_chain`, the certificates of
//! authority and root in PEM (AMD 57230, "VCEK certificate and KDS interface specification", chapter 4). A list proves nothing before its signature has been checked under the root, so the
//! service is not trusted; whoever keeps it from us keeps us without a list, which the manifest's `crl` decides about.

use std::time::Duration;

use azure_core::http::Method;
use evidence::Product;
use tokio::time::timeout;
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
    /// No answer in time.
    #[error("no answer of amd's key distribution service within {} seconds", PATIENCE.as_secs())]
    Late,
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

/// The certificates of a product's authority and root, as PEM, not verified. Asks once; they never change.
pub async fn certificates(endpoints: &Endpoints, product: Product) -> Result<String, KdsError> {
    let call = Call::new("get certificates of amd", place(&KDS));
    let bytes = get(endpoints, &call, product, "cert_chain", "*/*").await?;
    String::from_utf8(bytes)
        .map_err(|_| KdsError::Malformed(Malformed::new(&call, "certificates in PEM")))
}

/// The revocation list of a product's root, as DER, not yet verified. Asks once; the caller knows when to ask again.
pub async fn revocation_list(endpoints: &Endpoints, product: Product) -> Result<Vec<u8>, KdsError> {
    let call = Call::new("get revocation list", place(&KDS));
    let list = get(endpoints, &call, product, "crl", "application/pkix-crl, */*").await?;
    // DER of a SEQUENCE; an error page is none.
    if list.first() != Some(&0x30) {
        return Err(KdsError::Malformed(Malformed::new(&call, "a certificate revocation list")));
    }
    Ok(list)
}

async fn get(
    endpoints: &Endpoints,
    call: &Call,
    product: Product,
    what: &str,
    accept: &'static str,
) -> Result<Vec<u8>, KdsError> {
    let mut url = KDS.clone();
    url.set_path(&format!("/vcek/v1/{}/{what}", product.amd_name()));
    let asked = Asked::new(Method::Get, url).header("accept", accept);
    let wire = Wire::new(endpoints, Retries::None, None);
    let got = timeout(PATIENCE, wire.send(call, asked)).await.map_err(|_| KdsError::Late)??;
    if got.body.len() > LARGEST {
        return Err(KdsError::Malformed(Malformed::new(call, "an answer of at most 64 KiB")));
    }
    Ok(got.body.to_vec())
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
static KDS: std::sync::LazyLock<Url> =
    std::sync::LazyLock::new(|| Url::parse(ADDRESS).expect("an address"));
const ADDRESS: &str = "https://kdsintf.amd.com";
const PATIENCE: Duration = Duration::from_secs(10);
/// Real ones have less than 6 KB.
const LARGEST: usize = 64 << 10;
