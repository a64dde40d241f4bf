//! An attacker with every right of a subscription owner, but neither a signer's key nor the master
//! key: whatever it writes, no server serves it, and what it reads holds no secret.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::cloud::wait_for;
use e2e::deployment::Deployment;
use e2e::owner::{
    self, ATTESTATION_CONTRIBUTOR, BLOB_CONTRIBUTOR, SUBSCRIPTION, VAULT_ADMINISTRATOR,
};
use e2e::vault::Vault;
use serde_json::{Value, json};

const VAULT: &str = "https://vouchsafe-dev.vault.azure.net";
const BLOB: &str = "https://vouchsafedev.blob.core.windows.net/vouchsafe";
const SECRET: &str = "the value that nobody may see";

/// The attacker's hands.
struct Attacker<'a> {
    deployment: &'a Deployment,
    arm: String,
    vault: String,
    storage: String,
}

impl<'a> Attacker<'a> {
    fn new(deployment: &'a Deployment) -> anyhow::Result<Self> {
        let cloud = deployment.cloud();
        for role in [VAULT_ADMINISTRATOR, BLOB_CONTRIBUTOR, ATTESTATION_CONTRIBUTOR] {
            owner::grant(cloud, role)?;
        }
        Ok(Self {
            deployment,
            arm: owner::token(cloud, "https://management.azure.com/")?,
            vault: owner::token(cloud, "https://vault.azure.net")?,
            storage: owner::token(cloud, "https://storage.azure.com")?,
        })
    }

    fn arm(&self, method: &str, path: &str, version: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("https://management.azure.com{path}?api-version={version}");
        owner::call(self.deployment.cloud(), &self.arm, method, &url, body)
    }

    fn vault(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{VAULT}/{path}?api-version=7.4");
        owner::call(self.deployment.cloud(), &self.vault, method, &url, body)
    }

    fn set_secret(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.vault("PUT", &format!("secrets/{name}"), &json!({"value": value})).map(drop)
    }

    /// Every version's value, oldest first.
    fn history(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let listed = self.vault("GET", &format!("secrets/{name}/versions"), &Value::Null)?;
        let mut versions: Vec<(i64, String)> = Vec::new();
        for item in listed.get("value").and_then(Value::as_array).into_iter().flatten() {
            let id = item.get("id").and_then(Value::as_str).context("id")?;
            let path = id.split(".net/").nth(1).context("path")?;
            let got = self.vault("GET", path, &Value::Null)?;
            let created = got.pointer("/attributes/created").and_then(Value::as_i64).unwrap_or(0);
            let value = got.get("value").and_then(Value::as_str).context("value")?;
            versions.push((created, value.to_owned()));
        }
        // Several may be of one second: a bundle's serial says more than its time.
        versions.sort_by_key(|(created, value)| (serial(value), *created));
        Ok(versions.into_iter().map(|(_, value)| value).collect())
    }

    fn blob(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let client = self.deployment.cloud().client()?;
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = client
            .request(method, format!("{BLOB}{path}"))
            .bearer_auth(&self.storage)
            .header("x-ms-version", "2023-11-03")
            .header("x-ms-blob-type", "BlockBlob")
            .body(body.to_owned());
        wait_for(async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        })
    }

    fn blob_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let client = self.deployment.cloud().client()?;
        let request = client
            .get(format!("{BLOB}/{path}"))
            .bearer_auth(&self.storage)
            .header("x-ms-version", "2023-11-03");
        wait_for(async { Ok(request.send().await?.error_for_status()?.bytes().await?.to_vec()) })
    }

    fn put_blob(&self, path: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let client = self.deployment.cloud().client()?;
        let request = client
            .put(format!("{BLOB}/{path}"))
            .bearer_auth(&self.storage)
            .header("x-ms-version", "2023-11-03")
            .header("x-ms-blob-type", "BlockBlob")
            .body(bytes);
        wait_for(async { Ok(request.send().await?.error_for_status().map(drop)?) })
    }

    fn blobs(&self) -> anyhow::Result<Vec<String>> {
        let (status, text) = self.blob("GET", "?restype=container&comp=list", "")?;
        ensure!(status == 200, "{status}: {text}");
        Ok(text
            .split("<Name>")
            .skip(1)
            .filter_map(|part| part.split_once("</Name>"))
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    fn group(&self) -> anyhow::Result<String> {
        let path = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/vouchsafe-dev/providers/Microsoft.ContainerInstance/containerGroups"
        );
        let listed = self.arm("GET", &path, "2023-05-01", &Value::Null)?;
        listed
            .pointer("/value/0/id")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .context("no container group")
    }

    fn restart(&self) -> anyhow::Result<()> {
        let group = self.group()?;
        self.arm("POST", &format!("{group}/stop"), "2023-05-01", &Value::Null)?;
        self.arm("POST", &format!("{group}/start"), "2023-05-01", &Value::Null).map(drop)
    }

    /// Looks for as long as a healthy boot takes several times over; a server never serves.
    fn never_serves(&self) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            ensure!(health(self.deployment.cloud().address()) != Some(200), "a server serves");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// The serial in a bundle's text; 0 for another text.
fn serial(text: &str) -> u64 {
    let payload = text.split('.').nth(1).and_then(|part| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()
    });
    let body: Option<Value> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    body.and_then(|body| body.get("serial")?.as_u64()).unwrap_or(0)
}

/// The health that a server tells, if one answers.
fn health(address: Ipv4Addr) -> Option<u16> {
    let client =
        reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().ok()?;
    let asked = wait_for(async {
        let url = format!("https://{address}:8200/v1/sys/health");
        Ok(client.get(url).timeout(Duration::from_secs(1)).send().await?.status().as_u16())
    });
    asked.ok()
}

fn deployed_with_a_secret() -> anyhow::Result<Deployment> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", SECRET)?;
    Ok(deployment)
}

#[test]
fn what_an_owner_reads_holds_no_secret() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(&deployment)?;
    let mut read = String::new();
    let group = attacker.group()?;
    let resources = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/vouchsafe-dev/resources");
    read += &attacker.arm("GET", &resources, "2021-04-01", &Value::Null)?.to_string();
    read += &attacker.arm("GET", &group, "2023-05-01", &Value::Null)?.to_string();
    let name = group.rsplit('/').next().unwrap_or_default();
    let group_body = attacker.arm("GET", &group, "2023-05-01", &Value::Null)?;
    for container in
        group_body.pointer("/properties/containers").and_then(Value::as_array).into_iter().flatten()
    {
        let container = container.get("name").and_then(Value::as_str).unwrap_or(name);
        read += &attacker
            .arm(
                "GET",
                &format!("{group}/containers/{container}/logs"),
                "2023-05-01",
                &Value::Null,
            )?
            .to_string();
    }
    let listed = attacker.vault("GET", "secrets", &Value::Null)?;
    let mut secrets = 0;
    for item in listed.get("value").and_then(Value::as_array).into_iter().flatten() {
        let id = item.get("id").and_then(Value::as_str).context("id")?;
        for value in attacker.history(id.rsplit('/').next().unwrap_or_default())? {
            read += &value;
            secrets += 1;
        }
    }
    ensure!(secrets >= 9, "bundle, three artefacts, five shares: {secrets}");
    for blob in attacker.blobs()? {
        read += &attacker.blob("GET", &format!("/{blob}"), "")?.1;
    }
    ensure!(!read.contains(SECRET), "the secret's value");
    ensure!(!read.contains("BEGIN PRIVATE KEY"), "a private key");
    let keys = attacker.arm(
        "POST",
        &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/vouchsafe-dev/providers/Microsoft.Storage/storageAccounts/vouchsafedev/listKeys"),
        "2023-05-01",
        &Value::Null,
    )?;
    for key in keys.get("keys").and_then(Value::as_array).into_iter().flatten() {
        let key = key.get("value").and_then(Value::as_str).context("key")?;
        ensure!(!read.contains(key), "a storage key");
    }
    Ok(())
}

#[test]
fn the_vault_opens_nothing_that_is_wrapped() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(&deployment)?;
    let listed = attacker.vault("GET", "keys", &Value::Null)?;
    let kid = listed.pointer("/value/0/kid").and_then(Value::as_str).context("a master key")?;
    let name = kid.rsplit('/').next().unwrap_or_default();
    let key = attacker.vault("GET", &format!("keys/{name}"), &Value::Null)?;
    let id = key.pointer("/key/kid").and_then(Value::as_str).context("kid")?;
    let path = id.split(".net/").nth(1).context("path")?;
    ensure!(key.pointer("/key/d").is_none(), "the private half is not shown");
    for operation in ["decrypt", "unwrapkey"] {
        for alg in ["RSA-OAEP-256", "RSA-OAEP", "RSA1_5", "A256KW"] {
            let url = format!("{VAULT}/{path}/{operation}?api-version=7.4");
            let body = json!({"alg": alg, "value": "AAAA"});
            let (status, answer) =
                owner::ask(deployment.cloud(), &attacker.vault, "POST", &url, &body)?;
            ensure!((400..500).contains(&status), "{operation} {alg}: {status}: {answer}");
        }
    }
    Ok(())
}

#[test]
fn a_foreign_or_older_bundle_never_makes_a_server_serve() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(&deployment)?;
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
    let attacker = Attacker::new(&deployment)?;
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
    let (here, there) = (Attacker::new(&deployment)?, Attacker::new(&foreign)?);
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
    let attacker = Attacker::new(&deployment)?;
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
    let attacker = Attacker::new(&deployment)?;
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
    let until = Instant::now() + Duration::from_secs(30);
    while health(deployment.cloud().address()) != Some(200) {
        ensure!(Instant::now() < until, "the server does not serve");
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}
