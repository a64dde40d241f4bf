//! Random concurrent histories of several servers over a hostile object storage, under one seeded scheduler, judged by somebody else's checker of linearizability.
//!
//! `VOUCHSAFE_EXHAUSTIVE=1` runs a million operations; `VOUCHSAFE_SEED=n` runs one seed. A seed that failed is written to `tests/model/seeds` and replayed from then on.

// `cfg(test)` says to the lints that helpers are tests too.
#[cfg(test)]
#[path = "conformance/mod.rs"]
#[expect(dead_code, reason = "the suite itself runs elsewhere")]
mod conformance;
#[cfg(test)]
#[path = "dice/mod.rs"]
mod dice;
#[cfg(test)]
#[path = "model/mod.rs"]
mod model;
#[cfg(test)]
#[path = "weather/mod.rs"]
mod weather;
