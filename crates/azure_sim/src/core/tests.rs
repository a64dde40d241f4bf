//! Over real sockets: TLS, dispatch, faults, proxy, shutdown.

use std::time::Duration;

use reqwest::{Certificate, Client, Proxy};
use serde_json::{Value, json};

use super::server::{Addresses, start};
use crate::bench::{Bench, GROUP};

struct Wire {
    bench: Bench,
    addresses: Addresses,
    client: Client,
}

const SECRET: &str = "https://v.vault.azure.net/secrets/s?api-version=7.4";

impl Wire {
    async fn new() -> Self {
        let bench = Bench::new().with_vault(|_| {}).with_running_identity(1);
        bench.grant(
            "00482a5a-887f-4fb3-b363-3b7fe8e74483",
            &format!("{GROUP}/providers/Microsoft.KeyVault/vaults/v"),
        );
        let addresses = start(&bench.cloud).await.unwrap();
        let mut client = builder(&bench);
        for host in ["v.vault.azure.net", "control.local", "login.microsoftonline.com"] {
            client = client.resolve(host, addresses.cloud);
        }
        Self { client: client.no_proxy().build().unwrap(), bench, addresses }
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let token =
            std::fs::read_to_string(self.bench.cloud.directory().join("control-token")).unwrap();
        let request = self
            .client
            .request(method.parse().unwrap(), url("control.local", self.addresses, path));
        let answer = request.bearer_auth(token).body(body.to_string()).send().await.unwrap();
        (
            answer.status().as_u16(),
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null),
        )
    }

    async fn set(&self, token: &str) -> Result<u16, reqwest::Error> {
        let request =
            self.client.put(url("v.vault.azure.net", self.addresses, "/secrets/s?api-version=7.4"));
        let answer = request.bearer_auth(token).body(r#"{"value":"x"}"#).send().await?;
        Ok(answer.status().as_u16())
    }
}

fn builder(bench: &Bench) -> reqwest::ClientBuilder {
    let ca = std::fs::read(bench.cloud.directory().join("ca.pem")).unwrap();
    Client::builder()
        .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
        .timeout(Duration::from_secs(20))
}

fn url(host: &str, addresses: Addresses, path: &str) -> String {
    format!("https://{host}:{}{path}", addresses.cloud.port())
}

#[tokio::test]
async fn hosts_are_served_under_their_names_with_the_whole_chain() {
    let wire = Wire::new().await;
    let answer = wire
        .client
        .get(url("v.vault.azure.net", wire.addresses, "/secrets/s"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(
        answer.headers().contains_key("www-authenticate")
            && answer.headers().contains_key("x-ms-request-id")
    );
    // A name that is not of this cloud gets no certificate.
    let client = builder(&wire.bench)
        .resolve("example.com", wire.addresses.cloud)
        .no_proxy()
        .build()
        .unwrap();
    assert!(client.get(url("example.com", wire.addresses, "/")).send().await.is_err());
    // One that has a certificate still cannot ask for another host in its request.
    let request = wire
        .client
        .get(url("v.vault.azure.net", wire.addresses, "/"))
        .header("host", "example.com");
    assert_eq!(request.send().await.unwrap().status(), 421);
}

#[tokio::test]
async fn instance_metadata_is_plain_http_and_wants_its_header() {
    let wire = Wire::new().await;
    let address = format!(
        "http://{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net",
        wire.addresses.imds
    );
    assert_eq!(wire.client.get(&address).send().await.unwrap().status(), 400);
    let answer = wire
        .client
        .get(&address)
        .header("Metadata", "true")
        .header("host", "169.254.169.254")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_proxy_leads_to_this_cloud_and_nowhere_else() {
    let wire = Wire::new().await;
    let client = builder(&wire.bench)
        .proxy(Proxy::all(format!("http://{}", wire.addresses.proxy)).unwrap())
        .build()
        .unwrap();
    assert_eq!(client.get(SECRET).send().await.unwrap().status(), 401);
    assert!(client.get("https://example.com/").send().await.is_err());
}

#[tokio::test]
async fn faults_strike_as_the_script_says() {
    let wire = Wire::new().await;
    let token = wire.bench.token(&wire.bench.administrator, "https://vault.azure.net").await;
    let script = async |action: Value| {
        let rule = json!([{"family": "keyvault", "method": "PUT", "path": "/secrets/*", "nth": 2, "action": action}]);
        assert_eq!(wire.control("PUT", "/faults", rule).await.0, 204);
        let versions = || {
            wire.bench.cloud.keyvault.read(|state| {
                state
                    .vaults
                    .get("v")
                    .and_then(|vault| vault.secrets.get("S").map(|secret| secret.versions.len()))
                    .unwrap_or(0)
            })
        };
        let before = versions();
        let said = [wire.set(&token).await, wire.set(&token).await, wire.set(&token).await]
            .map(Result::ok);
        (said, versions() - before)
    };
    assert_eq!(
        script(json!({"kind": "throttle", "retry_after": 3})).await,
        ([Some(200), Some(429), Some(200)], 2)
    );
    assert_eq!(
        script(json!({"kind": "status", "status": 500})).await,
        ([Some(200), Some(500), Some(200)], 2)
    );
    assert_eq!(
        script(json!({"kind": "stall", "ms": 5})).await,
        ([Some(200), Some(200), Some(200)], 3)
    );
    // Cut: not done. Lost response: done. The client sees the same.
    assert_eq!(script(json!({"kind": "cut"})).await, ([Some(200), None, Some(200)], 2));
    assert_eq!(script(json!({"kind": "lose-response"})).await, ([Some(200), None, Some(200)], 3));
    let (_, faults) = wire.control("GET", "/faults", Value::Null).await;
    assert_eq!(faults[0]["seen"], 3);
    let (_, counts) = wire.control("GET", "/counts", Value::Null).await;
    assert_eq!(counts["keyvault.secrets.set"], json!({"calls": 12, "ok": 12}));
}

#[tokio::test]
async fn the_control_host_wants_its_token_and_makes_principals() {
    let wire = Wire::new().await;
    let answer =
        wire.client.get(url("control.local", wire.addresses, "/counts")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let (status, who) = wire.control("POST", "/principals", json!({"name": "someone"})).await;
    assert_eq!(status, 200);
    let who = serde_json::from_value(who).unwrap();
    wire.bench.token(&who, "https://vault.azure.net").await;
    assert_eq!(wire.control("POST", "/principals", json!({"nome": "x"})).await.0, 400);
}

#[tokio::test]
async fn shutdown_frees_the_ports() {
    let wire = Wire::new().await;
    assert_eq!(wire.control("POST", "/shutdown", Value::Null).await.0, 202);
    wire.bench.cloud.stopped().await;
    let mut closed = false;
    for _ in 0..200 {
        closed = tokio::net::TcpStream::connect(wire.addresses.cloud).await.is_err();
        if closed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(closed);
}

#[tokio::test]
async fn files_that_hold_secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    for name in ["service-principal.json", "control-token", "entra.json", "keys/entra.p8"] {
        let mode =
            std::fs::metadata(bench.cloud.directory().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
