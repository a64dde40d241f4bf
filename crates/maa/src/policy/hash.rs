//! The policy hash: what tokens carry in `x-ms-policy-hash`.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;

use crate::encoding::{from_base64url, to_base64url};

/// The hash of a policy's text, as base64url without padding: claim `x-ms-policy-hash`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyHash(String);

/// Hashes a policy's text: base64url(SHA-256(base64url(UTF-8 text))).
///
/// White space counts: two texts of the same meaning have different hashes.
/// The formula is from "Azure Attestation claim sets", and agrees with recorded tokens.
#[must_use]
pub fn policy_hash(text: &str) -> PolicyHash {
    let encoded = to_base64url(text.as_bytes());
    PolicyHash(to_base64url(digest::digest(&digest::SHA256, encoded.as_bytes()).as_ref()))
}

impl PolicyHash {
    /// The hash as the claim writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for PolicyHash {
    type Err = NotAPolicyHash;

    fn from_str(text: &str) -> Result<Self, NotAPolicyHash> {
        let bytes = from_base64url(text).map_err(|_| NotAPolicyHash)?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| NotAPolicyHash)?;
        Ok(Self(to_base64url(&bytes)))
    }
}

/// The text is not base64url of 32 bytes.
#[derive(Debug, thiserror::Error)]
#[error("a policy hash is base64url of 32 bytes")]
pub struct NotAPolicyHash;
