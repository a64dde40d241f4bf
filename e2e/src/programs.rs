//! Where the programs under test are: what was built with this test, never what happens to be installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// A program of this workspace: in the folder that `VOUCHSAFE_PROGRAMS` names, else beside the folder of this test.
///
/// # Errors
/// It is not there; the error says how to build it.
pub fn find(name: &str) -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("VOUCHSAFE_PROGRAMS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let test = std::env::current_exe().context("finding this test's own file")?;
            // target/TRIPLE/debug/deps/TEST
            test.ancestors().nth(2).context("this test has no build folder")?.to_owned()
        }
    };
    let program = folder.join(name);
    ensure!(
        program.is_file(),
        "{} is not built; run `cargo build --workspace --bins`",
        program.display()
    );
    Ok(program)
}

/// The workspace's root.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
