//! Builds the server for release so that nothing of the machine is in it, and shows that it is so: twice, in two
//! folders, with another umask and time zone.
//!
//! Paths are remapped for Rust (`--remap-path-prefix`) and for C (`-ffile-prefix-map`); times are those of
//! `SOURCE_DATE_EPOCH`; what is linked is what `Cargo.lock` names. The toolchain is the same in both builds: another
//! compiler makes another program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::{paths, process};

/// Options of `cargo xtask image reproduce`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Keep both folders, to look at a difference.
    #[arg(long)]
    keep: bool,
}

/// Builds the committed sources in two folders and compares the programs byte by byte.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let folder = paths::root().join("target/reproduce");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing an earlier run")?;
    }
    // Folders of different depth and length, so that no path fits by chance.
    let first = Build { folder: folder.join("a"), umask: "022", zone: "UTC" };
    let second =
        Build { folder: folder.join("second/and-longer"), umask: "077", zone: "Asia/Kathmandu" };
    let programs = [first.run()?, second.run()?];
    let [one, other] = &programs;
    let (one, other) = (fs::read(one)?, fs::read(other)?);
    let differ = one.iter().zip(&other).filter(|(one, other)| one != other).count();
    for program in &programs {
        process::run("sha256sum", [program])?;
    }
    if one.len() != other.len() || differ > 0 {
        process::say(&format!(
            "NOT reproducible: {} and {} bytes, {differ} of them differ; look into {}",
            one.len(),
            other.len(),
            folder.display()
        ));
        return Ok(ExitCode::FAILURE);
    }
    process::say(&format!("reproducible: both programs have the same {} bytes", one.len()));
    if !options.keep {
        fs::remove_dir_all(&folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the server of this checkout for release and returns the program.
pub(crate) fn server() -> anyhow::Result<PathBuf> {
    let root = paths::root();
    build(&root, &root.join("target/image"), "022", "UTC")
}

struct Build {
    folder: PathBuf,
    umask: &'static str,
    zone: &'static str,
}

impl Build {
    fn run(&self) -> anyhow::Result<PathBuf> {
        let source = self.folder.join("source");
        fs::create_dir_all(&source)?;
        let mut archive = Command::new("git")
            .args(["archive", "--format=tar", "HEAD"])
            .current_dir(paths::root())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting git")?;
        let tar = archive.stdout.take().context("git's output")?;
        let unpacked = Command::new("tar").arg("-x").arg("-C").arg(&source).stdin(tar).status()?;
        ensure!(unpacked.success() && archive.wait()?.success(), "copying the sources failed");
        build(&source, &self.folder.join("built"), self.umask, self.zone)
    }
}

fn build(source: &Path, target: &Path, umask: &str, zone: &str) -> anyhow::Result<PathBuf> {
    process::say(&format!("building {} for release", source.display()));
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")),
        |home| Some(PathBuf::from(home)),
    );
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let sysroot = output("rustc", &["--print", "sysroot"], source)?;
    // The last that fits counts, so the longest come last.
    let maps = [
        (home.display().to_string(), "/cargo"),
        (sysroot, "/rust"),
        (source.display().to_string(), "/source"),
        (target.display().to_string(), "/target"),
    ];
    let mut rust = configured(source)?;
    let mut c = vec!["-g0".to_owned()];
    for (from, to) in &maps {
        rust.push(format!("--remap-path-prefix={from}={to}"));
        c.push(format!("-ffile-prefix-map={from}={to}"));
    }
    // The shell is there for the umask alone.
    let script = "umask \"$0\" && exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, umask, &process::cargo()])
        .args(["build", "--quiet", "--release", "--locked", "--package", "vouchsafe-server"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(source)
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env("CFLAGS", c.join(" "))
        .env("CARGO_INCREMENTAL", "0")
        .env("SOURCE_DATE_EPOCH", "0")
        .env("TZ", zone)
        .env("LC_ALL", "C")
        .env_remove("RUSTFLAGS");
    let status = process::status(&mut command)?;
    if !status.success() {
        bail!("the build ended with {status}");
    }
    Ok(target.join("x86_64-unknown-linux-gnu/release/vouchsafe-server"))
}

/// The flags that every build has; the variable set above would take their place.
fn configured(source: &Path) -> anyhow::Result<Vec<String>> {
    let config: toml::Table = fs::read_to_string(source.join(".cargo/config.toml"))?.parse()?;
    let flags = config
        .get("target")
        .and_then(|target| target.get("x86_64-unknown-linux-gnu"))
        .and_then(|target| target.get("rustflags"))
        .and_then(toml::Value::as_array)
        .context("rustflags of .cargo/config.toml")?;
    let text = |flag: &toml::Value| flag.as_str().map(str::to_owned).context("a flag is no text");
    flags.iter().map(text).collect()
}

fn output(program: &str, args: &[&str], folder: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).args(args).current_dir(folder).output()?;
    ensure!(output.status.success(), "{program} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
