//! Answers: JSON that is wiped when it has been sent, and Vault's envelope around it.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use zeroize::Zeroizing;

use super::refusal::Refusal;
use crate::audit::RequestId;

/// As the wire takes it.
pub(super) type Response = warp::reply::Response;

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// No content.
    pub(crate) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Zeroizing::default() }
    }

    /// A document as it is.
    pub(crate) fn json(status: StatusCode, content: &impl Serialize) -> Result<Self, Refusal> {
        let unwritable = |_| Refusal::unavailable("the answer cannot be written");
        // Measured first, so that growing leaves no copy of a secret behind.
        let mut length = Length(0);
        serde_json::to_writer(&mut length, content).map_err(unwritable)?;
        let mut body = Zeroizing::new(Vec::with_capacity(length.0));
        serde_json::to_writer(&mut *body, content).map_err(unwritable)?;
        Ok(Self { status, body })
    }

    /// Data in Vault's envelope.
    pub(crate) fn data(id: RequestId, data: &impl Serialize) -> Result<Self, Refusal> {
        Self::json(StatusCode::OK, &Envelope::<_, ()>::new(id, Some(data), None))
    }

    /// The answer to a login in Vault's envelope.
    pub(crate) fn auth(id: RequestId, auth: &impl Serialize) -> Result<Self, Refusal> {
        Self::json(StatusCode::OK, &Envelope::<(), _>::new(id, None, Some(auth)))
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// For the wire; `kept` is dropped when the answer has been sent.
    pub(super) fn into_response(self, kept: impl Send + 'static) -> Response {
        let body = Body { bytes: self.body, _kept: kept };
        let mut response = Response::new(Bytes::from_owner(body).into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What hyper could parse and we cannot route at all.
pub(super) fn not_a_request() -> Response {
    bare(StatusCode::BAD_REQUEST, br#"{"errors":["malformed"]}"#)
}

/// A fault of ours.
pub(super) fn broken() -> Response {
    bare(StatusCode::INTERNAL_SERVER_ERROR, br#"{"errors":["unavailable"]}"#)
}

fn bare(status: StatusCode, body: &[u8]) -> Response {
    Reply { status, body: Zeroizing::new(body.to_vec()) }.into_response(())
}

struct Body<T> {
    bytes: Zeroizing<Vec<u8>>,
    _kept: T,
}

impl<T> AsRef<[u8]> for Body<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Serialize)]
struct Envelope<'a, D, A> {
    request_id: RequestId,
    lease_id: &'static str,
    renewable: bool,
    lease_duration: u64,
    data: Option<&'a D>,
    wrap_info: Option<()>,
    warnings: Option<()>,
    auth: Option<&'a A>,
}

impl<'a, D, A> Envelope<'a, D, A> {
    const fn new(request_id: RequestId, data: Option<&'a D>, auth: Option<&'a A>) -> Self {
        Self {
            request_id,
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data,
            wrap_info: None,
            warnings: None,
            auth,
        }
    }
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
