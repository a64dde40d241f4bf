//! The doors as Python's client of Vault meets them; the calls and what is expected of them are in `e2e/peers/vault_hvac.py`.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::world::World;

#[tokio::test]
async fn peer_hvac_reads_writes_and_is_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join("target/peers/bin/python");
    assert!(python.is_file(), "the Python peers are not installed; run `cargo xtask setup`");
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, forged_root::tls_ca().certificate_pem).unwrap();
    let world = World::new().await;
    let output = Command::new(python)
        .arg("-B")
        .arg(root.join("e2e/peers/vault_hvac.py"))
        .env_clear()
        .env("VAULT_ADDR", format!("https://localhost:{}", world.address.port()))
        .env("VAULT_CACERT", &authority)
        .env("VAULT_TOKEN", world.operator().await)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.ends_with(" calls checked\n"), "{told}");
}
