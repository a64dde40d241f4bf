//! The manifest: the one document that says what a deployment is and who may have which secret.
//!
//! [`Manifest::parse`] is the only way to a [`Manifest`]. It reads TOML, refuses every key that it does not know, and
//! reports all [`Faults`] at once, each with its place. What it returns has been checked: names resolve, thresholds can
//! be met, addresses fit names, and nothing in a manifest for the public cloud lowers safety.
//! [`appraise()`] says which of its workloads a verified report belongs to, and if none, what kept it from each.
//!
//! It trusts nobody: the text may come from a stranger. That a *signer* stands behind it is shown elsewhere, by the
//! signature over the text; the files that a manifest names are read elsewhere too.
//! The crate is pure: it performs no I/O, and what depends on the day takes the day.

mod appraise;
mod document;
mod fault;
mod group;
mod permission;
mod place;
mod read;
mod requirements;
mod rules;
mod schema;
mod table;
mod text;
mod trust;
mod words;

pub use appraise::{Appraised, Candidate, Difference, NoMatch, Requirement, appraise, appraise_vm};
pub use document::Manifest;
pub use fault::{Fault, Faults};
pub use group::{Container, Fragment, Group, Volume};
pub use permission::{Forbidden, Permission};
pub use place::{Azure, Deployment, InsecureLocal, Permitted, Place, Server, ServerImage, Storage};
pub use requirements::Uvm;
pub use rules::{Audit, Operator, Secret, Shows, Workload};
pub use schema::schema_text;
pub use text::{
    AccountName, AgeRecipient, AzurePath, ClaimName, ContainerName, DeploymentName, Did, ExactText,
    Field, FilePath, HttpsUrl, IdentityName, ImageText, Malformed, Name, PathGlob, ProviderName,
    Region, RegistryName, Repository, ResourceGroupName, SecretPath, TlsName, Uuid, Value,
    VariableName, VaultName,
};
pub use trust::{Attestation, MasterKey, Recovery, ServerRequirements, Signer, Tls, Unseal};
pub use words::{
    Action, Cloud, Compliance, Crl, Curve, Feed, Login, StorageAuth, TlsSource, Trust, VolumeKind,
    WorkloadKind,
};

#[cfg(test)]
mod tests;
