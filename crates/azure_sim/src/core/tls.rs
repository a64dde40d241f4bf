//! Server certificates: one a host name, made at its first connection, under the forged CA; the whole chain is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::dispatch::Family;

/// The CA's certificate as PEM.
pub fn ca_pem() -> String {
    authority::certificate_pem()
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
        let (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) =
            authority::issue(&name)?;
        let key = default_provider().key_provider.load_private_key(key).ok()?;
        let certified = Arc::new(CertifiedKey::new(chain, key));
        known.insert(name, Arc::clone(&certified));
        Some(certified)
    }
}

/// A CA of this process only, until the forged one is used.
mod authority {
    use std::sync::LazyLock;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

    type Ca = (rcgen::Certificate, Issuer<'static, KeyPair>);

    static CA: LazyLock<Option<Ca>> = LazyLock::new(|| {
        let key = KeyPair::generate().ok()?;
        let mut params = CertificateParams::new(Vec::new()).ok()?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).ok()?;
        Some((certificate, Issuer::new(params, key)))
    });

    pub(super) fn certificate_pem() -> String {
        CA.as_ref().map(|(certificate, _)| certificate.pem()).unwrap_or_default()
    }

    pub(super) fn issue(
        name: &str,
    ) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (ca, issuer) = CA.as_ref()?;
        let key = KeyPair::generate().ok()?;
        let leaf =
            CertificateParams::new(vec![name.to_owned()]).ok()?.signed_by(&key, issuer).ok()?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Some((vec![leaf.der().clone(), ca.der().clone()], private))
    }
}
