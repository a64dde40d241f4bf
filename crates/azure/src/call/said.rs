//! Error bodies, in the several forms that Azure's services write them.

use serde::Deserialize;

/// What an error body says, in whichever of Azure's forms it is written.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) inner: Option<String>,
    pub(super) message: Option<String>,
}

impl Said {
    pub(super) fn parse(body: &[u8]) -> Self {
        let body = body.get(..BODY).unwrap_or(body);
        if let Ok(raw) = serde_json::from_slice::<RawBody>(body) {
            return raw.into();
        }
        match std::str::from_utf8(body) {
            Ok(text) if text.contains("<Error>") => {
                Self { code: element(text, "Code"), inner: None, message: element(text, "Message") }
            }
            Ok(text) => Self { message: Some(text.to_owned()), ..Self::default() },
            Err(_) => Self::default(),
        }
    }
}

/// `{"error":{…}}` of ARM, Key Vault and MAA; `{"errors":[…]}` of a registry (OCI distribution 1.1, "Error Codes");
/// `{"error":"…","error_description":"…"}` of Entra and IMDS (RFC 6749 section 5.2); a bare `{"code","message"}` of ARM's
/// older providers.
#[derive(Deserialize)]
struct RawBody {
    #[serde(alias = "Error")]
    error: Option<serde_json::Value>,
    #[serde(default)]
    errors: Vec<RawError>,
    error_description: Option<String>,
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawError {
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(alias = "innerError")]
    innererror: Option<RawInner>,
    #[serde(default)]
    details: Vec<RawDetail>,
}

#[derive(Deserialize)]
struct RawInner {
    code: Option<String>,
}

#[derive(Deserialize)]
struct RawDetail {
    code: Option<String>,
    message: Option<String>,
}

impl From<RawBody> for Said {
    fn from(raw: RawBody) -> Self {
        match raw.error {
            Some(serde_json::Value::String(code)) => {
                Self { code: Some(code), inner: None, message: raw.error_description }
            }
            Some(object) => serde_json::from_value::<RawError>(object).unwrap_or_default().into(),
            None => match raw.errors.into_iter().next() {
                Some(first) => first.into(),
                None => Self { code: raw.code, inner: None, message: raw.message },
            },
        }
    }
}

impl From<RawError> for Said {
    fn from(raw: RawError) -> Self {
        let mut message = raw.message.unwrap_or_default();
        for detail in raw.details.into_iter().take(3) {
            for part in [detail.code, detail.message].into_iter().flatten() {
                message.push_str("; ");
                message.push_str(&part);
            }
        }
        Self {
            // The outer pair is often repeated inside (MAA does); once is enough.
            inner: raw
                .innererror
                .and_then(|inner| inner.code)
                .filter(|inner| raw.code.as_ref() != Some(inner)),
            code: raw.code,
            message: Some(message),
        }
    }
}

/// The text of the first element of that name; storage's error documents have no nesting worth a parser.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.to_owned())
}

const BODY: usize = 64 << 10;
