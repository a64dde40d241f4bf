//! What a manifest means in Azure, purely: [`render`] turns it, with the signers' certificates and the measured image,
//! into everything that Azure must be told.
//!
//! The chain is that of the design: the trust root is fixed by the CCE policy, whose SHA-256 is HOST_DATA; the
//! attestation policy permits just the HOST_DATA values of the manifest; the master key's release policy names the hash
//! of that attestation policy and the same values. So each text here decides who gets the master key, and each is
//! rendered to the same bytes whenever the arguments are the same. The golden cases pin them.
//!
//! It trusts its arguments: a [`manifest::Manifest`] has been checked, signers' certificates have been read, the image
//! has been measured. What Azure only tells while things are being made (the identity's principal, the workspace's key)
//! is filled into a body later, by [`Resource::body`], and decides nothing.

mod attestation;
mod desired;
pub mod diff;
pub mod explain;
mod group;
pub mod lint;
mod release;
mod resource;
mod resources;
mod roles;
mod trust;
mod workload_group;

pub use attestation::AttestationPolicy;
pub use desired::{RenderError, Rendered, measure, render};
pub use group::{ServerGroup, ServerImage};
pub use release::MasterKey;
pub use resource::{Kind, MissingOutput, Outputs, Resource, ResourceId, WorkspaceAccess};
pub use resources::Resources;
pub use roles::{Deployer, DeployerKind};
pub use trust::Signers;
pub use workload_group::{Admitting, Party, WorkloadGroup, parties};

#[cfg(test)]
mod tests;
