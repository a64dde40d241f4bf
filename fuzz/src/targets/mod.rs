//! The targets, one file for each crate whose parsers they are.

pub(crate) mod evidence;
pub(crate) mod explain;
pub(crate) mod image;
pub(crate) mod maa;
pub(crate) mod manifest;
pub(crate) mod store;
pub(crate) mod tpm;
