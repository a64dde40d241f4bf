//! Base64 in the dialects that the services use, and hexadecimal.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};

/// base64url without padding.
pub fn b64url(bytes: impl AsRef<[u8]>) -> String {
    general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// base64url, with or without padding; `None` for anything else.
pub fn from_b64url(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_LENIENT.decode(text).ok()
}

/// Standard base64 with padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// Standard base64, with or without padding; `None` for anything else.
pub fn from_b64(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    STANDARD_LENIENT.decode(text).ok()
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
