//! The few values of a manifest that are needed before our own programs run.
//!
//! The manifest is judged by the provisioner; here only the name and the place of a local cloud
//! are read, and whatever is wrong with it is left for the provisioner to say.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;

/// Whether a deployment needs the local cloud.
pub(crate) enum Place {
    /// On this machine: the deployment's name and the local cloud's address.
    Local { deployment: String, address: Ipv4Addr },
    /// Elsewhere, or the manifest cannot be read so far.
    Elsewhere,
}

/// Looks where a manifest's deployment is.
pub(crate) fn place(path: &Path) -> anyhow::Result<Place> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let Ok(table) = text.parse::<toml::Table>() else { return Ok(Place::Elsewhere) };
    let value = |keys: &[&str]| {
        let (last, tables) = keys.split_last()?;
        tables
            .iter()
            .try_fold(&table, |table, key| table.get(*key)?.as_table())?
            .get(*last)?
            .as_str()
    };
    let local = value(&["azure", "cloud"]) == Some("local");
    match (local, value(&["deployment", "name"]), value(&["azure", "insecure_local", "address"])) {
        (true, Some(name), Some(address)) if !name.contains(['/', '.']) => {
            Ok(address.parse().map_or(Place::Elsewhere, |address| Place::Local {
                deployment: name.to_owned(),
                address,
            }))
        }
        _ => Ok(Place::Elsewhere),
    }
}
