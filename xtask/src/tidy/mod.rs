//! The rules of CONVENTIONS.md that a machine can check, one file a rule.

mod arrows;
mod files;
mod purity;

use anyhow::bail;

use crate::process;

/// Checks every rule and reports every fault.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    faults.extend(arrows::check()?);
    faults.extend(files::check()?);
    faults.extend(purity::check()?);
    for fault in &faults {
        process::say(&format!("tidy: {fault}"));
    }
    if faults.is_empty() { Ok(()) } else { bail!("{} faults", faults.len()) }
}
