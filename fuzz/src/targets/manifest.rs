//! The manifest, as a server reads it from an envelope that anybody may have replaced.

use manifest::Manifest;

pub(crate) fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parsed) = Manifest::parse("fuzz.toml", text) {
        assert!(!parsed.canonical().is_empty());
    }
}
