//! The calls we make to Azure: Entra and IMDS tokens, Microsoft Azure Attestation, Key Vault, Azure Resource Manager,
//! Blob storage, the container registry and THIM; and the one to AMD, for its revocation lists.
//!
//! Every client speaks over the one transport of [`Endpoints`], under the real host names.
//! In the public cloud the transport trusts the web's roots; for the local cloud it resolves every name to one loopback
//! address and trusts one CA, which it pins by digest. Nothing else differs, so what is tested is what runs.
//!
//! Azure's answers are hostile until parsed: bodies are bounded, numbers and names are checked, an unknown value is an
//! error that names the field. What Azure says is evidence of nothing; callers verify tokens, policies and keys
//! themselves. Tokens, storage keys, secret values and released keys travel in types that do not print, and no error
//! carries them.
//!
//! Errors are one enum per group of operations ([`keys::KeyError`], [`secrets::SecretError`], [`maa::MaaError`],
//! [`arm::ArmError`], [`blob::LeaseError`], [`registry::RegistryError`]), sorted by whose fault it is, and each has a
//! `remedy`: one line that says what to try.

pub mod anchor;
pub mod arm;
pub mod blob;
mod call;
mod credentials;
mod endpoints;
mod imds;
pub mod kds;
pub mod keys;
pub mod maa;
mod pin;
pub mod registry;
pub mod release;
pub mod secrets;
pub mod thim;
mod token_cache;
mod transport;
mod vault;
mod wire;

pub use call::{Answer, Call, Malformed, Unavailable};
pub use credentials::{Auth, AuthError, ManagedIdentity};
pub use endpoints::{Endpoints, EndpointsError, LocalCloud};
pub use vault::{InvalidName, Name, Version};

#[cfg(test)]
mod testing;
