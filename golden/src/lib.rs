//! Snapshot cases: what the manifests generate, pinned.
//!
//! `golden/<area>/<case>/` holds the inputs of a case and what must come out; `cargo xtask bless` rewrites the latter.
//! There is nothing here but tests.

#[cfg(test)]
mod diff;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod render;
