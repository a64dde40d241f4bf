//! What our programs say to each other: the signed documents, the bindings into evidence, the
//! sealing of answers, and the verification of a server's evidence.
//!
//! Everything here is a decision about bytes that somebody else made. The crate trusts its
//! arguments that come from a measured place (the trust root, an agent's pins) and nothing that
//! came over a wire or out of storage until a function here has returned the proof of it. It does
//! no I/O and reads no clock. `docs/PROTOCOL.md` states the same facts for other implementers.

pub mod attest;
pub mod b64;
pub mod bundle;
pub mod encrypted_key;
pub mod grant;
pub mod jwk;
pub mod jws;
pub mod runtime_data;
pub mod server_evidence;
pub mod share;
pub mod signed_manifest;
#[cfg(test)]
mod testing;
pub mod trust_root;
pub mod wrap;

pub use jws::{SignerCertificate, SignerId, SignerKey};
pub use trust_root::TrustRoot;
mod version;
