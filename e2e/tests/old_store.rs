//! What an owner can do with a store of the past: empty its container when the lock is lost, put a bundle back that an
//! old lock takes for new, or put an old store into the container of a deployment that was destroyed and made anew.

use anyhow::{Context as _, ensure};
use e2e::attacker::Attacker;
use e2e::deployment::Deployment;
use e2e::owner;
use e2e::vault::Vault;

const BUNDLE: &str = "vouchsafe-dev-bundle";

fn empty(attacker: &Attacker<'_>) -> anyhow::Result<()> {
    for blob in attacker.blobs()?.iter().filter(|name| name.starts_with("log/")) {
        attacker.blob("DELETE", &format!("/{blob}"), "")?;
    }
    Ok(())
}

#[test]
fn without_its_lock_an_emptied_store_is_no_new_beginning() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let birth = attacker.history(BUNDLE)?.first().cloned().context("birth bundle")?;
    let lock = deployment.state().join("lock.toml");
    std::fs::remove_file(&lock)?;

    // Alone, a lost lock is made again.
    deployment.deploy()?.well()?;
    ensure!(lock.is_file(), "the lock is made again");
    std::fs::remove_file(&lock)?;

    empty(&attacker)?;
    attacker.set_secret(BUNDLE, &birth)?;
    let refused = deployment.deploy()?.with(3)?;
    ensure!(refused.text().contains("is not in its container"), "{}", refused.text());

    // The versions that tell cannot be hidden either.
    attacker.disable_versions(BUNDLE)?;
    let refused = deployment.deploy()?.with(3)?;
    ensure!(refused.text().contains("cannot be read"), "{}", refused.text());
    Ok(())
}

/// A checkout may have a lock of long ago: what somebody put back is not older than that.
#[test]
fn with_an_old_lock_the_highest_serial_counts_all_the_same() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let lock = deployment.state().join("lock.toml");
    let old_lock = std::fs::read_to_string(&lock)?;

    // Each time a birth bundle is put back the next serial is signed over it: 3, then 4.
    let birth = attacker.history(BUNDLE)?.first().cloned().context("birth bundle")?;
    for _ in 0..2 {
        attacker.set_secret(BUNDLE, &birth)?;
        deployment.deploy()?.well()?;
    }
    let bundles = attacker.history(BUNDLE)?;
    let [.., third, _] = bundles.as_slice() else { anyhow::bail!("four bundles") };

    attacker.set_secret(BUNDLE, third)?;
    std::fs::write(&lock, &old_lock)?;
    let deployed = deployment.deploy()?.well()?;
    ensure!(deployed.text().contains("serial 3 was put back over serial 4"), "{}", deployed.text());
    let lock = std::fs::read_to_string(&lock)?;
    ensure!(lock.contains("serial = 5"), "{lock}");
    Ok(())
}

#[test]
fn a_store_of_before_a_destroy_does_not_become_the_next_one() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", "of long ago")?;
    let mut old = Vec::new();
    {
        let attacker = Attacker::new(deployment.cloud())?;
        for name in attacker.blobs()? {
            if name.starts_with("log/") || name.starts_with("recovery/") {
                old.push((name.clone(), attacker.blob_bytes(&name)?));
            }
        }
    }
    deployment.provisioner("destroy", &["--yes", "dev"])?.well()?;
    deployment.deploy()?.well()?;

    // The vault was recovered, with the master key and the old shares: the old store opens. But it was born under
    // another bundle than the one that permits a birth here.
    let attacker = Attacker::new(deployment.cloud())?;
    let bundles = attacker.history(BUNDLE)?;
    let birth = bundles.iter().rev().nth(1).context("the second birth bundle")?;
    empty(&attacker)?;
    for (name, bytes) in old {
        attacker.put_blob(&name, bytes)?;
    }
    attacker.set_secret(BUNDLE, birth)?;
    attacker.restart()?;
    attacker.never_serves()?;
    let log = owner::server_log(deployment.cloud())?;
    ensure!(log.contains("was not born under the bundle in force"), "{log}");
    Ok(())
}
