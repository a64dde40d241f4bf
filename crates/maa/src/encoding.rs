//! Base64 as the services write it: mostly base64url without padding, but padding is taken too.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Writes base64url without padding.
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

/// Reads base64url with or without padding.
pub(crate) fn from_base64url(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    BASE64URL.decode(text)
}

/// Writes standard base64 with padding, as `x5c` has it.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Reads standard base64, as `x5c` has it.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    BASE64.decode(text)
}

const ACCEPT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_encode_padding(false);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ACCEPT);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, ACCEPT);
