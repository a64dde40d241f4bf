//! Server certificates: one a host name, made at its first connection, under the forged CA; the whole chain is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::dispatch::Family;

/// The CA's certificate as PEM.
pub fn ca_pem() -> String {
    forged_root::tls_ca().certificate_pem.to_owned()
}

/// TLS for all hosts of the cloud, HTTP/1.1.
///
/// # Errors
/// rustls refuses (never, with its default versions).
pub fn server_config() -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName::default()));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug, Default)]
struct ByName(Mutex<BTreeMap<String, Arc<CertifiedKey>>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        // Only hosts of this cloud: whatever a client sends must not fill the cache.
        Family::of(&name)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(&name) {
            return Some(Arc::clone(key));
        }
        if known.len() >= 4096 {
            known.clear();
        }
        let issued = forged_root::issue_tls(std::slice::from_ref(&name));
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.key_der));
        let key = default_provider().key_provider.load_private_key(key).ok()?;
        let chain = issued.chain_der.into_iter().map(CertificateDer::from).collect();
        let certified = Arc::new(CertifiedKey::new(chain, key));
        known.insert(name, Arc::clone(&certified));
        Some(certified)
    }
}
