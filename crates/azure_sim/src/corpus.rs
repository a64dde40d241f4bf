//! Against what the real services said and take. Reads the corpus; without it each test says so and passes.

mod release;
mod replay;

use std::path::PathBuf;

/// A file of the corpus, or `None` after saying that there is no corpus.
pub(crate) fn file(test: &str, path: &str) -> Option<Vec<u8>> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
    let root = std::env::var_os("VOUCHSAFE_CORPUS").map_or_else(default, PathBuf::from);
    if !root.is_dir() {
        #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
        {
            eprintln!("corpus absent: {test}");
        }
        return None;
    }
    Some(std::fs::read(root.join(path)).unwrap())
}
