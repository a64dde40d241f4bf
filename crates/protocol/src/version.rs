//! The version of a document's format, read before anything else of it.

use serde::Deserialize;

/// The one member that every version of every document has.
#[derive(Deserialize)]
pub(crate) struct Version {
    pub(crate) version: u64,
}
