//! The two policy languages: what was accepted prints to text that means the same.

use maa::policy;
use maa::release::ReleasePolicy;

pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parsed) = policy::parse(text) {
        let printed = parsed.to_string();
        assert_eq!(policy::parse(&printed).as_ref(), Ok(&parsed), "printed as {printed:?}");
    }
}

pub(crate) fn release_policy(data: &[u8]) {
    if let Ok(parsed) = ReleasePolicy::parse(data) {
        let again = ReleasePolicy::from_data(&parsed.to_data());
        assert!(again.is_ok_and(|again| again == parsed), "printed as {}", parsed.to_data());
    }
}
