//! What an endorsement says, in either form.

use ciborium::Value;
use coset::{Header, Label, RegisteredLabel};
use jiff::Timestamp;
use serde::Deserialize;

use super::{CWT_CLAIMS, EndorsementForm, PREIMAGE_CONTENT_TYPE, fault, header_value, shown};
use crate::Measurement;
use crate::certificate::Fault;

/// What an endorsement says.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) issuer: String,
    pub(crate) feed: String,
    pub(crate) time: Timestamp,
    pub(crate) svn: u64,
    pub(crate) measurement: Measurement,
}

/// The payload of the JSON form. Later versions may say more.
#[derive(Deserialize)]
struct RawPayload {
    #[serde(rename = "x-ms-sevsnpvm-guestsvn")]
    svn_text: Option<serde_json::Value>,
    #[serde(rename = "x-ms-sevsnpvm-guestsvn-int")]
    svn: Option<u64>,
    #[serde(rename = "x-ms-sevsnpvm-launchmeasurement")]
    measurement: String,
}

/// Which form a message has.
pub(super) fn form(header: &Header) -> Result<EndorsementForm, Fault> {
    let json = header.content_type == Some(RegisteredLabel::Text("application/json".to_owned()));
    let envelope = match header_value(header, &Label::Int(PREIMAGE_CONTENT_TYPE)) {
        Some(Value::Text(text)) => text == "application/octet-stream",
        _ => false,
    };
    match (json, envelope) {
        (true, false) => Ok(EndorsementForm::Json),
        (false, true) => Ok(EndorsementForm::Transparent),
        (true, true) => fault("one of the two forms", "both"),
        (false, false) => fault("json, or a hash envelope of octets", "another content type"),
    }
}

/// What it says.
pub(super) fn read(
    form: EndorsementForm,
    header: &Header,
    payload: &[u8],
) -> Result<Claims, Fault> {
    match form {
        EndorsementForm::Json => json_claims(header, payload),
        EndorsementForm::Transparent => transparent_claims(header, payload),
    }
}

fn json_claims(header: &Header, payload: &[u8]) -> Result<Claims, Fault> {
    let get = |name: &str| header_value(header, &Label::Text(name.to_owned()));
    let RawPayload { svn_text, svn, measurement } = serde_json::from_slice(payload)
        .or_else(|_| fault("a json payload with svn and measurement", "another"))?;
    let from_text = match svn_text {
        None => None,
        Some(serde_json::Value::String(text)) => match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => Some(number),
            _ => return fault("a decimal svn", shown(&text)),
        },
        Some(number) => match number.as_u64() {
            Some(number) => Some(number),
            None => return fault("a decimal svn", "another type"),
        },
    };
    let svn = match (svn, from_text) {
        (Some(svn), None) | (None, Some(svn)) => svn,
        (Some(svn), Some(other)) if svn == other => svn,
        (Some(svn), Some(other)) => return fault("one svn", format!("{svn} and {other}")),
        (None, None) => return fault("an svn", "none"),
    };
    Ok(Claims {
        issuer: text(get("iss"), "iss")?,
        feed: text(get("feed"), "feed")?,
        time: time(get("signingtime"))?,
        svn,
        measurement: measurement.parse().or_else(|wrong| fault("a measurement", wrong))?,
    })
}

fn transparent_claims(header: &Header, payload: &[u8]) -> Result<Claims, Fault> {
    let Some(Value::Map(claims)) = header_value(header, &Label::Int(CWT_CLAIMS)) else {
        return fault("cwt claims", "none");
    };
    let get = |key: Value| -> Result<Option<&Value>, Fault> {
        let mut found = claims.iter().filter(|(name, _)| *name == key).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => fault("each cwt claim once", "one twice"),
            (found, None) => Ok(found),
        }
    };
    let svn = match get(Value::Text("svn".to_owned()))? {
        Some(Value::Integer(svn)) => {
            u64::try_from(*svn).or_else(|_| fault("an svn", "a negative number"))?
        }
        _ => return fault("an svn", "none"),
    };
    let Ok(measurement) = <[u8; Measurement::LEN]>::try_from(payload) else {
        return fault("a payload of 48 bytes", payload.len());
    };
    Ok(Claims {
        issuer: text(get(1.into())?, "cwt issuer")?,
        feed: text(get(2.into())?, "cwt subject")?,
        time: time(get(6.into())?)?,
        svn,
        measurement: Measurement::new(measurement),
    })
}

fn text(value: Option<&Value>, name: &str) -> Result<String, Fault> {
    match value {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => fault(&format!("the text {name}"), "none"),
    }
}

/// A time as any signer has written it: an epoch, tagged (1) or not, or a date, tagged (0) or not.
fn time(value: Option<&Value>) -> Result<Timestamp, Fault> {
    let bare = match value {
        Some(Value::Tag(0, inner)) if inner.is_text() => Some(inner.as_ref()),
        Some(Value::Tag(1, inner)) if inner.is_integer() => Some(inner.as_ref()),
        other => other,
    };
    let time = match bare {
        Some(Value::Integer(epoch)) => {
            i64::try_from(*epoch).ok().and_then(|epoch| Timestamp::from_second(epoch).ok())
        }
        Some(Value::Text(date)) => date.parse().ok(),
        _ => None,
    };
    time.map_or_else(|| fault("a signing time", "none"), Ok)
}
