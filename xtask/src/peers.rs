//! The programs of other people that tests talk to: installed by name, only if missing, and never
//! without saying so first.

use anyhow::bail;

use crate::{paths, process};

/// A Debian package and the program by which one sees that it is there.
const DEBIAN: &[(&str, &str)] =
    &[("e2fsck", "e2fsprogs"), ("veritysetup", "cryptsetup-bin"), ("openssl", "openssl")];

/// Python packages: Microsoft's own clients, and a client of Vault.
const PYTHON: &[&str] = &[
    "azure-identity==1.25.1",
    "azure-keyvault-keys==4.11.0",
    "azure-keyvault-secrets==4.10.0",
    "azure-security-attestation==1.0.0",
    "azure-storage-blob==12.27.1",
    "azure-mgmt-resource==24.0.0",
    "azure-mgmt-keyvault==13.0.0",
    "azure-mgmt-storage==24.0.0",
    "azure-mgmt-msi==7.1.0",
    "azure-mgmt-attestation==2.0.0b1",
    "azure-mgmt-authorization==4.0.0",
    "azure-mgmt-containerinstance==10.1.0",
    "hvac==2.4.0",
];

/// Installs what is missing.
pub(crate) fn setup() -> anyhow::Result<()> {
    debian()?;
    python()
}

fn debian() -> anyhow::Result<()> {
    let missing: Vec<&str> = DEBIAN
        .iter()
        .filter(|(program, _)| !process::exists(program) && !sbin(program))
        .map(|(_, package)| *package)
        .collect();
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

/// The Python of the peers: a virtual environment in the ignored build folder.
fn python() -> anyhow::Result<()> {
    let venv = paths::root().join("target/peers");
    let stamp = venv.join("installed.txt");
    let wanted = PYTHON.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    process::say(&format!("installing into {}: {}", venv.display(), PYTHON.join(" ")));
    if !venv.join("bin/python").is_file() {
        process::run("python3", ["-m".as_ref(), "venv".as_ref(), venv.as_os_str()])?;
    }
    let mut args = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    args.extend(PYTHON);
    process::run(venv.join("bin/python"), args)?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}
