//! The real programs against the local cloud: what the tests of this folder share.
//!
//! Each test takes a loopback address that nobody else has ([`address::Claim`]), starts a cloud on it whose state lies in a temporary
//! directory ([`cloud::Cloud`]), and both go when the test ends, however it ends.
//! Other people's clients are Python scripts in `peers/`, run by the Python that `cargo xtask setup` prepares ([`peer`]).

pub mod address;
pub mod attacker;
pub mod cloud;
pub mod deployment;
pub mod owner;
pub mod peer;
pub mod programs;
pub mod saved;
pub mod vault;
