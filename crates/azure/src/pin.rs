//! TLS to a peer whose CA is known by its digest only.
//!
//! The peer sends its whole chain, the CA included. The CA with the pinned SHA-256 becomes the only trust anchor, and the
//! chain is then verified as any other: names, validity, usages, signatures. A chain without that CA is refused.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Verifies chains under the one CA that has this digest.
pub(crate) struct PinnedCa {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl PinnedCa {
    pub(crate) fn new(sha256: [u8; 32], provider: CryptoProvider) -> Self {
        Self { sha256, provider: Arc::new(provider) }
    }
}

impl fmt::Debug for PinnedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedCa").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates
            .iter()
            .find(|certificate| digest(&SHA256, certificate).as_ref() == self.sha256)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Authority, Hosts};

    fn check(pin: [u8; 32], chain: Vec<CertificateDer<'static>>, name: &str) -> Result<(), Error> {
        PinnedCa::new(pin, rustls::crypto::aws_lc_rs::default_provider())
            .verify_server_cert(
                &chain[0],
                &chain[1..],
                &ServerName::try_from(name.to_owned()).unwrap(),
                &[],
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_790_000_000)),
            )
            .map(|_| ())
    }

    #[test]
    fn accepts_a_chain_that_brings_the_pinned_ca() {
        let authority = Authority::new("one");
        let chain = authority.issue(Hosts(&["v.vault.azure.net"])).chain;
        check(authority.sha256(), chain, "v.vault.azure.net").unwrap();
    }

    #[test]
    fn refuses_another_ca_a_missing_ca_a_foreign_leaf_and_another_name() {
        let authority = Authority::new("one");
        let other = Authority::new("two");
        let chain = authority.issue(Hosts(&["v.vault.azure.net"])).chain;
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);

        let refused = check(other.sha256(), chain.clone(), "v.vault.azure.net");
        assert_eq!(refused.unwrap_err(), unknown);

        let refused = check(authority.sha256(), vec![chain[0].clone()], "v.vault.azure.net");
        assert_eq!(refused.unwrap_err(), unknown);

        let mut foreign = other.issue(Hosts(&["v.vault.azure.net"])).chain;
        foreign[1] = chain[1].clone();
        assert!(check(authority.sha256(), foreign, "v.vault.azure.net").is_err());

        assert!(check(authority.sha256(), chain, "w.vault.azure.net").is_err());
    }
}
