//! Authorization with an account key ("Authorize with Shared Key" in the Storage reference, Blob service, versions from 2015-02-21).
//!
//! The string to sign is rebuilt from the request as received; a signature that differs is refused with that string, as the service does.
//! Shared Key Lite and the older canonicalizations are refused.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, HeaderName, Method, header};
use jiff::{SignedDuration, Timestamp};

use super::error::BlobError;
use super::times;
use crate::core::Query;

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub method: &'a Method,
    /// As sent, percent-encoded.
    pub path: &'a str,
    pub query: &'a Query,
    pub headers: &'a HeaderMap,
}

/// Check `SharedKey account:signature` against the account's keys.
///
/// 1. The credentials name this account.
/// 2. The date is within 15 minutes of now.
/// 3. The signature is by one of the keys over this request.
pub(super) fn verify(
    account: &str,
    keys: &[Vec<u8>],
    credentials: &str,
    signed: &Signed<'_>,
    now: Timestamp,
) -> Result<(), BlobError> {
    let Some((named, signature)) = credentials.split_once(':') else {
        return Err(refused(
            "The Authorization header is not of the form 'SharedKey account:signature'.",
        ));
    };
    if named != account {
        return Err(refused(&format!(
            "The account '{named}' in the Authorization header is not '{account}'."
        )));
    }
    check_date(signed.headers, now)?;
    let text = string_to_sign(account, signed);
    let signature = BASE64_STANDARD.decode(signature).unwrap_or_default();
    let genuine = keys.iter().any(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), &signature).is_ok()
    });
    if genuine {
        return Ok(());
    }
    Err(refused(&format!(
        "The MAC signature found in the HTTP request is not the same as any computed signature. Server used following string to sign: '{text}'."
    )))
}

/// The text that is signed, for tests and for the message on a mismatch.
pub(super) fn string_to_sign(account: &str, signed: &Signed<'_>) -> String {
    let headers = signed.headers;
    let value = |name: HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let length = match value(header::CONTENT_LENGTH) {
        "0" => "",
        other => other,
    };
    let date = if headers.contains_key("x-ms-date") { "" } else { value(header::DATE) };
    let fixed = [
        signed.method.as_str(),
        value(header::CONTENT_ENCODING),
        value(header::CONTENT_LANGUAGE),
        length,
        value(HeaderName::from_static("content-md5")),
        value(header::CONTENT_TYPE),
        date,
        value(header::IF_MODIFIED_SINCE),
        value(header::IF_MATCH),
        value(header::IF_NONE_MATCH),
        value(header::IF_UNMODIFIED_SINCE),
        value(header::RANGE),
    ];
    format!(
        "{}\n{}{}",
        fixed.join("\n"),
        canonical_headers(headers),
        canonical_resource(account, signed)
    )
}

fn canonical_headers(headers: &HeaderMap) -> String {
    let mut names: Vec<&str> =
        headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-ms-")).collect();
    names.sort_unstable();
    let mut out = String::new();
    for name in names {
        let values: Vec<&str> = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::trim)
            .collect();
        out.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    out
}

fn canonical_resource(account: &str, signed: &Signed<'_>) -> String {
    let mut pairs: Vec<(String, &str)> =
        signed.query.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    pairs.sort();
    let mut out = format!("/{account}{}", signed.path);
    let mut previous: Option<String> = None;
    for (name, value) in pairs {
        if previous.as_ref() == Some(&name) {
            out.push_str(&format!(",{value}"));
        } else {
            out.push_str(&format!("\n{name}:{value}"));
            previous = Some(name);
        }
    }
    out
}

fn check_date(headers: &HeaderMap, now: Timestamp) -> Result<(), BlobError> {
    let value = headers
        .get("x-ms-date")
        .or_else(|| headers.get(header::DATE))
        .and_then(|value| value.to_str().ok());
    let Some(date) = value.and_then(times::parse) else {
        return Err(refused("The Date header in the request is incorrect."));
    };
    if date.duration_since(now).abs() > SignedDuration::from_mins(15) {
        return Err(refused(&format!(
            "Request date header too old: '{}'. Server time: '{}'.",
            times::rfc1123(date),
            times::rfc1123(now)
        )));
    }
    Ok(())
}

fn refused(detail: &str) -> BlobError {
    BlobError {
        detail: Some(detail.to_owned()),
        ..BlobError::new(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T04:00:00Z";

    fn check_signed(change: impl FnOnce(&Signed<'_>)) {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-version", "2023-11-03".parse().unwrap());
        headers.insert("x-ms-date", "Sun, 22 Nov 2026 04:00:00 GMT".parse().unwrap());
        headers.insert("content-length", "0".parse().unwrap());
        let query = Query::parse("restype=container&comp=list&prefix=log%2F");
        change(&Signed { method: &Method::GET, path: "/c", query: &query, headers: &headers });
    }

    fn sign(signed: &Signed<'_>, key: &[u8]) -> String {
        let text = string_to_sign("acct", signed);
        BASE64_STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()))
    }

    /// The example of the reference, "Constructing the canonicalized resource string", for this account.
    #[test]
    fn canonicalizes_as_the_reference_does() {
        check_signed(|signed| {
            let expected = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Sun, 22 Nov 2026 04:00:00 GMT\nx-ms-version:2023-11-03\n/acct/c\ncomp:list\nprefix:log/\nrestype:container";
            assert_eq!(string_to_sign("acct", signed), expected);
        });
    }

    #[test]
    fn accepts_either_key_and_refuses_another() {
        check_signed(|signed| {
            let keys = [b"first".to_vec(), b"second".to_vec()];
            let now = NOW.parse().unwrap();
            let check = |key: &[u8]| {
                verify("acct", &keys, &format!("acct:{}", sign(signed, key)), signed, now)
            };
            assert!(check(b"first").is_ok());
            assert!(check(b"second").is_ok());
            assert_eq!(check(b"third").unwrap_err().code, "AuthenticationFailed");
        });
    }

    #[test]
    fn refuses_another_account_and_an_old_date() {
        check_signed(|signed| {
            let keys = [b"first".to_vec()];
            let signature = sign(signed, b"first");
            let now: Timestamp = NOW.parse().unwrap();
            let other = verify("acct", &keys, &format!("other:{signature}"), signed, now);
            assert!(other.unwrap_err().detail.unwrap().contains("other"));
            let later = now + SignedDuration::from_mins(16);
            let old = verify("acct", &keys, &format!("acct:{signature}"), signed, later);
            assert!(old.unwrap_err().detail.unwrap().contains("too old"));
        });
    }
}
