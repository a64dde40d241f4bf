//! The programs of other people that tests talk to: installed by name, only if missing, and never
//! without saying so first.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::{paths, process};

/// A Debian package and the program by which one sees that it is there.
const DEBIAN: &[(&str, &str)] = &[
    ("e2fsck", "e2fsprogs"),
    ("veritysetup", "cryptsetup-bin"),
    ("openssl", "openssl"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("swtpm", "swtpm"),
    ("strace", "strace"),
];

/// Python packages, with the version of each and of what it needs.
const PYTHON: &str = include_str!("../../e2e/peers/requirements.txt");

/// Packages of npm: Microsoft's emulator of Blob.
const NODE: &str = include_str!("../../e2e/peers/package.json");

/// Installs what is missing.
pub(crate) fn setup() -> anyhow::Result<()> {
    debian()?;
    python()?;
    node()
}

fn debian() -> anyhow::Result<()> {
    let mut missing: Vec<&str> = DEBIAN
        .iter()
        .filter(|(program, _)| !process::exists(program) && !sbin(program))
        .map(|(_, package)| *package)
        .collect();
    // Debian keeps the part of Python that makes virtual environments apart.
    if !succeeds("python3", &["-c", "import ensurepip, venv"]) {
        missing.push("python3-venv");
    }
    if !process::exists("npm") {
        missing.extend(["nodejs", "npm"]);
    }
    if missing.is_empty() {
        return Ok(());
    }
    process::say(&format!("installing with apt-get: {}", missing.join(" ")));
    let root = std::fs::metadata("/root").is_ok_and(|_| std::fs::read_dir("/root").is_ok());
    let mut command: Vec<&str> = if root { vec![] } else { vec!["sudo"] };
    command.extend(["apt-get", "install", "-y", "-qq", "--no-install-recommends"]);
    command.extend(missing);
    let Some((program, args)) = command.split_first() else { bail!("no command") };
    if process::run(program, args).is_ok() {
        return Ok(());
    }
    // A fresh machine may never have fetched the package lists.
    let update: &[&str] = if root { &["apt-get"] } else { &["sudo", "apt-get"] };
    let Some((updater, prefix)) = update.split_first() else { bail!("no command") };
    process::run(updater, prefix.iter().chain(&["update", "-qq"]))?;
    process::run(program, args)
}

fn sbin(program: &str) -> bool {
    std::path::Path::new("/usr/sbin").join(program).is_file()
}

/// Whether a program runs and ends well; what it says is of no interest.
fn succeeds(program: impl AsRef<OsStr>, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The Python of the peers: a virtual environment in the ignored build folder.
///
/// The stamp is written last and says what is in it, so that a setup that was interrupted, or whose list has changed, goes on.
fn python() -> anyhow::Result<()> {
    let venv = paths::root().join("target/peers");
    let stamp = venv.join("installed.txt");
    let works = succeeds(venv.join("bin/python"), &["-c", "import pip"]);
    if works && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == PYTHON) {
        return Ok(());
    }
    let packages: Vec<&str> =
        PYTHON.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    process::say(&format!("installing into {}: {}", venv.display(), packages.join(" ")));
    if !works {
        // --clear: what a vanished Python left behind is of no use.
        let args = ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), venv.as_os_str()];
        process::run("python3", args)?;
    }
    let mut args = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    args.extend(packages);
    process::run(venv.join("bin/python"), args)?;
    std::fs::write(stamp, PYTHON)?;
    Ok(())
}

/// The packages of npm, in a folder of the ignored build folder. The stamp is written last, as for Python.
fn node() -> anyhow::Result<()> {
    let folder = paths::root().join("target/peers-node");
    let stamp = folder.join("installed.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == NODE) {
        return Ok(());
    }
    process::say(&format!("installing with npm into {}: azurite", folder.display()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), NODE)?;
    let prefix = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
    process::run("npm", prefix.iter().map(AsRef::as_ref).chain([folder.as_os_str()]))?;
    std::fs::write(stamp, NODE)?;
    Ok(())
}
