//! The power fails while a process writes to a directory: nothing acknowledged is lost, and nothing half-written is visible.
//!
//! The child is this test binary again. Its system calls are recorded and done again on a disk that keeps only what was synchronised, up to any of them; what such a disk
//! holds is written to a folder, and opened. `VOUCHSAFE_EXHAUSTIVE=1` tries each moment more often.

// `cfg(test)` says to the lints that helpers are tests too.
#[cfg(test)]
#[path = "conformance/mod.rs"]
#[expect(dead_code, reason = "the suite itself runs elsewhere")]
mod conformance;
#[cfg(test)]
#[path = "dice/mod.rs"]
mod dice;
#[cfg(test)]
#[path = "power/mod.rs"]
mod power;
#[cfg(test)]
#[path = "process/mod.rs"]
mod process;
