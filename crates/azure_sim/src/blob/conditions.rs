//! Conditional headers ("Specifying conditional headers for Blob service operations" in the Storage reference).

use http::{HeaderMap, HeaderName, header};
use jiff::Timestamp;

use super::error::{self, BlobError};
use super::times;

/// The part of a blob or container that conditions look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current<'a> {
    /// With its quotes.
    pub etag: &'a str,
    pub modified: Timestamp,
}

/// Conditions of one request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Conditions {
    matches: Option<String>,
    none_match: Option<String>,
    modified_since: Option<Timestamp>,
    unmodified_since: Option<Timestamp>,
}

impl Conditions {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, BlobError> {
        let text = |name: HeaderName| match headers.get(&name) {
            None => Ok(None),
            Some(value) => value
                .to_str()
                .map(|value| Some(value.to_owned()))
                .map_err(|_| error::invalid_header(name.as_str())),
        };
        let time = |name: HeaderName| match text(name.clone())? {
            None => Ok(None),
            Some(value) => {
                times::parse(&value).map(Some).ok_or_else(|| error::invalid_header(name.as_str()))
            }
        };
        Ok(Self {
            matches: text(header::IF_MATCH)?,
            none_match: text(header::IF_NONE_MATCH)?,
            modified_since: time(header::IF_MODIFIED_SINCE)?,
            unmodified_since: time(header::IF_UNMODIFIED_SINCE)?,
        })
    }

    /// For GET and HEAD of what exists: 304 or 412.
    pub(super) fn check_read(&self, current: Current<'_>) -> Result<(), BlobError> {
        self.check_positive(current)?;
        if self.none_match.as_deref().is_some_and(|given| listed(given, current.etag)) {
            return Err(error::not_modified());
        }
        if self.none_match.is_none()
            && self.modified_since.is_some_and(|since| whole(current.modified) <= whole(since))
        {
            return Err(error::not_modified());
        }
        Ok(())
    }

    /// For operations that change: 409 where `If-None-Match: *` meets something, 412 otherwise.
    pub(super) fn check_write(&self, current: Option<Current<'_>>) -> Result<(), BlobError> {
        let Some(current) = current else {
            return if self.matches.is_some() { Err(error::condition_not_met()) } else { Ok(()) };
        };
        self.check_positive(current)?;
        match self.none_match.as_deref() {
            Some("*") => return Err(error::blob_already_exists()),
            Some(given) if listed(given, current.etag) => return Err(error::condition_not_met()),
            Some(_) | None => {}
        }
        if self.modified_since.is_some_and(|since| whole(current.modified) <= whole(since)) {
            return Err(error::condition_not_met());
        }
        Ok(())
    }

    fn check_positive(&self, current: Current<'_>) -> Result<(), BlobError> {
        if self.matches.as_deref().is_some_and(|given| !listed(given, current.etag)) {
            return Err(error::condition_not_met());
        }
        if self.unmodified_since.is_some_and(|since| whole(current.modified) > whole(since)) {
            return Err(error::condition_not_met());
        }
        Ok(())
    }
}

/// `*`, or a list of tags, with or without quotes: both are seen from clients.
fn listed(given: &str, etag: &str) -> bool {
    given == "*"
        || given.split(',').any(|one| one.trim().trim_matches('"') == etag.trim_matches('"'))
}

/// The headers have no part of a second.
fn whole(time: Timestamp) -> i64 {
    time.as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"0x8D1\"";

    fn check(header: &str, value: &str) -> (Option<u16>, Option<u16>, Option<u16>) {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_bytes(header.as_bytes()).unwrap(), value.parse().unwrap());
        let conditions = Conditions::parse(&headers).unwrap();
        let current = Current { etag: ETAG, modified: "2026-11-22T04:00:00.5Z".parse().unwrap() };
        let status =
            |outcome: Result<(), BlobError>| outcome.err().map(|refused| refused.status.as_u16());
        (
            status(conditions.check_read(current)),
            status(conditions.check_write(Some(current))),
            status(conditions.check_write(None)),
        )
    }

    #[test]
    fn answers_reads_and_writes_as_the_reference_says() {
        let at = "Sun, 22 Nov 2026 04:00:00 GMT";
        let before = "Sun, 22 Nov 2026 03:59:59 GMT";
        let cases = [
            ("if-match", ETAG, (None, None, Some(412))),
            ("if-match", "0x8D1", (None, None, Some(412))),
            ("if-match", "\"0x8D2\"", (Some(412), Some(412), Some(412))),
            ("if-none-match", "*", (Some(304), Some(409), None)),
            ("if-none-match", ETAG, (Some(304), Some(412), None)),
            ("if-none-match", "\"0x8D2\"", (None, None, None)),
            ("if-modified-since", at, (Some(304), Some(412), None)),
            ("if-modified-since", before, (None, None, None)),
            ("if-unmodified-since", at, (None, None, None)),
            ("if-unmodified-since", before, (Some(412), Some(412), None)),
        ];
        for (header, value, expected) in cases {
            assert_eq!(check(header, value), expected, "{header}: {value}");
        }
    }
}
