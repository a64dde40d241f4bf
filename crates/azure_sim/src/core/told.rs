//! What the log told lately: a server asks for the same documents every other second, and a log of that hides everything else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The readings that were told, and when.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeMap<String, Instant>>);

/// Whether a call is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// It is.
    No,
    /// The same was read with the same outcome less than a minute ago, and was told.
    Lately,
}

impl Told {
    /// `line` begins with the method; only readings that succeed are ever left out.
    pub(crate) fn is_repeated(&self, family: &str, line: &str, status: u16) -> Repeated {
        if !line.starts_with("GET ") || status >= 400 {
            return Repeated::No;
        }
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.duration_since(*at) < LATELY);
        let call = format!("{family} {line} {status}");
        if told.contains_key(&call) {
            return Repeated::Lately;
        }
        told.insert(call, now);
        Repeated::No
    }
}

const LATELY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_reading_is_left_out() {
        let told = Told::default();
        let check = |line: &str, status, expected| {
            assert_eq!(told.is_repeated("blob", line, status), expected, "{line} {status}");
        };
        check("GET /a", 200, Repeated::No);
        check("GET /a", 200, Repeated::Lately);
        check("GET /a", 404, Repeated::No);
        check("GET /a", 404, Repeated::No);
        check("GET /b", 200, Repeated::No);
        check("PUT /a", 200, Repeated::No);
        check("PUT /a", 200, Repeated::No);
    }
}
