//! The MAA policy language, MAA tokens, and the release policies of Key Vault.
//!
//! Microsoft Azure Attestation (MAA) decides by a policy who gets a token, and Key Vault decides
//! by a release policy which token gets a key.
//! This crate reads, prints, evaluates and checks both languages offline, so that a reviewer sees
//! what a change does before the services do it, and it verifies the tokens that MAA signs.
//!
//! It trusts nothing that it is given: every text is bounded before it is parsed, nesting is
//! bounded, and what public text does not define is refused as "not supported", never guessed.
//! It performs no I/O, reads no clock and uses no randomness.

mod encoding;
pub mod evaluate;
pub mod lint;
pub mod policy;
pub mod policy_jws;
pub mod policy_result;
pub mod release;
mod rs256;
#[cfg(test)]
mod test_cases;
#[cfg(test)]
mod test_corpus;
#[cfg(test)]
mod test_signer;
pub mod token;
