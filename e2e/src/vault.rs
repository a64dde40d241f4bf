//! A stock client of the Vault-compatible API: HTTP and JSON, believing the TLS certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::cloud::wait_for;

/// A client with an operator's token.
#[derive(Debug)]
pub struct Vault {
    address: String,
    token: String,
    client: reqwest::Client,
}

/// Status and body of an answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The JSON, or null.
    pub body: Value,
}

impl Vault {
    /// A client from the variables that `env` prints.
    ///
    /// # Errors
    /// A variable is missing, or the certificate is not one.
    pub fn new(variables: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let variable = |name: &str| variables.get(name).cloned().with_context(|| name.to_owned());
        let authority = std::fs::read(variable("VAULT_CACERT")?)?;
        let client = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority)?)
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { address: variable("VAULT_ADDR")?, token: variable("VAULT_TOKEN")?, client })
    }

    /// One call below `/v1/`; `null` stands for no body.
    ///
    /// # Errors
    /// No answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.ask(method, &format!("v1/{path}"), body)
    }

    /// Why a request was refused: the record in the audit log.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn explain(&self, id: &str) -> anyhow::Result<Value> {
        let path = format!("vouchsafe/v1/refusals/{id}");
        let answer = self.ask("GET", &path, &Value::Null)?;
        anyhow::ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.body)
    }

    /// The audit log from a record on, as it is verified offline.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn audit(&self, from: u64) -> anyhow::Result<Value> {
        let path = format!("vouchsafe/v1/audit?from={from}");
        let answer = self.ask("GET", &path, &Value::Null)?;
        anyhow::ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let method = Method::from_bytes(method.as_bytes())?;
        let mut request = self
            .client
            .request(method, format!("{}/{path}", self.address))
            .header("x-vault-token", &self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        wait_for(async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let bytes = response.bytes().await?;
            Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
        })
    }

    /// Writes the field `value` of a secret.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn write(&self, path: &str, value: &str) -> anyhow::Result<()> {
        let body = serde_json::json!({"data": {"value": value}});
        let answer = self.call("POST", &format!("secret/data/{path}"), &body)?;
        anyhow::ensure!(answer.status == 200, "writing {path}: {answer:?}");
        Ok(())
    }

    /// Reads the field `value` of a secret.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn read(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.call("GET", &format!("secret/data/{path}"), &Value::Null)?;
        anyhow::ensure!(answer.status == 200, "reading {path}: {answer:?}");
        let value = answer.body.pointer("/data/data/value").and_then(Value::as_str);
        value.map(str::to_owned).context("no value")
    }
}
