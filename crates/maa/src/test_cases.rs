//! How property tests run: always with the same cases.

use proptest::test_runner::{Config, RngSeed};

/// So many cases, from a fixed seed.
pub(crate) fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..Config::default() }
}
