//! RFC 1123 dates, to the second, as HTTP headers carry them.

use jiff::Timestamp;

const FORM: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// `Sun, 22 Nov 2026 04:00:00 GMT`.
pub(super) fn rfc1123(time: Timestamp) -> String {
    time.strftime(FORM).to_string()
}

/// The other way; nothing if it is no such date.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    jiff::civil::DateTime::strptime(FORM, text)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_there_and_back() {
        let time = parse("Sun, 22 Nov 2026 04:00:00 GMT").unwrap();
        assert_eq!(time, "2026-11-22T04:00:00Z".parse().unwrap());
        assert_eq!(rfc1123(time), "Sun, 22 Nov 2026 04:00:00 GMT");
    }
}
