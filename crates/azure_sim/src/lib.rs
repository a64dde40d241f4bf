//! The local cloud: the Azure services we use, on loopback, over a forged AMD root.
//!
//! It speaks the real wire protocols under the real host names; what it does follows recordings and specifications, and each handler
//! names its source. It is a test instrument: its keys lie in files, its roots are forged and publicly known. What it checks, it checks
//! for real: tokens, roles at their scope, evidence, policies.

pub mod aci;
pub mod arm;
#[cfg(test)]
mod bench;
pub mod blob;
pub mod control;
pub mod core;
#[cfg(test)]
mod corpus;
pub mod device;
pub mod entra;
pub mod imds;
pub mod kds;
pub mod keyvault;
pub mod maa;
pub mod rbac;
pub mod registry;
#[cfg(test)]
mod testing;
pub mod vm;
