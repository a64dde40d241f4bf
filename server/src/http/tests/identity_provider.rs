//! An identity provider on loopback: a discovery document, one key, tokens signed with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use forged_root::SignerName;
use protocol::b64;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use warp::Filter as _;
use x509_parser::public_key::PublicKey;

use super::super::connection;
use super::world::{client, tls};
use crate::auth::OidcKeys;

pub(super) const ISSUER: &str =
    "https://login.microsoftonline.com/7e4a0000-0000-4000-8000-000000000001/v2.0";

pub(super) struct IdentityProvider {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<AtomicUsize>,
}

/// What the discovery document says.
#[derive(Clone)]
pub(super) struct Says {
    pub(super) issuer: String,
    pub(super) jwks_uri: String,
}

impl Default for Says {
    fn default() -> Self {
        let jwks_uri = "https://login.microsoftonline.com/common/discovery/v2.0/keys".to_owned();
        Self { issuer: ISSUER.to_owned(), jwks_uri }
    }
}

impl IdentityProvider {
    pub(super) async fn start(says: Says) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let routes = warp::path::full().map(move |path: warp::path::FullPath| {
            let body = if path.as_str().ends_with("/.well-known/openid-configuration") {
                json!({"issuer": says.issuer, "jwks_uri": says.jwks_uri, "more": 1})
            } else {
                count.fetch_add(1, Ordering::SeqCst);
                json!({"keys": [key(SignerName::First, "one")]})
            };
            warp::reply::Response::new(body.to_string().into())
        });
        let service = warp::service(routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(connection::spoken(&tls(&["login.microsoftonline.com"])));
        let graceful = hyper_util::server::graceful::GracefulShutdown::new();
        drop(tokio::spawn(async move {
            loop {
                let (socket, peer) = listener.accept().await.unwrap();
                let (acceptor, service) = (acceptor.clone(), service.clone());
                let watcher = graceful.watcher();
                drop(tokio::spawn(connection::serve(socket, peer, acceptor, service, watcher)));
            }
        }));
        Self { address, asked }
    }

    pub(super) fn keys(&self) -> OidcKeys {
        OidcKeys::new(client(self.address))
    }
}

fn key(signer: SignerName, kid: &str) -> Value {
    let der = forged_root::signer(signer).certificate_der();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let PublicKey::RSA(key) = certificate.public_key().parsed().unwrap() else { panic!("rsa") };
    let unsigned = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        b64::encode(&bytes[zeros..])
    };
    json!({"kty": "RSA", "use": "sig", "kid": kid, "n": unsigned(key.modulus), "e": unsigned(key.exponent)})
}

/// A token with these members of header and claims, signed by a forged signer's key.
pub(super) fn token(signer: SignerName, header: &Value, claims: &Value) -> String {
    let der = x509_parser::pem::parse_x509_pem(forged_root::signer(signer).key_pem.as_bytes());
    let key = RsaKeyPair::from_pkcs8(&der.unwrap().1.contents).unwrap();
    let text = format!(
        "{}.{}",
        b64::encode(header.to_string().as_bytes()),
        b64::encode(claims.to_string().as_bytes())
    );
    let mut signature = vec![0; key.public_modulus_len()];
    let rng = SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &rng, text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", b64::encode(&signature))
}
