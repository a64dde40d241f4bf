//! How the server authenticates on the wire.
//!
//! The certificate convinces stock clients; our own believe the server's evidence, which names the
//! connection. With TLS material of the provisioner's, that is used. Without, the server makes a
//! key and a self-signed certificate at birth and keeps both in its store.

use std::sync::Arc;

use manifest::Manifest;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use store::{CommitError, Key, Store, Transaction, Value};
use zeroize::Zeroizing;

use super::artefacts::TlsMaterial;
use crate::core::Core;

/// The server's TLS configuration.
pub(super) fn config(material: TlsMaterial) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Chain)?;
    if chain.is_empty() {
        return Err(TlsError::Chain);
    }
    // rustls keeps the key for the life of the configuration, which is that of the process.
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(material.key_pkcs8.to_vec()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Resumption saves little with server authentication only, and tickets are one more secret.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The material that the server made itself: found in the store, or made now.
pub(super) async fn own(core: &Core) -> Result<TlsMaterial, TlsError> {
    if let Some(found) = kept(&core.store)? {
        return Ok(found);
    }
    let made = make(&core.in_force().manifest)?;
    let transaction = Transaction::new(core.now())
        .require_absent(key(CHAIN)?)
        .put(key(CHAIN)?, value(made.chain_pem.as_bytes())?)
        .put(key(PRIVATE)?, value(&made.key_pkcs8)?);
    match core.store.commit(transaction).await {
        Ok(_) => Ok(made),
        // Another server of this store was first.
        Err(CommitError::Conflict { .. }) => kept(&core.store)?.ok_or(TlsError::Kept),
        Err(error) => Err(error.into()),
    }
}

fn kept(store: &Store) -> Result<Option<TlsMaterial>, TlsError> {
    let (Some(chain), Some(private)) = (store.entry(&key(CHAIN)?), store.entry(&key(PRIVATE)?))
    else {
        return Ok(None);
    };
    let chain_pem =
        std::str::from_utf8(chain.value.expose_secret()).map_err(|_| TlsError::Kept)?.to_owned();
    Ok(Some(TlsMaterial {
        chain_pem,
        key_pkcs8: Zeroizing::new(private.value.expose_secret().to_vec()),
    }))
}

fn make(manifest: &Manifest) -> Result<TlsMaterial, TlsError> {
    let names: Vec<String> = manifest.tls().names.iter().map(ToString::to_string).collect();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "vouchsafe");
    let certificate = parameters.self_signed(&pair)?;
    Ok(TlsMaterial {
        chain_pem: certificate.pem(),
        key_pkcs8: Zeroizing::new(pair.serialize_der()),
    })
}

fn key(name: &str) -> Result<Key, TlsError> {
    Key::parse(name).map_err(|_| TlsError::Kept)
}

fn value(bytes: &[u8]) -> Result<Value, TlsError> {
    Value::copied(bytes).map_err(|_| TlsError::Kept)
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not certificates in PEM.
    #[error("the certificate chain is not pem")]
    Chain,
    /// The library refuses chain or key.
    #[error("certificate chain and key")]
    Rustls(#[from] rustls::Error),
    /// A certificate cannot be made.
    #[error("making a certificate")]
    Make(#[from] rcgen::Error),
    /// What the store keeps of it is not readable.
    #[error("the tls material in the store")]
    Kept,
    /// The store cannot commit.
    #[error("keeping the tls material")]
    Commit(#[from] CommitError),
}

const CHAIN: &str = "system/tls/chain";
const PRIVATE: &str = "system/tls/key";
