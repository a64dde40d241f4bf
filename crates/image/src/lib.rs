//! Reproducible OCI images, dm-verity layer hashes and CCE policies.
//!
//! Everything that decides what the hardware will report about a container group, computed from bytes alone, with no
//! Docker, no root and no Azure: [`layer`] gives a layer's hash, [`oci`] builds and reads images, [`cce`] writes the
//! policy whose SHA-256 is the report's HOST_DATA and enforces it, [`attach`] writes what is said of an image,
//! [`elf`] tells a static program, [`unpack`] yields a layer's entries for writing
//! under a root directory. Archives, images and policies are hostile until parsed.

pub mod archive;
pub mod attach;
pub mod cce;
pub mod elf;
pub mod layer;
pub mod oci;
pub mod unpack;
