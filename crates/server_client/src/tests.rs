//! A peer that speaks TLS and says one thing. What a server that proves itself looks like is tested
//! with the agent.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::attest::RefusalCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const REQUEST_ID: &str = "1c7b2a52-6c54-4f0b-8d5e-3e8f4f1c2b11";

/// A peer that reads a little and answers `answer`.
async fn peer(version: &'static SupportedProtocolVersion, answer: String) -> SocketAddr {
    let issued = forged_root::issue_tls(&["127.0.0.1".to_owned()]);
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[version])
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(chain, key)
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
            return;
        };
        let mut request = vec![0; 4096];
        drop(stream.read(&mut request).await);
        drop(stream.write_all(answer.as_bytes()).await);
        drop(stream.shutdown().await);
    });
    address
}

async fn prove(answer: String) -> CallError {
    let address = Address::from(peer(&TLS13, answer).await);
    let unproven = Unproven::connect(&address).await.unwrap();
    unproven.ask(Nonce([1; 32])).await.unwrap_err()
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn refusal(code: &str, request_id: &str) -> String {
    format!(r#"{{"errors":["{code}"],"request_id":"{request_id}"}}"#)
}

#[tokio::test]
async fn a_refusal_has_its_code_and_request_id() {
    let error = prove(http("503 x", &refusal("sealed", REQUEST_ID))).await;
    let CallError::Refused(refused) = error else { panic!("{error:?}") };
    assert_eq!(refused.code, RefusalCode::Sealed);
    assert_eq!(refused.to_string(), format!("the server refused: sealed (request {REQUEST_ID})"));
}

#[tokio::test]
async fn text_that_is_no_refusal_is_not_repeated() {
    for (status, body) in [
        ("503 x", refusal("sealed", "\\u001b[31m")),
        ("503 x", refusal("because", REQUEST_ID)),
        ("403 x", refusal("sealed", REQUEST_ID)),
        ("502 x", "<html>".to_owned()),
        ("200 x", "{}".to_owned()),
        ("302 x", String::new()),
    ] {
        let error = prove(http(status, &body)).await;
        assert!(matches!(error, CallError::NotAnAnswer { .. }), "{status} {body}: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_has_a_largest_size() {
    let error = prove("HTTP/1.1 200 x\r\ncontent-length: 99999999999\r\n\r\n{".into()).await;
    assert!(matches!(error, CallError::TooLarge), "{error:?}");
}

#[tokio::test]
async fn a_cut_answer_is_none() {
    for answer in ["HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\n{", "HTTP/1.1 2", ""] {
        let error = prove(answer.into()).await;
        assert!(matches!(error, CallError::Broken(_)), "{error:?}");
    }
}

#[tokio::test]
async fn older_tls_is_refused() {
    let address = Address::from(peer(&TLS12, String::new()).await);
    assert!(matches!(Unproven::connect(&address).await, Err(ConnectError::Handshake(_))));
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(Unproven::connect(&address).await, Err(ConnectError::Connect(_))));
}
