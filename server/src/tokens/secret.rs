//! The texts of tokens and of their accessors.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand::SecureRandom;
use protocol::b64;
use protocol::grant::SecretText;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{TokenError, encode};

/// The text of a token, which is wiped when dropped and never printed.
pub struct TokenText(SecretText);

impl TokenText {
    /// A fresh one: 256 bits.
    ///
    /// # Errors
    /// No randomness.
    pub fn fresh(rng: &dyn SecureRandom) -> Result<Self, TokenError> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill(&mut *bytes).map_err(|_| TokenError::Randomness)?;
        let body = Zeroizing::new(encode(&*bytes));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + body.len()));
        text.push_str(PREFIX);
        text.push_str(&body);
        Ok(Self(SecretText::new(text)))
    }

    /// Takes what a caller sent.
    ///
    /// # Errors
    /// It has not the form of a token.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let body = text.strip_prefix(PREFIX).ok_or(TokenError::Malformed)?;
        match b64::decode(body).map(Zeroizing::new) {
            Ok(bytes) if bytes.len() == 32 => {
                Ok(Self(SecretText::new(Zeroizing::new(text.to_owned()))))
            }
            Ok(_) | Err(_) => Err(TokenError::Malformed),
        }
    }

    /// The text, where it is hashed.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    /// The text, where it leaves us.
    #[must_use]
    pub fn into_secret(self) -> SecretText {
        self.0
    }
}

/// A token's public name: enough to look it up or revoke it, not to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Accessor(String);

impl Accessor {
    /// A fresh one.
    ///
    /// # Errors
    /// No randomness.
    pub fn fresh(rng: &dyn SecureRandom) -> Result<Self, TokenError> {
        let mut bytes = [0; 18];
        rng.fill(&mut bytes).map_err(|_| TokenError::Randomness)?;
        Ok(Self(encode(&bytes)))
    }
}

impl FromStr for Accessor {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        match b64::decode(text) {
            Ok(bytes) if bytes.len() == 18 => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err(TokenError::Malformed),
        }
    }
}

impl fmt::Display for Accessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells our tokens from others, also to tools that look for leaked secrets.
const PREFIX: &str = "vst.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form() {
        let text = TokenText::fresh(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        assert!(TokenText::parse(text.expose_secret()).is_ok());
        for bad in ["", "vst.", "hvs.AAAA", "vst.AAAA", &text.expose_secret()[1..]] {
            assert!(TokenText::parse(bad).is_err(), "{bad}");
        }
    }
}
