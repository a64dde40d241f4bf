//! The benches of one package, and the ratios that matter of what they measured.
//!
//! An absolute time says more about the machine than about the code, so each aim is a ratio of medians of one run.
//! `benches/ratios.toml` beside the benches names them:
//!
//! ```toml
//! [[ratio]]
//! name = "a report under a known VEK, to one P-384 verification"
//! of = "report/known_vek"        # criterion's ids: group/function, or group/function/parameter
//! to = ["raw/p384"]              # their sum
//! at_most = 1.10                 # or at_least
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::{paths, process};

/// Runs the benches of the package in `folder`, then prints its ratios.
pub(super) fn run(folder: &str) -> anyhow::Result<()> {
    let place = [format!("crates/{folder}"), folder.to_owned()]
        .into_iter()
        .map(|place| paths::root().join(place))
        .find(|place| place.join("benches").is_dir())
        .with_context(|| format!("{folder} has no benches"))?;
    let manifest: toml::Table = fs::read_to_string(place.join("Cargo.toml"))?.parse()?;
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let name = name.and_then(toml::Value::as_str).context("a package without a name")?;
    let mut command = Command::new(process::cargo());
    command.args(["bench", "--package", name, "--benches"]).current_dir(paths::root());
    ensure!(process::status(&mut command)?.success(), "the benches of {name} failed");

    process::say("| what | ratio | aim | |\n|---|---|---|---|");
    for ratio in read(&place.join("benches/ratios.toml"))? {
        let value = median(&ratio.of)?
            / ratio.to.iter().map(|id| median(id)).sum::<anyhow::Result<f64>>()?;
        let (aim, met) = match ratio.aim {
            Aim::AtMost(most) => (format!("at most {most}"), value <= most),
            Aim::AtLeast(least) => (format!("at least {least}"), value >= least),
        };
        let met = if met { "met" } else { "MISSED" };
        process::say(&format!("| {} | {value:.3} | {aim} | {met} |", ratio.name));
    }
    Ok(())
}

struct Ratio {
    name: String,
    of: String,
    to: Vec<String>,
    aim: Aim,
}

enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

fn read(path: &Path) -> anyhow::Result<Vec<Ratio>> {
    let table: toml::Table = fs::read_to_string(path)
        .with_context(|| path.display().to_string())?
        .parse()
        .with_context(|| path.display().to_string())?;
    let ratios = table.get("ratio").and_then(toml::Value::as_array).context("no [[ratio]]")?;
    ratios.iter().map(|ratio| one(ratio).with_context(|| path.display().to_string())).collect()
}

fn one(ratio: &toml::Value) -> anyhow::Result<Ratio> {
    let text = |key: &str| {
        let text = ratio.get(key).and_then(toml::Value::as_str);
        text.map(str::to_owned).with_context(|| format!("a ratio without `{key}`"))
    };
    let number = |key: &str| ratio.get(key).and_then(toml::Value::as_float);
    let to = ratio.get("to").and_then(toml::Value::as_array).context("a ratio without `to`")?;
    Ok(Ratio {
        name: text("name")?,
        of: text("of")?,
        to: to.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect(),
        aim: match (number("at_most"), number("at_least")) {
            (Some(most), None) => Aim::AtMost(most),
            (None, Some(least)) => Aim::AtLeast(least),
            (None, None) | (Some(_), Some(_)) => bail!("a ratio needs `at_most` or `at_least`"),
        },
    })
}

/// The median time of one iteration in nanoseconds, as criterion noted it.
fn median(id: &str) -> anyhow::Result<f64> {
    let path = criterion().join(id).join("new/estimates.json");
    let bytes = fs::read(&path).with_context(|| format!("{id} was not measured"))?;
    let estimates: serde_json::Value = serde_json::from_slice(&bytes)?;
    let median = estimates.pointer("/median/point_estimate").and_then(serde_json::Value::as_f64);
    median.with_context(|| format!("{}: no median", path.display()))
}

fn criterion() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| paths::root().join("target"), PathBuf::from);
    target.join("criterion")
}
