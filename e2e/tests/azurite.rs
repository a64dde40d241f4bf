//! The store's conformance suite on Azurite, Microsoft's own emulator of Blob. It has no bearer tokens over plain http, so the account's key it is.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::address::Claim;
use e2e::peer;
use object_store::azure::MicrosoftAzureBuilder;

// `cfg(test)` says to the lints that helpers are tests too.
#[cfg(test)]
#[path = "../../crates/store/tests/conformance/mod.rs"]
mod conformance;

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(address: Ipv4Addr, state: &std::path::Path) -> Running {
    let mut command = peer::node("azurite-blob").unwrap();
    command.args(["--blobHost", &address.to_string(), "--blobPort", "10000", "--silent"]);
    command.arg("--location").arg(state).args(["--skipApiVersionCheck", "--disableTelemetry"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(SocketAddr::from((address, 10000))).is_err() {
        assert!(Instant::now() < until, "azurite does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_azurite_conforms() {
    let claim = Claim::new().unwrap();
    let state = tempfile::tempdir().unwrap();
    let _running = start(claim.address(), state.path());
    let endpoint = format!("http://{}:10000/{ACCOUNT}", claim.address());
    let builder = MicrosoftAzureBuilder::new()
        .with_endpoint(endpoint.clone())
        .with_account(ACCOUNT)
        .with_access_key(KEY)
        .with_container_name("store")
        .with_allow_http(true);
    let store = builder.build().unwrap();
    make_container(&format!("{endpoint}/store?restype=container")).await;
    conformance::run(Arc::new(store), "all").await;
}

/// The emulator has no resource manager: a container is made by a request with the account's key (Microsoft, "Authorize with Shared Key").
async fn make_container(url: &str) {
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let text = format!(
        "PUT{}x-ms-date:{date}\nx-ms-version:2021-12-02\n/{ACCOUNT}/{ACCOUNT}/store\nrestype:container",
        "\n".repeat(12)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let request = reqwest::Client::new().put(url).header("x-ms-date", date);
    let request = request.header("x-ms-version", "2021-12-02").header("content-length", "0");
    let answer =
        request.header("authorization", format!("SharedKey {ACCOUNT}:{signature}")).send().await;
    let answer = answer.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
}

/// Azurite's well-known account, publicly documented and worthless.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
