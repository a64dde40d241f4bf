//! Whoever owns the subscription and gives itself every right on every data plane, by plain HTTP.
//!
//! It has neither a signer's key nor the master key. Tests play attacks with it, and look with it at what is there.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::cloud::{Cloud, wait_for};
use crate::owner::{self, ATTESTATION_CONTRIBUTOR, BLOB_CONTRIBUTOR, VAULT_ADMINISTRATOR};

/// The attacker's hands.
#[derive(Debug)]
pub struct Attacker<'a> {
    cloud: &'a Cloud,
    arm: String,
    vault: String,
    storage: String,
}

impl<'a> Attacker<'a> {
    /// Takes every role.
    ///
    /// # Errors
    /// Azure refuses.
    pub fn new(cloud: &'a Cloud) -> anyhow::Result<Self> {
        for role in [VAULT_ADMINISTRATOR, BLOB_CONTRIBUTOR, ATTESTATION_CONTRIBUTOR] {
            owner::grant(cloud, role)?;
        }
        Ok(Self {
            cloud,
            arm: owner::token(cloud, "https://management.azure.com/")?,
            vault: owner::token(cloud, "https://vault.azure.net")?,
            storage: owner::token(cloud, "https://storage.azure.com")?,
        })
    }

    /// A call of the resource manager.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn arm(
        &self,
        method: &str,
        path: &str,
        version: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let url = format!("https://management.azure.com{path}?api-version={version}");
        owner::call(self.cloud, &self.arm, method, &url, body)
    }

    /// A call of the deployment's vault.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn vault(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.ask_vault(method, path, body)?;
        ensure!(status < 400, "{method} {path}: {status}: {answer}");
        Ok(answer)
    }

    /// As [`Self::vault`], with whatever status.
    ///
    /// # Errors
    /// No answer.
    pub fn ask_vault(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(u16, Value)> {
        let url = format!("{VAULT}/{path}?api-version=7.4");
        owner::ask(self.cloud, &self.vault, method, &url, body)
    }

    /// The names in a list of the vault (`keys`, `secrets`, `deletedkeys`), all pages.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn names(&self, list: &str) -> anyhow::Result<Vec<String>> {
        Ok(self
            .list(list)?
            .iter()
            .filter_map(|item| item.get("id").or_else(|| item.get("kid"))?.as_str())
            .filter_map(|id| id.rsplit('/').next())
            .map(str::to_owned)
            .collect())
    }

    /// The items of a list of the vault, all pages.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn list(&self, list: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = Some(format!("{VAULT}/{list}?api-version=7.4"));
        while let Some(url) = next {
            let page = owner::call(self.cloud, &self.vault, "GET", &url, &Value::Null)?;
            items
                .extend(page.get("value").and_then(Value::as_array).into_iter().flatten().cloned());
            next = page.get("nextLink").and_then(Value::as_str).map(str::to_owned);
        }
        Ok(items)
    }

    /// Writes a version of a secret of the vault.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn set_secret(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.vault("PUT", &format!("secrets/{name}"), &json!({"value": value})).map(drop)
    }

    /// Every version's value of a secret of the vault, oldest first.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn history(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let mut versions: Vec<(i64, String)> = Vec::new();
        for item in self.list(&format!("secrets/{name}/versions"))? {
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

    /// Disables every version of a secret of the vault.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn disable_versions(&self, name: &str) -> anyhow::Result<()> {
        for item in self.list(&format!("secrets/{name}/versions"))? {
            let id = item.get("id").and_then(Value::as_str).context("id")?;
            let path = id.split(".net/").nth(1).context("path")?;
            self.vault("PATCH", path, &json!({"attributes": {"enabled": false}}))?;
        }
        Ok(())
    }

    /// Name and current version of the one master key.
    ///
    /// # Errors
    /// No answer, or there is not exactly one key.
    pub fn master_key(&self) -> anyhow::Result<(String, String)> {
        let names = self.names("keys")?;
        let [name] = names.as_slice() else { anyhow::bail!("one key: {names:?}") };
        let key = self.vault("GET", &format!("keys/{name}"), &Value::Null)?;
        let id = key.pointer("/key/kid").and_then(Value::as_str).context("kid")?;
        let version = id.rsplit('/').next().unwrap_or_default();
        Ok((name.clone(), version.to_owned()))
    }

    /// A call of the blob service below the deployment's container: status and text.
    ///
    /// # Errors
    /// No answer.
    pub fn blob(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let (status, bytes) = self.blob_call(method, path, body.as_bytes().to_vec())?;
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn blob_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let (status, bytes) = self.blob_call("GET", &format!("/{path}"), Vec::new())?;
        ensure!(status == 200, "{path}: {status}");
        Ok(bytes)
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn put_blob(&self, path: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let (status, told) = self.blob_call("PUT", &format!("/{path}"), bytes)?;
        ensure!(status == 201, "{path}: {status}: {}", String::from_utf8_lossy(&told));
        Ok(())
    }

    fn blob_call(&self, method: &str, path: &str, body: Vec<u8>) -> anyhow::Result<(u16, Vec<u8>)> {
        let client = self.cloud.client()?;
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = client
            .request(method, format!("{BLOB}{path}"))
            .bearer_auth(&self.storage)
            .header("x-ms-version", "2023-11-03")
            .header("x-ms-blob-type", "BlockBlob")
            .body(body);
        wait_for(async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.bytes().await?.to_vec()))
        })
    }

    /// The names of all blobs of the deployment's container.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn blobs(&self) -> anyhow::Result<Vec<String>> {
        let (status, text) = self.blob("GET", "?restype=container&comp=list", "")?;
        ensure!(status == 200, "{status}: {text}");
        Ok(text
            .split("<Name>")
            .skip(1)
            .filter_map(|part| part.split_once("</Name>"))
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    /// Everything in the registry: each manifest's text and each blob's bytes.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn images(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let client = self.cloud.client()?;
        let arm = self.arm.clone();
        wait_for(async {
            let form = format!("grant_type=access_token&service={REGISTRY}&access_token={arm}");
            let refresh = form_call(&client, "exchange", form, "refresh_token").await?;
            let pull = async |scope: &str| {
                let form = format!(
                    "grant_type=refresh_token&service={REGISTRY}&scope={scope}&refresh_token={refresh}"
                );
                form_call(&client, "token", form, "access_token").await
            };
            let get = async |token: &str, path: String| -> anyhow::Result<Vec<u8>> {
                let request = client.get(format!("https://{REGISTRY}/v2/{path}"));
                let answer = request.bearer_auth(token).send().await?.error_for_status()?;
                Ok(answer.bytes().await?.to_vec())
            };
            let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
            let catalog = pull("registry:catalog:*").await?;
            let catalog = json(&get(&catalog, "_catalog".to_owned()).await?)?;
            let mut found = Vec::new();
            for repository in strings(&catalog, "repositories") {
                let token = pull(&format!("repository:{repository}:pull")).await?;
                let tags = json(&get(&token, format!("{repository}/tags/list")).await?)?;
                for tag in strings(&tags, "tags") {
                    let text = get(&token, format!("{repository}/manifests/{tag}")).await?;
                    let manifest = json(&text)?;
                    found.push(text);
                    let layers = manifest.get("layers").and_then(Value::as_array);
                    let blobs = layers.into_iter().flatten().chain(manifest.get("config"));
                    for digest in blobs.filter_map(|blob| blob.get("digest")?.as_str()) {
                        found.push(get(&token, format!("{repository}/blobs/{digest}")).await?);
                    }
                }
            }
            Ok(found)
        })
    }

    /// The resource id of the one container group.
    ///
    /// # Errors
    /// There is none.
    pub fn group(&self) -> anyhow::Result<String> {
        let path = format!("{GROUP}/providers/Microsoft.ContainerInstance/containerGroups");
        let listed = self.arm("GET", &path, "2023-05-01", &Value::Null)?;
        listed
            .pointer("/value/0/id")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .context("no container group")
    }

    /// Starts the container group's containers anew.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn restart(&self) -> anyhow::Result<()> {
        let group = self.group()?;
        self.arm("POST", &format!("{group}/stop"), "2023-05-01", &Value::Null)?;
        self.arm("POST", &format!("{group}/start"), "2023-05-01", &Value::Null).map(drop)
    }

    /// Looks for as long as a healthy boot takes several times over; a server never serves.
    ///
    /// # Errors
    /// One serves.
    pub fn never_serves(&self) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            ensure!(health(self.cloud.address()) != Some(200), "a server serves");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Waits until a server serves.
    ///
    /// # Errors
    /// None does for half a minute.
    pub fn serves(&self) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while health(self.cloud.address()) != Some(200) {
            ensure!(Instant::now() < until, "the server does not serve");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// The serial in a bundle's text; 0 for another text.
#[must_use]
pub fn serial(text: &str) -> u64 {
    let payload = text.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let body: Option<Value> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    body.and_then(|body| body.get("serial")?.as_u64()).unwrap_or(0)
}

/// The health that a server tells, if one answers.
#[must_use]
pub fn health(address: Ipv4Addr) -> Option<u16> {
    let client =
        reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().ok()?;
    let asked = wait_for(async {
        let url = format!("https://{address}:8200/v1/sys/health");
        Ok(client.get(url).timeout(Duration::from_secs(1)).send().await?.status().as_u16())
    });
    asked.ok()
}

async fn form_call(
    client: &reqwest::Client,
    call: &str,
    form: String,
    wanted: &str,
) -> anyhow::Result<String> {
    let url = format!("https://{REGISTRY}/oauth2/{call}");
    let form =
        client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer: Value = form.send().await?.json().await?;
    let token = answer.get(wanted).and_then(Value::as_str).map(str::to_owned);
    token.with_context(|| format!("{call}: {answer}"))
}

fn strings(value: &Value, member: &str) -> Vec<String> {
    let list = value.get(member).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The resource group of `manifests/dev.toml`.
pub const GROUP: &str =
    "/subscriptions/5b5c0000-0000-4000-8000-000000000001/resourceGroups/vouchsafe-dev";
/// The vault of `manifests/dev.toml`.
pub const VAULT: &str = "https://vouchsafe-dev.vault.azure.net";
const BLOB: &str = "https://vouchsafedev.blob.core.windows.net/vouchsafe";
const REGISTRY: &str = "vouchsafedev.azurecr.io";
