//! AMD, UVM and TLS roots and signers of our own, publicly known and worthless.
//!
//! Tests and the local cloud need evidence that verifies, and evidence that is wrong in exactly one place.
//! So this crate plays AMD (ARK, ASK, ASVK, VCEK and VLEK of three products, and the processor that signs reports),
//! Microsoft (the signer of utility-VM endorsements, in both forms, and the paravisor of virtual machines), a TLS authority, and three signers of manifests.
//! Verification is never weakened for it: a verifier trusts these roots only where it is told their digests.
//!
//! The keys are in the source, in the folder `keys`, for everybody to read: what they sign proves nothing.
//! No program that guards anything may link this crate.
//! It shares no code with the verifier, so that a wrong idea of a layout shows.

pub mod amd;
pub mod certificate;
pub mod der;
pub mod keys;
mod product;
mod report;
mod signers;
mod tls;
mod uvm;
pub mod vm;

pub use amd::{
    Chip, VekCertificate, amd_cert_chain, amd_crl, amd_crl_numbered, amd_root_sha256, ark_der,
    ask_der, asvk_der,
};
pub use product::{Product, Tcb};
pub use report::ReportFields;
pub use signers::{Signer, SignerName, signer};
pub use tls::{IssuedTls, TlsCa, issue_tls, tls_ca, tls_ca_sha256};
pub use uvm::{
    Endorsement, Form, UVM_EKU, UVM_FEED, UVM_MEASUREMENT, UVM_SVN, Value, default_leaf,
    uvm_endorsement, uvm_leaf, uvm_name, uvm_root_sha256,
};
