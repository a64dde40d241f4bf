//! Requests and responses as the services see them: buffered, bounded, with the error bodies of the real services.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One request, its body read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Host, lower case, without port.
    pub host: String,
    /// Path as sent (percent-encoded), beginning with `/`.
    pub path: String,
    /// Query parameters, decoded.
    pub query: Query,
    /// The query as sent, without `?`.
    pub raw_query: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, at most [`MAX_BODY`] bytes.
    pub body: Bytes,
    /// Id of this request, sent back as `x-ms-request-id`.
    pub id: uuid::Uuid,
}

/// Largest body that is accepted; image layers are the largest we meet.
pub const MAX_BODY: usize = 512 << 20;

impl Request {
    /// Percent-decoded segments of the path; empty ones are kept, save a first one (`/a//b/` is `["a", "", "b", ""]`).
    pub fn segments(&self) -> Vec<String> {
        self.path.trim_start_matches('/').split('/').map(percent_decode).collect()
    }

    /// A header as text; `None` if absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON of type `T`.
    ///
    /// # Errors
    /// The parser's message, for the service's own error body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Query parameters in the order sent. Names are compared without case, as Azure does.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string (also a form body).
    pub fn parse(raw: &str) -> Self {
        Self(url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// First value of a parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// One response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Header fields; boxed, so that a response is small enough to be an error.
    pub headers: Box<HeaderMap>,
    /// Body.
    pub body: Bytes,
    /// What was done, for the counters (`keyvault.keys.release`).
    pub operation: Option<&'static str>,
}

impl Response {
    /// Status only.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Box::default(), body: Bytes::new(), operation: None }
    }

    /// A JSON body with `application/json; charset=utf-8`.
    pub fn json(status: StatusCode, body: &Value) -> Self {
        let mut response = Self::empty(status);
        response.body = Bytes::from(body.to_string());
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        response
    }

    /// Bytes of a media type.
    pub fn bytes(status: StatusCode, media_type: &str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::empty(status).with(CONTENT_TYPE.as_str(), media_type);
        response.body = body.into();
        response
    }

    /// Adds or replaces a header; a value that cannot be one is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Names the operation for the counters.
    #[must_use]
    pub fn operation(mut self, name: &'static str) -> Self {
        self.operation = Some(name);
        self
    }

    /// `{"error":{"code","message"}}`: resource management (azure.md F.1) and, without inner error, Key Vault.
    pub fn arm_error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": {"code": code, "message": message}}))
    }
}

fn percent_decode(segment: &str) -> String {
    // A plus sign stands for itself in a path; the form decoder would make a space of it.
    let escaped = format!("x={}", segment.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_one_by_one() {
        let check = |path: &str, expected: &[&str]| {
            let request = Request {
                method: Method::GET,
                host: "h".into(),
                path: path.into(),
                query: Query::default(),
                raw_query: String::new(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                id: uuid::Uuid::nil(),
            };
            assert_eq!(request.segments(), expected);
        };
        check("/keys/a//release", &["keys", "a", "", "release"]);
        check("/a%2Fb/c+d&e=f", &["a/b", "c+d&e=f"]);
        check("/", &[""]);
    }
}
