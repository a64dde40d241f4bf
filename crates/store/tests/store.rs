//! The store as its callers have it: one suite that every object storage has to pass, and storage that lies, fails and is slow.

// `cfg(test)` says to the lints that helpers are tests too; another crate that includes `conformance` writes the same.
#[cfg(test)]
mod cases;
#[cfg(test)]
mod conformance;
#[cfg(test)]
#[path = "weather/mod.rs"]
mod weather;
