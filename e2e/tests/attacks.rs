//! An attacker with every right of a subscription owner, but neither a signer's key nor the master
//! key: whatever it writes, no server serves it. What it reads is in `secrets.rs`, what it does with keys in `keys.rs`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::attacker::{Attacker, serial};
use e2e::deployment::Deployment;
use e2e::owner::{self, SUBSCRIPTION};
use e2e::vault::Vault;
use serde_json::{Value, json};

const SECRET: &str = "the value that nobody may see";

fn deployed_with_a_secret() -> anyhow::Result<Deployment> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", SECRET)?;
    Ok(deployment)
}

#[test]
fn a_foreign_or_older_bundle_never_makes_a_server_serve() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let bundles = attacker.history("vouchsafe-dev-bundle")?;
    let (birth, current) =
        (bundles.first().context("birth bundle")?, bundles.last().context("bundle")?);
    ensure!(serial(birth) < serial(current), "the birth bundle has a lower serial");

    // Running: not taken over.
    let forged = format!("{}x", current);
    for bundle in [birth.as_str(), forged.as_str(), "not a bundle"] {
        attacker.set_secret("vouchsafe-dev-bundle", bundle)?;
        std::thread::sleep(Duration::from_secs(3));
        ensure!(
            deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET,
            "what is in force stays"
        );
    }
    // Started on it: the store has seen a higher serial.
    for bundle in ["not a bundle", birth.as_str()] {
        attacker.set_secret("vouchsafe-dev-bundle", bundle)?;
        attacker.restart()?;
        attacker.never_serves()?;
    }
    // Repaired, it serves what it had.
    attacker.set_secret("vouchsafe-dev-bundle", current)?;
    attacker.restart()?;
    deployment.deploy()?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}

#[test]
fn an_emptied_store_is_never_replaced_by_a_new_one() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let birth =
        attacker.history("vouchsafe-dev-bundle")?.first().cloned().context("birth bundle")?;
    for blob in attacker.blobs()?.iter().filter(|name| name.starts_with("log/")) {
        attacker.blob("DELETE", &format!("/{blob}"), "")?;
    }
    // Under the confirmed bundle the store is gone; under the birth bundle a store may be born, but
    // nobody confirms it.
    attacker.restart()?;
    attacker.never_serves()?;
    attacker.set_secret("vouchsafe-dev-bundle", &birth)?;
    attacker.restart()?;
    attacker.never_serves()?;
    ensure!(deployment.demo(&[])?.code != Some(0), "an agent gets nothing");
    ensure!(deployment.deploy()?.code != Some(0), "the provisioner does not confirm it");
    attacker.never_serves()?;
    Ok(())
}

/// Another store, sound in itself, with its shares: what an attacker makes with a deployment of its own.
#[test]
fn a_foreign_store_is_not_served() -> anyhow::Result<()> {
    let (deployment, foreign) = (deployed_with_a_secret()?, Deployment::deployed()?);
    let (here, there) = (Attacker::new(deployment.cloud())?, Attacker::new(foreign.cloud())?);
    let birth = here.history("vouchsafe-dev-bundle")?.first().cloned().context("birth bundle")?;
    for blob in here.blobs()?.iter().filter(|name| name.starts_with("log/")) {
        here.blob("DELETE", &format!("/{blob}"), "")?;
    }
    for blob in there
        .blobs()?
        .iter()
        .filter(|name| name.starts_with("log/") || name.starts_with("recovery/"))
    {
        here.put_blob(blob, there.blob_bytes(blob)?)?;
    }
    let listed = there.vault("GET", "secrets", &Value::Null)?;
    for item in listed.get("value").and_then(Value::as_array).into_iter().flatten() {
        let name = item
            .get("id")
            .and_then(Value::as_str)
            .and_then(|id| id.rsplit('/').next())
            .context("id")?;
        if name.starts_with("unseal-") || name.starts_with("anchor-") {
            for value in there.history(name)? {
                here.set_secret(name, &value)?;
            }
        }
    }
    // Under the confirmed bundle its identity is wrong; under the birth bundle its shares are not
    // made by a holder of this master key.
    here.restart()?;
    here.never_serves()?;
    here.set_secret("vouchsafe-dev-bundle", &birth)?;
    here.restart()?;
    here.never_serves()?;
    ensure!(deployment.demo(&[])?.code != Some(0), "an agent gets nothing");
    Ok(())
}

#[test]
fn a_provider_made_anew_with_another_policy_gains_nothing() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let provider = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/vouchsafe-dev/providers/Microsoft.Attestation/attestationProviders/vouchsafedev"
    );
    attacker.arm("DELETE", &provider, "2021-06-01", &Value::Null)?;
    let body = json!({"location": "westeurope", "properties": {}});
    attacker.arm("PUT", &provider, "2021-06-01", &body)?;
    // Its default policy permits everything.
    attacker.restart()?;
    attacker.never_serves()
}

#[test]
fn other_artefacts_shares_and_key_versions_are_not_used() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let listed = attacker.vault("GET", "secrets", &Value::Null)?;
    for item in listed.get("value").and_then(Value::as_array).into_iter().flatten() {
        let id = item.get("id").and_then(Value::as_str).context("id")?;
        let name = id.rsplit('/').next().unwrap_or_default();
        if name.starts_with("unseal-")
            || name.starts_with("vouchsafe-dev-tls")
            || name == "vouchsafe-dev-storage-key"
        {
            attacker.set_secret(name, "put there by somebody else")?;
        }
    }
    // Newer versions count for nothing: documents name exact versions and hashes.
    attacker.restart()?;
    attacker.serves()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}

/// Whoever may write the store's container puts another manifest where a running server reads it.
#[test]
fn a_manifest_that_is_not_signed_or_goes_back_is_refused_and_the_old_one_stays()
-> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let first = attacker.blob_bytes(MANIFEST)?;
    deployment.change("revision = 1", "revision = 2")?;
    deployment.deploy()?.well()?;
    let current = attacker.blob_bytes(MANIFEST)?;
    ensure!(first != current, "another revision");

    let text = String::from_utf8(current.clone())?;
    let [head, body, signature] = text.split('.').collect::<Vec<_>>()[..] else {
        anyhow::bail!("a compact JWS: {text}")
    };
    let changed = String::from_utf8(URL_SAFE_NO_PAD.decode(body)?)?
        .replace("readers = [\\\"demo\\\"]", "readers = [\\\"demo\\\", \\\"evil\\\"]");
    let changed = URL_SAFE_NO_PAD.encode(changed);
    ensure!(changed != body, "another reader");
    let mut spoilt = URL_SAFE_NO_PAD.decode(signature)?;
    *spoilt.last_mut().context("a signature")? ^= 1;
    let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"vouchsafe-manifest"}"#);
    let bundle = attacker.history("vouchsafe-dev-bundle")?.pop().context("a bundle")?;
    let old = String::from_utf8(first)?;
    let cases = [
        ("another content", format!("{head}.{changed}.{signature}")),
        ("a spoilt signature", format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(spoilt))),
        ("no signature", format!("{unsigned}.{changed}.")),
        ("another document of a signer", bundle),
        ("no document", "not a manifest".to_owned()),
        ("an older revision, well signed", old.clone()),
    ];
    let logged = || owner::server_log(deployment.cloud());
    for (what, put) in cases {
        let before = logged()?.matches(REFUSED).count();
        attacker.put_blob(MANIFEST, put.into_bytes())?;
        let until = Instant::now() + Duration::from_secs(20);
        while logged()?.matches(REFUSED).count() == before {
            ensure!(Instant::now() < until, "{what}: the server does not tell of it");
            std::thread::sleep(Duration::from_millis(200));
        }
        ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET, "{what}");
        // It is drift, not what is wanted.
        ensure!(deployment.provisioner("plan", &[])?.code == Some(2), "{what}: no drift");
        // What is right again is not refused.
        attacker.put_blob(MANIFEST, current.clone())?;
        std::thread::sleep(Duration::from_secs(2));
    }
    deployment.provisioner("verify", &[])?.well()?;
    // A server that starts on an older one does not serve either.
    for put in [old, "not a manifest".to_owned()] {
        attacker.put_blob(MANIFEST, put.into_bytes())?;
        attacker.restart()?;
        attacker.never_serves()?;
    }
    deployment.deploy()?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}

/// Where a running server reads the manifest.
const MANIFEST: &str = "manifest/current";
/// What it says on its standard output then.
const REFUSED: &str = "refused or unavailable; what is in force stays";

/// Whoever may write the storage, and not the vault, puts an older state of the store back.
#[test]
fn an_older_store_or_one_without_its_anchor_is_not_served() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let everything = || -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let names = attacker.blobs()?.into_iter().filter(|name| !name.starts_with("deploy/"));
        names.map(|name| Ok((name.clone(), attacker.blob_bytes(&name)?))).collect()
    };
    let put_back = |blobs: &[(String, Vec<u8>)]| -> anyhow::Result<()> {
        for name in attacker.blobs()?.iter().filter(|name| !name.starts_with("deploy/")) {
            attacker.blob("DELETE", &format!("/{name}"), "")?;
        }
        blobs.iter().try_for_each(|(name, bytes)| attacker.put_blob(name, bytes.clone()))
    };
    let stop = |action: &str| -> anyhow::Result<()> {
        let path = format!("{}/{action}", attacker.group()?);
        attacker.arm("POST", &path, "2023-05-01", &Value::Null).map(drop)
    };
    let older = everything()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "the newer value")?;
    // A server that is told to stop anchors what it has acknowledged.
    stop("stop")?;
    let newer = everything()?;
    ensure!(older.len() < newer.len(), "commits were added");

    put_back(&older)?;
    stop("start")?;
    attacker.never_serves()?;
    ensure!(deployment.demo(&[])?.code != Some(0), "an agent gets nothing");
    put_back(&newer)?;
    attacker.restart()?;
    attacker.serves()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "the newer value");

    // With the vault's rights the anchor can be taken away too; without it nothing is served either.
    let names = attacker.names("secrets")?;
    let anchor = names.iter().find(|name| name.starts_with("anchor-")).context("an anchor")?;
    attacker.vault("DELETE", &format!("secrets/{anchor}"), &Value::Null)?;
    attacker.restart()?;
    attacker.never_serves()?;
    attacker.vault("POST", &format!("deletedsecrets/{anchor}/recover"), &Value::Null)?;
    attacker.restart()?;
    attacker.serves()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "the newer value");
    Ok(())
}
