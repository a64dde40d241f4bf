//! A local cloud of a test's own.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::address::Claim;
use crate::programs;

/// A running local cloud; it ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub struct Cloud {
    process: Process,
    claim: Claim,
    state: PathBuf,
    /// Where the state lies if nobody gave a place; removed at the end.
    _temporary: Option<TempDir>,
}

/// Who may do everything on the subscription (and nothing on a data plane).
#[derive(Clone, Debug, Deserialize)]
pub struct ServicePrincipal {
    /// Tenant.
    pub tenant: String,
    /// Application.
    pub client_id: String,
    /// Secret.
    pub client_secret: String,
    /// Principal that role assignments name.
    pub oid: String,
}

/// A call of the control host.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    /// Ask.
    Get,
    /// Replace.
    Put,
    /// Add, or do.
    Post,
    /// Take away.
    Delete,
}

impl Cloud {
    /// Starts an empty cloud on an address of its own.
    ///
    /// # Errors
    /// The program is not built, or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("vs-").tempdir()?;
        let state = temporary.path().join("cloud");
        let mut cloud = Self::start_at(Claim::new()?, state)?;
        cloud._temporary = Some(temporary);
        Ok(cloud)
    }

    /// Starts a cloud on that address with the state of that directory, which stays when the cloud ends.
    ///
    /// # Errors
    /// The program is not built, or does not come up.
    pub fn start_at(claim: Claim, state: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
        let process = Process::start(claim.address(), &state)?;
        Ok(Self { process, claim, state, _temporary: None })
    }

    /// Ends the cloud and starts it again on the same address with the same state.
    ///
    /// # Errors
    /// It does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.end();
        self.process = Process::start(self.claim.address(), &self.state)?;
        Ok(())
    }

    /// Ends the cloud, lets its state be exchanged, and starts it again on the same address.
    ///
    /// # Errors
    /// The exchange's, or it does not come up.
    pub fn exchange(
        &mut self,
        exchange: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.process.end();
        exchange()?;
        self.process = Process::start(self.claim.address(), &self.state)?;
        Ok(())
    }

    /// Its loopback address; the ports are 8443 (HTTPS), 8444 (proxy), 8480 (instance metadata) and 8200 (for the server).
    pub fn address(&self) -> Ipv4Addr {
        self.claim.address()
    }

    /// Its state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Its log so far.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.state.join("log"))?)
    }

    /// The owner of the subscription.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn service_principal(&self) -> anyhow::Result<ServicePrincipal> {
        let path = self.state.join("service-principal.json");
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Calls the control host; `null` stands for no body.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn control(&self, verb: Verb, path: &str, body: &Value) -> anyhow::Result<Value> {
        let token = std::fs::read_to_string(self.state.join("control-token"))
            .context("reading the control token")?;
        let method = match verb {
            Verb::Get => reqwest::Method::GET,
            Verb::Put => reqwest::Method::PUT,
            Verb::Post => reqwest::Method::POST,
            Verb::Delete => reqwest::Method::DELETE,
        };
        let client = self.client()?;
        let url = format!("https://control.local{path}");
        wait_for(async {
            let mut request = client.request(method, url).bearer_auth(token.trim());
            if !body.is_null() {
                request = request.json(body);
            }
            let response = request.send().await?;
            let status = response.status();
            let bytes = response.bytes().await?;
            ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
            if bytes.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&bytes)?) }
        })
    }

    /// How often an operation (as `keyvault.keys.release`) was called and answered well.
    ///
    /// # Errors
    /// The control host does not answer.
    pub fn count(&self, operation: &str) -> anyhow::Result<u64> {
        let counts = self.control(Verb::Get, "/counts", &Value::Null)?;
        Ok(counts.get(operation).and_then(|count| count.get("ok")?.as_u64()).unwrap_or(0))
    }

    /// An HTTP client for which every host of Azure is this cloud.
    ///
    /// # Errors
    /// The certificate authority cannot be read.
    pub fn client(&self) -> anyhow::Result<reqwest::Client> {
        let authority = std::fs::read(self.state.join("ca.pem"))
            .context("reading the certificate authority of the local cloud")?;
        let authority = reqwest::Certificate::from_pem_bundle(&authority)?;
        let proxy = reqwest::Proxy::https(format!("http://{}:8444", self.address()))?;
        Ok(reqwest::Client::builder()
            .tls_certs_only(authority)
            .proxy(proxy)
            .timeout(Duration::from_secs(60))
            .build()?)
    }
}

/// Waits for a future from synchronous code, also where another runtime runs.
///
/// # Errors
/// The future's own.
pub fn wait_for<T: Send>(
    future: impl Future<Output = anyhow::Result<T>> + Send,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
        });
        match waiting.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("the future panicked"),
        }
    })
}

/// The program; stopped when dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn start(address: Ipv4Addr, state: &Path) -> anyhow::Result<Self> {
        let log = state.join("log");
        let file = std::fs::File::options().create(true).append(true).open(&log)?;
        let mut child = Command::new(programs::find("vouchsafe-azure-sim")?)
            .args(["run", "--address"])
            .arg(address.to_string())
            .arg("--state")
            .arg(state)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .context("starting the local cloud")?;
        let output = child.stdout.take();
        let process = Self(child);
        // One line when all listeners are up; nothing if it ended before.
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.is_empty() {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the local cloud did not come up:\n{log}");
        }
        Ok(process)
    }

    /// Asks it to stop, so that it stops what it started; ends it if it does not.
    fn end(&mut self) {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if asked.is_ok_and(|status| status.success()) {
            for _ in 0..POLLS {
                if !matches!(self.0.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(POLL);
            }
        }
        // Ended already, or beyond reach: nothing is left to do about it either way.
        let _ = self.0.kill().is_ok();
        let _ = self.0.wait().is_ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

const POLL: Duration = Duration::from_millis(20);
const POLLS: u32 = 500;
