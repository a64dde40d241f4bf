//! The secret server: gets the master key with its own evidence, opens its store, and hands each
//! workload just what the manifest grants it.
//!
//! It trusts its own measured image, the trust root in its environment (which the CCE policy fixes
//! to the letter), AMD's hardware, and what the trust root's signers signed. It believes nothing
//! that Azure's control plane, Key Vault, storage or the network say until one of these has
//! vouched for it.

pub mod clock;
pub mod core;
