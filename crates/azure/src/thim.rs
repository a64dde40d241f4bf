//! THIM, the host's cache of AMD certificates: the chain for the processor that we run on.
//!
//! `GET /metadata/THIM/amd/certification` with `Metadata: true`. The answer proves nothing before it is verified as part
//! of the evidence.

use azure_core::http::Method;

use crate::call::{Answer, Call, Fault, Malformed, Unavailable};
use crate::endpoints::{Endpoints, Retries};
use crate::wire::{Asked, Wire, place};

/// Why the host's certificates could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThimError {
    /// The host refused.
    #[error("rejected")]
    Rejected(#[source] Answer),
    /// The answer was not understood.
    #[error("the answer was not understood")]
    Malformed(#[source] Malformed),
    /// No answer: this is not an Azure host.
    #[error("the host's certificate cache is unavailable")]
    Unavailable(#[source] Unavailable),
}

impl ThimError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        "run on an Azure host with SEV-SNP"
    }
}

impl From<Fault> for ThimError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answered(answer) => Self::Rejected(answer),
            Fault::Unavailable(cause) => Self::Unavailable(cause),
            Fault::Malformed(cause) => Self::Malformed(cause),
        }
    }
}

/// The processor's certificates as PEM: VCEK, then AMD's chain.
pub async fn certificates(endpoints: &Endpoints) -> Result<String, ThimError> {
    let mut url = endpoints.imds().clone();
    url.set_path("/metadata/THIM/amd/certification");
    let call = Call::new("get certificates", place(&url));
    let asked = Asked::new(Method::Get, url).header("metadata", "true");
    let got = Wire::new(endpoints, Retries::Patient, None).send(&call, asked).await?;
    evidence::certificates_from_thim(&got.body)
        .map_err(|_| ThimError::Malformed(Malformed::new(&call, "vcekCert and certificateChain")))
}
